"""When jobs and drills run: cron expressions and intervals, jitter, catch-up, no overlap, pauses.

In: entries (what to run when, and when it last ran). Out: calls, on a small pool of threads; `due` for the question
whether something is overdue. The only importer of apscheduler. Invariants: one entry never overlaps itself; a time
that passed while nothing ran is made up for once, not as often as it was missed; nothing starts in a pause, and what
was due then starts at its end. Times of cron expressions are UTC, like every clock here.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from sentinel.backup.cron import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sentinel.backup.settings import MaintenanceSettings

THREADS = 2  # a long job must not keep a drill from running; more would compete for the disk
EPOCH = datetime(2000, 1, 3, tzinfo=UTC)  # a Monday; intervals fall on a grid that no restart moves


def trigger(expression: str) -> Any:
    """`0 */6 * * *`, `@daily` or `every 6h` -> a trigger; ValueError says what is wrong."""
    when = parse(expression)
    if isinstance(when, float):
        return IntervalTrigger(seconds=int(when), start_date=EPOCH, timezone=UTC)
    times = {"minute": when.minute, "hour": when.hour, "month": when.month, "timezone": UTC}
    if when.day != "*" and when.weekday != "*":  # crontab(5): either of the two restrictions is enough
        return OrTrigger([CronTrigger(day=when.day, **times), CronTrigger(day_of_week=when.weekday, **times)])
    return CronTrigger(day=when.day, day_of_week=when.weekday, **times)


def due(expression: str, last: datetime) -> datetime | None:
    """The first time after `last`."""
    after = last + timedelta(microseconds=1)
    found: datetime | None = trigger(expression).get_next_fire_time(None, after)
    return found


def period_seconds(expression: str, at: datetime) -> float:
    """How long from one time to the next, around `at`."""
    first = due(expression, at)
    second = due(expression, first) if first else None
    return (second - first).total_seconds() if first and second else 0.0


# --- pauses -----------------------------------------------------------------------------------------------------


def window_end(windows: Sequence[MaintenanceSettings], now: datetime) -> datetime | None:
    """The end of the maintenance window that `now` lies in; windows that touch count as one."""
    end = None
    moment, moved = now, True
    while moved:
        moved = False
        for window in windows:
            start = trigger(window.schedule).get_next_fire_time(
                None, moment - timedelta(seconds=window.duration) + timedelta(microseconds=1)
            )
            if start is not None and start <= moment:
                end = moment = start + timedelta(seconds=window.duration)
                moved = True
    return end


# --- running ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """`last`: when it last ran, or was first heard of."""

    id: str
    expression: str
    call: Callable[[], None]
    last: datetime
    jitter_seconds: float = 0.0
    catch_up: bool = True


class Schedule:
    """Started once; `close` waits for what is running."""

    def __init__(self, entries: Sequence[Entry], paused_until: Callable[[datetime], datetime | None]) -> None:
        self._paused_until = paused_until
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(THREADS)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
        )
        for entry in entries:
            self._add(entry)

    def start(self) -> None:
        self._scheduler.start()

    def close(self) -> None:
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def next_times(self) -> dict[str, datetime]:
        return {job.id: job.next_run_time for job in self._scheduler.get_jobs() if job.next_run_time}

    def _add(self, entry: Entry) -> None:
        when = trigger(entry.expression)
        now = datetime.now(UTC)
        first = when.get_next_fire_time(None, entry.last + timedelta(microseconds=1))
        if first is not None and first <= now:
            first = now if entry.catch_up else when.get_next_fire_time(None, now)
        if entry.jitter_seconds and first is not None:
            # Many hosts share one schedule and one repository: each starts a little later than it says.
            first += timedelta(seconds=random.uniform(0, entry.jitter_seconds))  # noqa: S311
        self._scheduler.add_job(
            self._fire,
            _Late(when, entry.jitter_seconds),
            args=[entry],
            id=entry.id,
            next_run_time=first,
        )

    def _fire(self, entry: Entry) -> None:
        now = datetime.now(UTC)
        end = self._paused_until(now)
        if end is None:
            entry.call()
            return
        following = self._scheduler.get_job(entry.id)
        if following is not None and (following.next_run_time is None or following.next_run_time > end):
            following.modify(next_run_time=end)


class _Late(BaseTrigger):  # type: ignore[misc]
    """A trigger whose times come up to `jitter_seconds` late, never early; apscheduler asks only for the next one."""

    def __init__(self, when: Any, jitter_seconds: float) -> None:
        self.when = when
        self.jitter_seconds = jitter_seconds

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        exact = self.when.get_next_fire_time(previous, now)
        if exact is None or not self.jitter_seconds:
            return exact  # type: ignore[no-any-return]
        return exact + timedelta(seconds=random.uniform(0, self.jitter_seconds))  # type: ignore[no-any-return]  # noqa: S311
