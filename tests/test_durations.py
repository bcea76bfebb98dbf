"""Durations in configurations and on command lines."""

import pytest

from sentinel.durations import seconds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("90", None),
        (90, 90),
        ("90s", 90),
        ("15m", 900),
        ("6h", 21_600),
        ("1d12h", 129_600),
        ("2w", 1_209_600),
    ],
)
def test_durations(text, value) -> None:
    if value is None:
        with pytest.raises(ValueError, match="not a duration"):
            seconds(text)
    else:
        assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "h", "6", "-6h", "6x", "6 hours", None, True, [6]])
def test_what_is_no_duration(text) -> None:
    with pytest.raises(ValueError, match="duration"):
        seconds(text)
