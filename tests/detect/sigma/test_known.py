"""Values seen before are not scanned again, and no rule misses anything by it."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.detect.sigma import known, tree
from sentinel.detect.sigma.engine import LogEngine
from sentinel.detect.sigma.evaluate import evaluate
from sentinel.detect.sigma.known import Known
from sentinel.detect.sigma.predicate import Number, Regex, Text
from sentinel.detect.sigma.tree import All, AnyOf, LogSource, Not, Rule
from sentinel.detect.sigma.values import Values, View
from sentinel.model import Column
from sentinel.trial import columns_of

LINE = '192.0.2.{} - - [02/Mar/2026:00:00:37 +0000] "GET /{} HTTP/1.1" {} 5 "{}" "{}"'


def values(*cells):
    return Values.of(Column.of(cells))


def test_a_clean_value_is_new_once_and_a_dirty_one_always():
    table = Known()
    found = table.new(values(b"a", b"b", None, b"a"))
    assert (found.values, found.rows.tolist(), found.codes.tolist()) == ([b"a", b"b"], [0, 1, 3], [0, 1, 0])
    assert found.first().tolist() == [0, 1]
    assert found.all_rows(np.array([0])).tolist() == [0, 3]
    table.learn(found, np.array([False, True]))
    assert table.new(values(b"a", b"b", b"c")).values == [b"b", b"c"]


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(known, "MOST_VALUES", 100)
    table = Known()
    for number in range(1000):
        found = table.new(values(b"%d" % number, bytes(known.LONGEST + 1)))
        table.learn(found, np.zeros(2, np.bool_))
        assert len(table.clean) <= 100


def contains(field, text):
    return tree.Test(field, Text((("*",), text, ("*",))))


CONDITIONS = [
    contains("url.original", "etc/passwd"),
    contains("request.any", "<script>"),
    All((contains("request.input", "select"), Not(contains("user_agent.original", "friendly-robot")))),
    AnyOf((contains("http.request.referrer", "evil.example"), contains("", "0x41414141"))),
    All((tree.Test("url.path", Regex("secret[0-9]+")), tree.Test("http.response.status_code", Number(200)))),
    AnyOf((tree.Test("http.response.status_code", Number(404)), contains("url.query", "etc/passwd"))),
    Not(
        AnyOf(
            (
                tree.Test("http.response.status_code", Number(404)),
                tree.Test("http.response.status_code", Number(200)),
            )
        )
    ),
]
RULES = [
    Rule(id=str(n), title=str(n), logsource=LogSource("webserver"), condition=c)
    for n, c in enumerate(CONDITIONS)
]
WORDS = ["etc/passwd", "etc%2fpasswd", "%3Cscript%3e", "select", "secret7", "0x41414141", "evil.example", "friendly-robot", "a", "b", "?"]  # fmt: skip
lines = st.builds(
    LINE.format,
    st.integers(1, 3),
    st.lists(st.sampled_from(WORDS), max_size=3).map("".join),
    st.sampled_from([200, 404, 500]),
    st.sampled_from(
        ["-", "https://evil.example/", "https://shop.example/%3cscript%3e", "https://shop.example/"]
    ),
    st.sampled_from(["agent", "friendly-robot", "agent etc/passwd"]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(lines, min_size=1, max_size=60), min_size=1, max_size=4))
def test_batches_with_repeats_match_like_each_batch_alone(batches):
    engine = LogEngine(RULES)
    for batch in batches:
        found = engine.matches(View(columns_of(batch, "nginx-access")))
        plain = View(columns_of(batch, "nginx-access"))
        every = np.arange(len(batch))
        expected = [(rule.id, every[evaluate(rule.condition, plain, every)].tolist()) for rule in RULES]
        assert [(rule.id, rows.tolist()) for rule, rows in found] == [e for e in expected if e[1]]
