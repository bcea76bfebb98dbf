"""The columnar engine against a naive evaluation, one event and one test at a time, on random rules and events."""

from __future__ import annotations

import datetime as dt
import ipaddress
import re

import numpy as np
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sigma.collection import SigmaCollection
from sigma.conditions import ConditionAND, ConditionFieldEqualsValueExpression, ConditionItem, ConditionNOT
from sigma.types import (
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SigmaTimestampPart,
    SpecialChars,
)

from sentinel.detect.sigma.engine import LogEngine
from sentinel.detect.sigma.read import read
from sentinel.detect.sigma.values import View
from sentinel.model import Column, Columns

FIELDS = ("alpha", "beta", "gamma")
LETTERS = "ab/.%=?*\\ 12é\n"


def naive_text(value, text):
    """Sigma's wildcards over characters, by recursion on the parts."""
    parts = value.s

    def fits(index, rest):
        if index == len(parts):
            return rest == ""
        part = parts[index]
        if part is SpecialChars.WILDCARD_MULTI:
            return any(fits(index + 1, rest[i:]) for i in range(len(rest) + 1))
        if part is SpecialChars.WILDCARD_SINGLE:
            return bool(rest) and fits(index + 1, rest[1:])
        size = len(part)
        head = rest[:size]
        same = head == part if isinstance(value, SigmaCasedString) else head.lower() == part.lower()
        return same and fits(index + 1, rest[size:])

    return fits(0, text)


def naive_part(value, text):
    try:
        moment = (
            dt.datetime.fromtimestamp(float(text), dt.UTC)
            if text.isdigit()
            else dt.datetime.fromisoformat(text)
        )
    except ValueError:
        return False
    moment = moment.replace(tzinfo=moment.tzinfo or dt.UTC).astimezone(dt.UTC)
    name = value.timestamp_part.name.lower()
    return (moment.isocalendar()[1] if name == "week" else getattr(moment, name)) == int(value.number)


def naive_value(value, text, event):
    if isinstance(value, SigmaNull):
        return not text
    if isinstance(value, SigmaExists):
        return (text is not None) == bool(value)
    if text is None:
        return False
    if isinstance(value, SigmaExpansion):
        return any(naive_value(each, text, event) for each in value.values)
    if isinstance(value, SigmaBool):
        return text.lower() == ("true" if value.boolean else "false")
    if isinstance(value, SigmaTimestampPart):
        return naive_part(value, text)
    if isinstance(value, SigmaString):
        return naive_text(value, text)
    if isinstance(value, SigmaRegularExpression):
        names = {"IGNORECASE": re.IGNORECASE, "MULTILINE": re.MULTILINE, "DOTALL": re.DOTALL}
        flags = re.ASCII
        for flag in value.flags:
            flags |= names[flag.name]
        return re.search(str(value.regexp), text, flags) is not None
    if isinstance(value, SigmaFieldReference):
        other = event.get(value.field)
        if other is None:
            return False
        ours, theirs = text.lower(), other.lower()
        if value.starts_with and value.ends_with:
            return theirs in ours
        if value.starts_with:
            return ours.startswith(theirs)
        return ours.endswith(theirs) if value.ends_with else ours == theirs
    if isinstance(value, SigmaCIDRExpression):
        try:
            return ipaddress.ip_address(text) in ipaddress.ip_network(value.cidr)
        except ValueError:
            return False
    number = float(text) if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?", text, re.ASCII) else None
    if isinstance(value, SigmaCompareExpression):
        wanted = value.number.number
        compare = {
            "LT": float.__lt__,
            "LTE": float.__le__,
            "GT": float.__gt__,
            "GTE": float.__ge__,
            "NEQ": float.__ne__,
        }
        return number is not None and compare[value.op.name](number, float(wanted))
    assert isinstance(value, SigmaNumber)
    return number == value.number


def naive(item, event):
    if isinstance(item, ConditionNOT):
        return not naive(item.args[0], event)
    if isinstance(item, ConditionItem):
        results = [naive(child, event) for child in item.args]
        return all(results) if isinstance(item, ConditionAND) else any(results)
    if isinstance(item, ConditionFieldEqualsValueExpression):
        return naive_value(item.value, event.get(item.field), event)
    value = item.value
    line = event["event.original"]
    if isinstance(value, SigmaString):
        star = SpecialChars.WILDCARD_MULTI
        return naive_text(SigmaString("") + star + value + star, line)
    return str(value.number) in line if isinstance(value, SigmaNumber) else naive_value(value, line, event)


def columns_of(events):
    rows = len(events)
    names = ("event.original", *FIELDS)
    made = {
        name: Column.of([None if e.get(name) is None else e[name].encode() for e in events]) for name in names
    }
    times = np.arange(rows, dtype=np.int64)
    return Columns(rows, "test", times, times + 1, dict(made), "nginx-access")


def matched(rules, events):
    engine = LogEngine(rules)
    return {rule.id: set(rows.tolist()) for rule, rows in engine.matches(View(columns_of(events)))}


