"""Rule files: what is refused is named with its place, and nothing loads half."""

from __future__ import annotations

import pytest

from sentinel.detect.sigma.read import read
from sentinel.detect.sigma.tree import AnyOf, Kind, Not

GOOD = "title: Good\nid: 22222222-0000-4000-8000-00000000000{}\nlogsource: {{category: webserver}}\ndetection: {{a: {{f: x}}, condition: a}}\n"


@pytest.fixture
def load(tmp_path):
    def run(text, **placeholders):
        (tmp_path / "rules.yml").write_text(text)
        return read([tmp_path], placeholders)

    return run


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("title: T\nlogsource: {category: c}\ndetection: {a: {f|nonsense: x}, condition: a}\n", "nonsense"),
        ("title: T\nlogsource: {category: c}\ndetection: {a: {f: x}, condition: b}\n", "'b' not defined"),
        ("title: T\nlogsource: {category: c}\ndetection: {a: {f|re: '('}, condition: a}\n", "Regular expression"),
        ("title: T\nlogsource: {category: c}\ndetection: {a: {f|expand: '%x%'}, condition: a}\n", "placeholder %x%"),
        ("title: T\ncorrelation: {type: event_count, rules: [nobody], timespan: 1m, condition: {gte: 1}}\n", "nobody"),
        ("title: T\ncorrelation: {type: event_count, rules: [nobody], timespan: 1m, condition: {gt: 1, lt: 3}}\n", "exactly one"),
        ("- 1\n- 2\n", "mapping"),
        ("title: [unclosed\n", "not valid YAML"),
    ],
)  # fmt: skip
def test_a_bad_document_is_named_and_the_others_load(load, bad, said):
    loaded = load(GOOD.format(1) + "---\n" + bad) if "unclosed" not in bad else load(bad)
    assert len(loaded.problems) == 1
    assert said in loaded.problems[0].message
    assert loaded.problems[0].line in {6, 7} if "unclosed" not in bad else loaded.problems[0].line > 0
    assert [rule.title for rule in loaded.rules] == (["Good"] if "unclosed" not in bad else [])


def test_the_same_id_twice_is_one_rule_and_a_problem(load):
    loaded = load(GOOD.format(1) + "---\n" + GOOD.format(1))
    assert len(loaded.rules) == 1
    assert "same id" in loaded.problems[0].message


def test_a_filter_narrows_the_rules_it_names(load):
    text = GOOD.format(1) + "---\n" + (
        "title: Not us\nlogsource: {category: webserver}\nfilter:\n  rules: [22222222-0000-4000-8000-000000000001]\n"
        "  us: {f: office}\n  condition: not us\n"
    )  # fmt: skip
    condition = load(text).rules[0].condition
    assert any(isinstance(child, Not) for child in condition.children)


def test_placeholders_become_alternatives(load):
    loaded = load(GOOD.format(1).replace("f: x", "f|expand: '%who%'"), who=["a", "b"])
    assert isinstance(loaded.rules[0].condition, AnyOf)
    assert len(loaded.rules[0].condition.children) == 2


@pytest.mark.parametrize("kind", [kind.value for kind in Kind])
def test_every_correlation_type_loads(load, kind):
    field = "" if kind in {"event_count", "temporal", "temporal_ordered"} else ", field: bytes"
    text = (
        GOOD.format(1).replace("title", "name: one\ntitle")
        + f"---\ntitle: C\ncorrelation: {{type: {kind}, rules: [one], group-by: [x], timespan: 2h, condition: {{gte: 2{field}}}}}\n"
    )
    loaded = load(text)
    assert loaded.problems == []
    assert loaded.correlations[0].kind.value == kind
    assert loaded.correlations[0].timespan_ns == 7_200 * 10**9
    assert loaded.rules[0].silent


def test_examples_are_kept(load):
    loaded = load(GOOD.format(1) + "tests: {format: syslog, match: [one], miss: [two]}\n")
    assert loaded.examples["22222222-0000-4000-8000-000000000001"].match == ("one",)
