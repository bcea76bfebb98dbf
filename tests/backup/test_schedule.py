"""Times against a slow reading of crontab(5); running: catch-up, no overlap, pauses."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.backup.schedule import Entry, Schedule, due, period_seconds, window_end
from sentinel.backup.settings import MaintenanceSettings

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)  # a Monday
WAIT_SECONDS = 20


def free(_now):
    return None


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 */6 * * *", datetime(2026, 11, 23, 18, 0, tzinfo=UTC)),
        ("30 3 * * *", datetime(2026, 11, 24, 3, 30, tzinfo=UTC)),
        ("0 0 * * 0", datetime(2026, 11, 29, tzinfo=UTC)),
        ("0 0 * * 7", datetime(2026, 11, 29, tzinfo=UTC)),
        ("0 0 * * 1", datetime(2026, 11, 30, tzinfo=UTC)),
        ("0 0 1 * *", datetime(2026, 12, 1, tzinfo=UTC)),
        ("0 0 1 * 3", datetime(2026, 11, 25, tzinfo=UTC)),
        ("@hourly", datetime(2026, 11, 23, 13, 0, tzinfo=UTC)),
        ("every 6h", datetime(2026, 11, 23, 18, 0, tzinfo=UTC)),
        ("0 0 31 2 *", None),
    ],
)
def test_the_next_time(expression, expected) -> None:
    assert due(expression, NOON) == expected


def slow_next(minute: int, hour: int, weekday: int, after: datetime) -> datetime:
    moment = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
    while (moment.minute, moment.hour) != (minute, hour) or moment.isoweekday() % 7 != weekday:
        moment += timedelta(minutes=1)
    return moment


@given(
    st.integers(0, 59),
    st.integers(0, 23),
    st.integers(0, 6),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)),
)
def test_as_a_slow_reading_says(minute, hour, weekday, after) -> None:
    after = after.replace(tzinfo=UTC, second=30)
    assert due(f"{minute} {hour} * * {weekday}", after) == slow_next(minute, hour, weekday, after)


def test_period() -> None:
    assert period_seconds("0 */6 * * *", NOON) == 21_600
    assert period_seconds("0 0 31 2 *", NOON) == 0


def test_windows() -> None:
    windows = [
        MaintenanceSettings(schedule="0 12 * * *", duration=3600),
        MaintenanceSettings(schedule="30 12 * * *", duration=3600),
    ]
    assert window_end(windows, NOON - timedelta(seconds=1)) is None
    assert window_end(windows, NOON) == NOON + timedelta(minutes=90)
    assert window_end(windows, NOON + timedelta(minutes=80)) == NOON + timedelta(minutes=90)
    assert window_end(windows, NOON + timedelta(minutes=90)) is None


class Called:
    def __init__(self) -> None:
        self.times: list[datetime] = []
        self.event = threading.Event()
        self.release = threading.Event()
        self.release.set()
        self.most_at_once = self.at_once = 0

    def __call__(self) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.times.append(datetime.now(UTC))
        self.event.set()
        self.release.wait(WAIT_SECONDS)
        self.at_once -= 1


@pytest.fixture
def started():
    running = []

    def start(entry: Entry, paused=free) -> Schedule:
        running.append(Schedule([entry], paused))
        running[-1].start()
        return running[-1]

    yield start
    for schedule in running:
        schedule.close()


def test_what_was_missed_is_made_up_for_once(started) -> None:
    called = Called()
    schedule = started(Entry("job:a", "0 0 1 1 *", called, last=NOON - timedelta(days=5 * 365)))
    assert called.event.wait(WAIT_SECONDS)
    schedule.close()
    assert len(called.times) == 1


def test_nothing_is_made_up_for_when_not_wanted(started) -> None:
    called = Called()
    schedule = started(
        Entry("job:a", "0 0 1 1 *", called, last=NOON - timedelta(days=5 * 365), catch_up=False)
    )
    assert schedule.next_times()["job:a"] > datetime.now(UTC)
    assert not called.times


def test_what_ran_lately_waits_for_its_time(started) -> None:
    called = Called()
    now = datetime.now(UTC)
    schedule = started(Entry("job:a", "0 0 1 1 *", called, last=now))
    assert schedule.next_times()["job:a"] == due("0 0 1 1 *", now)


def test_no_overlap(started) -> None:
    """Held in its first run over several of its times: it never runs twice at once."""
    called = Called()
    called.release.clear()
    schedule = started(Entry("job:a", "every 1s", called, last=NOON - timedelta(days=1)))
    assert called.event.wait(WAIT_SECONDS)
    first = schedule.next_times()["job:a"]
    deadline = datetime.now(UTC) + timedelta(seconds=WAIT_SECONDS)
    while schedule.next_times()["job:a"] < first + timedelta(seconds=2):
        assert datetime.now(UTC) < deadline
    assert len(called.times) == 1
    called.release.set()
    schedule.close()
    assert called.most_at_once == 1


def test_jitter_is_late_and_bounded() -> None:
    last = datetime.now(UTC)
    exact = due("0 0 1 1 *", last)
    times = set()
    for _ in range(20):
        schedule = Schedule([Entry("job:a", "0 0 1 1 *", lambda: None, last, jitter_seconds=600)], free)
        schedule._scheduler.start(paused=True)
        times.add(schedule.next_times()["job:a"])
        schedule.close()
    assert len(times) > 1
    assert all(exact <= moment <= exact + timedelta(seconds=600) for moment in times)


def test_nothing_starts_in_a_pause_and_it_starts_at_its_end(started) -> None:
    called, ends = Called(), []

    def paused(now):
        if not ends:
            ends.append(now + timedelta(seconds=0.5))
            return ends[0]
        return None if now >= ends[0] else ends[0]

    started(Entry("job:a", "0 0 1 1 *", called, last=NOON - timedelta(days=5 * 365)), paused)
    assert called.event.wait(WAIT_SECONDS)
    assert called.times[0] >= ends[0]
    assert len(called.times) == 1
