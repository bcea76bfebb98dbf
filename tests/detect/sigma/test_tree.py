"""Limits and expressions of correlations."""

from __future__ import annotations

import pytest

from sentinel.detect.sigma.tree import Expression, Limit


@pytest.mark.parametrize(
    ("operator", "below", "same", "above"),
    [("lt", True, False, False), ("lte", True, True, False), ("gt", False, False, True), ("gte", False, True, True), ("eq", False, True, False), ("neq", True, False, True)],
)  # fmt: skip
def test_limits(operator, below, same, above):
    assert [Limit(operator, 5).holds(n) for n in (4, 5, 6)] == [below, same, above]


def test_expressions():
    one, two = Expression("rule", index=1), Expression("rule", index=2)
    assert Expression("and", (one, Expression("not", (two,)))).holds({1})
    assert not Expression("and", (one, Expression("not", (two,)))).holds({1, 2})
    assert Expression("or", (one, two)).holds({2})
