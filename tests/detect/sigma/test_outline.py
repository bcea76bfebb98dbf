"""What few values say of a rule is never wrong, and rows that may match are never left out."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sentinel.detect.sigma import outline, tree
from sentinel.detect.sigma.evaluate import evaluate
from sentinel.detect.sigma.outline import Outline
from sentinel.detect.sigma.predicate import Exists, Number, Regex, Text
from sentinel.detect.sigma.tree import All, AnyOf, Not
from sentinel.detect.sigma.values import View
from sentinel.trial import columns_of

LINE = '192.0.2.1 - - [02/Mar/2026:00:00:37 +0000] "{} /{} HTTP/1.1" {} 5 "-" "x"'
tests = st.sampled_from(
    [
        tree.Test("http.response.status_code", Number(200)),
        tree.Test("http.request.method", Text(("post",))),
        tree.Test("sc-status", Number(404)),
        tree.Test("event.outcome", Text(("failure",))),
        tree.Test("http.version", Exists(wanted=True)),
        tree.Test("url.path", Regex("a")),
        tree.Test("user.name", Exists(wanted=False)),
    ]
)
conditions = st.recursive(
    tests,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.lists(inner, max_size=3).map(tuple).map(All),
        st.lists(inner, max_size=3).map(tuple).map(AnyOf),
    ),
    max_leaves=6,
)
lines = st.builds(
    LINE.format,
    st.sampled_from(["GET", "POST", "MA", "MB"]),
    st.sampled_from("ab"),
    st.sampled_from([200, 404, 500]),
)


def check(made, nodes, view, count):
    every = np.arange(count)
    for node, (rows, certain) in zip(nodes, made.possible(view), strict=True):
        matched = set(every[evaluate(node, view, every)].tolist())
        assert set(rows[certain].tolist()) <= matched <= set(rows.tolist())
        assert rows.tolist() == sorted(set(rows.tolist()))


@given(
    st.lists(conditions, max_size=4),
    st.lists(st.lists(lines, min_size=1, max_size=20), min_size=1, max_size=3),
)
def test_certain_rows_match_and_all_matches_are_possible(nodes, batches):
    made = Outline.of(nodes)
    for batch in batches:
        check(made, nodes, View(columns_of(batch, "nginx-access")), len(batch))


def test_made_up_methods_cost_nothing_but_the_outline(monkeypatch):
    monkeypatch.setattr(outline, "MOST", 8)
    node = tree.Test("http.request.method", Text(("mh",)))
    batch = [LINE.format(f"M{chr(65 + n)}", "a", 200) for n in range(20)]
    made = Outline.of([node])
    view = View(columns_of(batch, "nginx-access"))
    check(made, [node], view, len(batch))
    assert not made._kept
