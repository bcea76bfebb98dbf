import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.detect.arguments import (
    compare,
    comparison,
    integer,
    negatable,
    nothing,
    pairs,
    required,
    unquoted,
)


@given(st.integers(0, 300), st.integers(0, 300))
def test_comparisons_mean_what_they_say(value, limit):
    assert compare(value, comparison(f"<{limit}")) == (value < limit)
    assert compare(value, comparison(f">{limit}")) == (value > limit)
    assert compare(value, comparison(f"{limit}")) == (value == limit)
    assert compare(value, comparison(f"!{limit}")) == (value != limit)
    assert compare(value, comparison(f"<={limit}")) == (value <= limit)
    assert compare(value, comparison(f">={limit}")) == (value >= limit)
    assert compare(value, comparison(f"{limit}<>{limit + 9}")) == (limit < value < limit + 9)


@pytest.mark.parametrize("text", ["", "x5", "<", "5-3", "!5-9", "1 2"])
def test_bad_comparisons(text):
    with pytest.raises(ValueError):
        comparison(text)


def test_small_readers():
    assert comparison("TWO", {"two": 2}) == ("=", 2, 0)
    assert integer("0x10") == 16
    assert unquoted('"a"') == "a"
    assert negatable("! x") == (True, "x")
    assert pairs("type limit, relative") == {"type": "limit", "relative": ""}
    with pytest.raises(ValueError):
        required(None)
    with pytest.raises(ValueError):
        nothing("x")
    with pytest.raises(ValueError):
        integer("ten")
