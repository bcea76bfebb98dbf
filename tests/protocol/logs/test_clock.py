from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.protocol.logs.clock import SECOND, Clock, zone_of


def ns(text):
    when = datetime.fromisoformat(text)
    return int(when.replace(microsecond=0).timestamp()) * SECOND + when.microsecond * 1000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("08/Jun/2020:06:49:01 +0200", "2020-06-08T04:49:01+00:00"),
        ("08/Jun/2020:06:49:01", "2020-06-08T06:49:01+00:00"),
        ("2025-02-27T07:14:47.545612-05:30", "2025-02-27T12:44:47.545612+00:00"),
        ("2025-02-27 07:14:47,123", "2025-02-27T07:14:47.123000+00:00"),
        ("2025-02-27 07:14:47 UTC", "2025-02-27T07:14:47+00:00"),
        ("2025-02-27T07:14:47Z", "2025-02-27T07:14:47+00:00"),
        ("2025/02/27 07:14:47", "2025-02-27T07:14:47+00:00"),
        ("19-Oct-2022 05:34:02.425", "2022-10-19T05:34:02.425000+00:00"),
        ("22-Jan-2013 22:28:21 +0200", "2013-01-22T20:28:21+00:00"),
        ("Wed Apr 16 16:09:40.056610 2025", "2025-04-16T16:09:40.056610+00:00"),
        ("Mon Jun  8 12:08:53 2020", "2020-06-08T12:08:53+00:00"),
        ("221128 14:49:17", "2022-11-28T14:49:17+00:00"),
        ("130324  0:04:00", "2013-03-24T00:04:00+00:00"),
        ("11/23/2026 08:01:02 PM", "2026-11-23T20:01:02+00:00"),
        ("23.11.2026 08:01:02", "2026-11-23T08:01:02+00:00"),
        ("20260302-08:00:05", "2026-03-02T08:00:05+00:00"),
        ("1772438400.125", "2026-03-02T08:00:00.125000+00:00"),
        ("1772438400125", "2026-03-02T08:00:00.125000+00:00"),
        ("1772438400125000", "2026-03-02T08:00:00.125000+00:00"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59+00:00"),  # a leap second is the one before
    ],
)
def test_shapes(text, expected):
    assert Clock().read(text.encode()) == ns(expected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "yesterday",
        "2025-13-01 00:00:00",
        "31/Feb/2025:00:00:00",
        "99999-01-01T00:00:00Z",
        "2025-01-01 95:00:00",
    ],
)
def test_what_is_no_time(text):
    assert Clock().read(text.encode()) is None


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)),
    st.integers(-14 * 60, 14 * 60),
    st.sampled_from(
        ["%d/%b/%Y:%H:%M:%S %z", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M:%S.%f%z", "%d-%b-%Y %H:%M:%S %z"]
    ),
)
def test_every_instant_in_every_zone(when, minutes, shape):
    when = when.replace(
        microsecond=when.microsecond if "%f" in shape else 0, tzinfo=timezone(timedelta(minutes=minutes))
    )

    read = Clock().read(when.strftime(shape).encode())

    assert read == ns(when.isoformat())


@given(st.binary(max_size=80))
def test_never_raises(text):
    Clock().read(text)
    Clock(ZoneInfo("Europe/Paris")).read(b"2025-03-30 02:" + text)


def reference(text):
    return lambda: ns(text)


def test_a_time_without_year_takes_the_last_one_that_is_not_in_the_future():
    clock = Clock(reference=reference("2026-01-15T00:00:00+00:00"))

    assert clock.read(b"Dec 31 23:59:59") == ns("2025-12-31T23:59:59+00:00")


def test_a_log_over_new_year_goes_on_and_late_lines_stay_in_the_old_year():
    clock = Clock(reference=reference("2026-01-01T12:00:00+00:00"))
    lines = [b"Dec 31 23:59:58", b"Jan  1 00:00:01", b"Dec 31 23:59:59", b"Jan  1 00:00:02"]

    years = [datetime.fromtimestamp(clock.read(line) / SECOND, UTC).year for line in lines]

    assert years == [2025, 2026, 2025, 2026]


def test_the_29th_of_february_is_in_a_leap_year():
    clock = Clock(reference=reference("2026-01-15T00:00:00+00:00"))

    assert clock.read(b"Feb 29 12:00:00") == ns("2024-02-29T12:00:00+00:00")


def test_a_clock_slightly_ahead_is_this_year():
    clock = Clock(reference=reference("2026-01-15T00:00:00+00:00"))

    assert clock.read(b"Jan 15 12:00:00") == ns("2026-01-15T12:00:00+00:00")


def test_a_naive_time_is_in_the_zone_of_the_log():
    clock = Clock(ZoneInfo("Asia/Shanghai"))

    assert clock.read(b"2026-03-02 08:00:00") == ns("2026-03-02T00:00:00+00:00")


def test_the_repeated_hour_at_the_end_of_dst_does_not_run_backwards():
    clock = Clock(ZoneInfo("Europe/Paris"))
    walls = ["02:10:00", "02:50:00", "02:05:00", "02:55:00", "03:01:00"]

    read = [clock.read(f"2025-10-26 {wall}".encode()) for wall in walls]

    assert read == [
        ns(f"2025-10-26T{utc}+00:00") for utc in ("00:10:00", "00:50:00", "01:05:00", "01:55:00", "02:01:00")
    ]


def test_the_start_of_dst_leaves_no_gap():
    clock = Clock(ZoneInfo("Europe/Paris"))

    before, after = clock.read(b"2025-03-30 01:59:59"), clock.read(b"2025-03-30 03:00:00")

    assert after - before == SECOND


def test_a_clock_set_back_is_believed():
    clock = Clock(ZoneInfo("Europe/Paris"))
    clock.read(b"2025-06-01 12:00:00")

    assert clock.read(b"2025-06-01 10:00:00") == ns("2025-06-01T08:00:00+00:00")


def test_zones_by_name():
    assert zone_of("UTC") is UTC
    assert zone_of("Asia/Shanghai").utcoffset(datetime(2026, 1, 1)) == timedelta(hours=8)
    assert zone_of("local") is not None
