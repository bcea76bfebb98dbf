"""The screen: which needles a rule rests on, and that no match is lost over one."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.detect.sigma import tree
from sentinel.detect.sigma.evaluate import evaluate
from sentinel.detect.sigma.predicate import Exists, Regex, Text
from sentinel.detect.sigma.read import read
from sentinel.detect.sigma.screen import Screen, keys_of
from sentinel.detect.sigma.tree import All, AnyOf, LogSource, Not, Rule
from sentinel.detect.sigma.values import View
from sentinel.pipeline import cache_folder
from sentinel.trial import columns_of

STAR = ("*",)
RULES = Path(__file__).parents[3] / "rules" / "logs"


def contains(text, field="url.original"):
    return tree.Test(field, Text((STAR, text, STAR)))


def test_the_rarest_part_of_an_all_and_every_part_of_an_any_are_the_keys():
    node = All((contains("/"), contains("xp_cmdshell"), Not(contains("zzzzzz"))))
    _, keys = keys_of(node)
    assert [name for name, _ in keys] == ["url.original"]
    assert b"cmdshell" in keys[0][1].expression
    assert len(keys_of(AnyOf((contains("union select"), contains("xp_cmdshell"))))[1]) == 2
    assert keys_of(AnyOf((contains("union select"), tree.Test("x", Exists(wanted=True))))) is None
    assert keys_of(Not(contains("union select"))) is None


@settings(max_examples=30)
@given(st.lists(st.text("abc\nX/ ", max_size=12), min_size=1, max_size=80))
def test_candidates_are_a_superset_of_matches(texts):
    rules = [Rule(id=str(n), title=str(n), logsource=LogSource("webserver"), condition=node) for n, node in enumerate([
        contains("aXbc"), All((contains("abca"), Not(contains("ccc")))), tree.Test("url.original", Text(("abcX", STAR))),
    ])]  # fmt: skip
    lines = [
        f'192.0.2.1 - - [02/Mar/2026:00:00:37 +0000] "GET /{t.replace(chr(10), "%0a").replace(" ", "+")} HTTP/1.1" 200 5 "-" "x"'
        for t in texts
    ]
    view = View(columns_of(lines, "nginx-access"))
    screen = Screen.build(rules, "nginx-access")
    found = {number: set(rows.tolist()) for number, rows in screen.candidates(view)}
    plain = View(columns_of(lines, "nginx-access"))
    import numpy as np

    every = np.arange(len(lines))
    for number, rule in enumerate(rules):
        assert set(every[evaluate(rule.condition, plain, every)].tolist()) <= found.get(number, set())


def test_hyperscan_takes_every_shipped_expression():
    loaded = read([RULES])
    assert loaded.problems == []
    for kind in ("nginx-access", "syslog", "nginx-error"):
        screen = Screen.build(loaded.rules, kind, cache_folder())
        assert [made.refused for made in screen.columns.values() if made.refused] == []


def test_an_expression_that_fits_nothing_at_all_is_asked_of_every_row():
    rule = Rule(
        id="1",
        title="1",
        logsource=LogSource("webserver"),
        condition=tree.Test("http.request.referrer", Regex("^$")),
    )
    line = '192.0.2.1 - - [02/Mar/2026:00:00:37 +0000] "GET / HTTP/1.1" 200 5 "{}" "x"'
    view = View(columns_of([line.format("a"), line.format("b")], "nginx-access"))
    screen = Screen.build([rule], "nginx-access")
    assert [rows.tolist() for _, rows in screen.candidates(view)] == [[0, 1]]
