"""What a needle promises: every value that passes the test contains a match of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.detect.prefilter import Pattern, Prefilter
from sentinel.detect.sigma import predicate as p

parts = st.lists(
    st.one_of(st.text("aB./é ", min_size=1, max_size=4), st.sampled_from([(p.MANY,), (p.ONE,)])), max_size=4
)
values = st.text("aAbB./éÉ ", max_size=10)


@given(parts.map(tuple), st.booleans(), values)
def test_whatever_matches_contains_the_needle(chosen, cased, text):
    made = p.Text(chosen, cased)
    value = text.encode()
    if made.needle is None or not made.test(value):
        return
    needle = made.needle
    prefilter = Prefilter.compile(
        [Pattern(needle.expression, needle.caseless, needle.dotall, multiline=True)]
    )
    assert prefilter.scan(value)[0] == [0] * len(prefilter.scan(value)[0]) != []


@pytest.mark.parametrize(
    ("made", "value", "holds"),
    [
        (p.Text(("É",)), "é".encode(), True),
        (p.Text(("É",), cased=True), "é".encode(), False),
        (p.Text(("a", (p.ONE,), "c")), "aéc".encode(), True),
        (p.Text(("a", (p.ONE,), "c")), b"ac", False),
        (p.Text(()), b"", True),
        (p.Regex("a+b"), b"xaab", True),
        (p.Regex("A", ignorecase=True), b"a", True),
        (p.Number(200), b"200", True),
        (p.Number(200), b"200.0", True),
        (p.Number(200), b"2000", False),
        (p.Compare("GTE", 10), b"9", False),
        (p.Compare("GTE", 10), b"nan", False),
        (p.Exists(wanted=False), b"x", False),
        (p.Null(), b"", True),
        (p.TimePart("HOUR", 13), b"2026-03-02T14:00:00+01:00", True),
        (p.TimePart("WEEK", 10), b"1772410623", True),
        (p.TimePart("YEAR", 2026), b"yesterday", False),
    ],
)  # fmt: skip
def test_values(made, value, holds):
    assert made.test(value) is holds


def test_a_hostile_line_takes_linear_time():
    assert not p.Regex("(a+)+$").test(b"a" * 50_000 + b"!")


def test_an_expression_without_meaning_is_refused():
    with pytest.raises(ValueError, match="regular expression"):
        p.Regex("(?<=a)b").check()
