import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sentinel.backup.cron import Cron, parse
from sentinel.backup.schedule import trigger


@pytest.mark.parametrize(
    ("field", "names"),
    [
        ("0", "sun"),
        ("7", "sun"),
        ("1-5", "mon,tue,wed,thu,fri"),
        ("fri-mon", "fri,sat,sun,mon"),
        ("*/2", "sun,tue,thu,sat"),
        ("Mon,WED", "mon,wed"),
        ("*", "*"),
    ],
)
def test_days_are_counted_from_sunday(field, names) -> None:
    assert parse(f"0 3 * * {field}") == Cron("0", "3", "*", "*", names)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * * 8",
        "* * * * xyz",
        "5-3 * * * *",
        "*/0 * * * *",
        "*/60 * * * *",
        "30/30 * * * *",
        "59/1 * * * *",
        "10-15/6 * * * *",
        "a * * * *",
        "every",
        "every 0s",
        "every day",
        "@often",
        "1,,2 * * * *",
        "* * * * mon/0",
    ],
)
def test_what_is_no_schedule(text) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


@given(st.text(max_size=30))
def test_any_text_is_a_schedule_or_a_value_error(text) -> None:
    with contextlib.suppress(ValueError):
        assert parse(text)


FIELD = st.from_regex(r"(\*|[0-9]{1,2}(-[0-9]{1,2})?)(/[0-9]{1,2})?(,[0-9]{1,2})?", fullmatch=True)


@given(st.lists(FIELD, min_size=5, max_size=5).map(" ".join))
@example("30/29 * * * *")
@example("30/30 * * * *")
@example("0-9/9 7/16 31 12/0 *")
def test_what_is_accepted_can_be_scheduled(text) -> None:
    try:
        parse(text)
    except ValueError:
        return
    trigger(text)