words = st.text(LETTERS, max_size=6)
addresses = st.sampled_from(["10.1.2.3", "192.0.2.1", "2001:db8::1", "10.1.2"])
moments = st.sampled_from(["2026-03-02T10:20:30Z", "2026-03-02T23:20:30-02:00", "1772446830", "2026-12-31"])
values_of_events = st.one_of(
    st.none(),
    words,
    st.sampled_from(["200", "404", "12", "a/b", "/a", "true", "False", "cmd -a/b"]),
    addresses,
    moments,
)
events = st.lists(
    st.fixed_dictionaries(dict.fromkeys(FIELDS, values_of_events) | {"event.original": words}),
    min_size=1,
    max_size=60,
)
plain = st.text(LETTERS.replace("\n", ""), min_size=1, max_size=5)
tests = st.one_of(
    st.tuples(st.sampled_from(["", "|contains", "|startswith", "|endswith", "|cased", "|contains|cased", "|windash|contains"]), plain),
    st.tuples(st.sampled_from(["|contains|all", "|contains", "", "|endswith"]), st.lists(plain, min_size=1, max_size=3)),
    st.tuples(st.sampled_from(["|re", "|re|i", "|re|s", "|re|m", "|re|m|i"]), st.sampled_from(["a.b", "^a", "b$", "[12]+", "a|b/", "(a|1)+2", ".", "\\.\\?", "a\\s*b", "^$", "\\n/", "A\\w"])),
    st.tuples(st.sampled_from(["|lt", "|lte", "|gt", "|gte", "|neq"]), st.integers(-2, 500)),
    st.tuples(st.just(""), st.one_of(st.integers(0, 500), st.none())),
    st.tuples(st.just("|exists"), st.booleans()),
    st.tuples(st.just("|cidr"), st.sampled_from(["10.0.0.0/8", "192.0.2.0/31", "2001:db8::/32"])),
    st.tuples(st.sampled_from(["|fieldref", "|fieldref|startswith", "|fieldref|endswith", "|fieldref|contains"]), st.sampled_from(FIELDS)),
    st.tuples(st.sampled_from(["|base64", "|base64offset|contains", "|wide|base64offset|contains", "|utf16|base64offset|contains", "|utf16be|base64offset|contains"]), st.sampled_from(["ab", "a/b"])),
    st.tuples(st.sampled_from(["|minute", "|hour", "|day", "|week", "|month", "|year"]), st.sampled_from([1, 2, 3, 10, 20, 31, 2026])),
    st.tuples(st.sampled_from(["|re|ignorecase", "|re|dotall", "|re|multiline"]), st.sampled_from(["A.B", "^a$", "a\\s*b"])),
    st.tuples(st.sampled_from(["|windash", "|windash|contains|all"]), st.sampled_from(["-a", "cmd -a", "a"])),
    st.tuples(st.just(""), st.booleans()),
)  # fmt: skip
selections = st.one_of(
    st.dictionaries(st.sampled_from(FIELDS), tests, min_size=1, max_size=3).map(
        lambda chosen: {name + test[0]: test[1] for name, test in chosen.items()}
    ),
    st.lists(plain, min_size=1, max_size=3),
    plain.map(lambda text: {"|all": [text, text[:1]]}),
)
conditions = st.sampled_from(
    [
        "one",
        "one and two",
        "one or not two",
        "not one",
        "1 of them",
        "all of them",
        "(one or two) and not three",
        "not (one and three)",
    ]
)
documents = st.fixed_dictionaries(
    {"one": selections, "two": selections, "three": selections, "condition": conditions}
)


@settings(max_examples=60)
@given(st.lists(documents, min_size=1, max_size=4), events)
def test_masks_agree_with_a_naive_evaluation_of_what_pysigma_parsed(tmp_path_factory, chosen, given_events):
    rules = [
        {
            "title": f"rule {n}",
            "id": f"00000000-0000-4000-8000-{n:012d}",
            "logsource": {"category": "webserver"},
            "detection": detection,
        }
        for n, detection in enumerate(chosen)
    ]
    file = tmp_path_factory.mktemp("rules") / "rules.yml"
    file.write_text(yaml.safe_dump_all(rules, allow_unicode=True), encoding="utf-8")
    loaded = read([file])
    parsed = SigmaCollection.from_dicts(rules, True)
    assert bool(parsed.errors) == bool(loaded.problems)
    found = matched(loaded.rules, given_events)
    for rule in parsed.rules:
        if rule.errors:
            continue
        tree = rule.detection.parsed_condition[0].parsed
        wanted = {i for i, event in enumerate(given_events) if naive(tree, event)}
        assert found.get(str(rule.id), set()) == wanted, rule.detection.to_dict()


def test_every_modifier_of_pysigma_is_among_the_random_tests():
    import inspect
    import sys

    from sigma.modifiers import modifier_mapping

    text = inspect.getsource(sys.modules[__name__])
    flags = {"i", "m", "s"}  # of |re, above
    assert [name for name in modifier_mapping if f"|{name}" not in text and name not in flags] == []


def test_expand_takes_the_values_of_the_site(tmp_path):
    """`|expand` is the one modifier whose values are not in the rule."""
    file = tmp_path / "rule.yml"
    file.write_text(
        "title: T\nid: 22222222-0000-4000-8000-000000000001\nlogsource: {category: webserver}\n"
        "detection: {a: {alpha|expand|startswith: '%who%x'}, condition: a}\n"
    )
    loaded = read([file], {"who": ["a", "b*"]})
    assert loaded.problems == []
    given = [{"alpha": text, "event.original": ""} for text in ("ax1", "b*x1", "x", "bx", "xax")]
    assert matched(loaded.rules, given) == {"22222222-0000-4000-8000-000000000001": {0, 1}}
