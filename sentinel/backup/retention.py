"""Which snapshots stay: restic's forget policy, with the reasons. restic internal/restic/snapshot_policy.go.

Snapshots are looked at from the newest to the oldest. A bucket (hour, day, ISO week, month, year) keeps the newest
snapshot in each of its last n buckets that have one; while it has counts left it also keeps the oldest of all, so that
history is as long as the policy allows. Times count in the zone the snapshot was made in (ours: UTC).
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sentinel.backup.lock import locked
from sentinel.backup.repo.gojson import SECOND
from sentinel.backup.store.store import Kind
from sentinel.errors import InvalidInputError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sentinel.backup.repo.repository import Repository
    from sentinel.backup.repo.snapshots import Snapshot

KEEP_ALL = -1
_DURATION = re.compile(r"(-?\d+)([hdmy])")
GROUPS: dict[str, Callable[[Snapshot], object]] = {
    "host": lambda snapshot: snapshot.hostname,
    "paths": lambda snapshot: tuple(sorted(snapshot.paths)),
    "tags": lambda snapshot: tuple(sorted(snapshot.tags)),
}


@dataclass(frozen=True, slots=True)
class Policy:
    """Counts: 0 is off, -1 keeps all. Durations as restic's ("2y5m7d3h"), counted back from the newest snapshot.

    `tags`: comma-joined lists; a snapshot with all tags of one list stays.
    """

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: str = ""
    within_hourly: str = ""
    within_daily: str = ""
    within_weekly: str = ""
    within_monthly: str = ""
    within_yearly: str = ""
    tags: tuple[str, ...] = ()

    def is_empty(self) -> bool:
        return self == Policy()


@dataclass(frozen=True, slots=True)
class Decision:
    snapshot: Snapshot
    keep: bool
    reasons: tuple[str, ...]


def decide(
    snapshots: Iterable[Snapshot], policy: Policy, *, group_by: Sequence[str] = ("host", "paths")
) -> list[Decision]:
    """One decision a snapshot, newest first within each group. An empty policy keeps everything."""
    groups: dict[tuple[object, ...], list[Snapshot]] = {}
    for snapshot in snapshots:
        groups.setdefault(tuple(GROUPS[name](snapshot) for name in group_by), []).append(snapshot)
    return [decision for group in groups.values() for decision in _decide_group(group, policy)]


def forget(repository: Repository, snapshot_ids: Iterable[str], *, retry_lock_seconds: float = 0.0) -> int:
    """Remove snapshot files; the data stays until the next prune. Returns how many were removed.

    What Object Lock still retains stays, and is for a later forget.
    """
    removed = 0
    with locked(repository, exclusive=True, retry_seconds=retry_lock_seconds) as lock:
        for snapshot_id in snapshot_ids:
            lock.check()
            if repository.store.is_retained(Kind.SNAPSHOT, snapshot_id):
                continue
            with contextlib.suppress(FileNotFoundError):
                repository.store.remove(Kind.SNAPSHOT, snapshot_id)
                removed += 1
    return removed


def check_duration(text: str) -> None:
    """InvalidInputError when this is no duration as restic writes them."""
    _parse_duration(text)


# --- inside -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Bucket:
    key: Callable[[datetime, int], int]
    reason: str
    count: int = 0
    after: datetime | None = None
    last: int = -1

    def takes(self, moment: datetime, number: int, *, oldest: bool) -> str | None:
        """The reason to keep this snapshot, or None."""
        if not self.count or (self.after is not None and moment <= self.after):
            return None
        value = self.key(moment, number)
        if value == self.last and not oldest:
            return None
        reason = f"oldest {self.reason}" if value == self.last else self.reason
        self.last = value
        if self.count > 0:
            self.count -= 1
        return reason


_KEYS: dict[str, Callable[[datetime, int], int]] = {
    "hourly": lambda moment, _: (moment.toordinal() * 24) + moment.hour,
    "daily": lambda moment, _: moment.toordinal(),
    "weekly": lambda moment, _: moment.isocalendar().year * 100 + moment.isocalendar().week,
    "monthly": lambda moment, _: moment.year * 12 + moment.month,
    "yearly": lambda moment, _: moment.year,
}


def _decide_group(group: list[Snapshot], policy: Policy) -> list[Decision]:
    ordered = sorted(group, key=lambda snapshot: snapshot.time_ns, reverse=True)
    if policy.is_empty():
        return [Decision(snapshot, keep=True, reasons=("policy is empty",)) for snapshot in ordered]
    latest = _moment(ordered[0])
    buckets = _buckets(policy, latest)
    within = _before(latest, policy.within) if policy.within else None
    decisions = []
    for number, snapshot in enumerate(ordered):
        moment = _moment(snapshot)
        reasons = [
            f"has tags [{', '.join(tags.split(','))}]"
            for tags in policy.tags
            if set(tags.split(",")) <= set(snapshot.tags)
        ]
        if within is not None and moment > within:
            reasons.append(f"within {policy.within}")
        oldest = number == len(ordered) - 1
        found = [bucket.takes(moment, number, oldest=oldest) for bucket in buckets]
        reasons += [reason for reason in found if reason is not None]
        decisions.append(Decision(snapshot, keep=bool(reasons), reasons=tuple(reasons)))
    return decisions


def _buckets(policy: Policy, latest: datetime) -> list[_Bucket]:
    buckets = [_Bucket(lambda _, number: number, "last snapshot", policy.last)]
    buckets += [_Bucket(key, f"{name} snapshot", getattr(policy, name)) for name, key in _KEYS.items()]
    for name, key in _KEYS.items():
        duration = getattr(policy, f"within_{name}")
        if duration:
            reason = f"{name} within {duration}"
            buckets.append(_Bucket(key, reason, KEEP_ALL, _before(latest, duration)))
    return buckets


def _moment(snapshot: Snapshot) -> datetime:
    """In the snapshot's own zone, as naive time: Go's time.Time keeps the offset it was parsed with."""
    return _utc(snapshot) + timedelta(seconds=snapshot.utc_offset_seconds)


def _utc(snapshot: Snapshot) -> datetime:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + timedelta(microseconds=snapshot.time_ns * 1_000_000 // SECOND)


def _before(moment: datetime, duration: str) -> datetime:
    """Go's AddDate: months first, then a day that does not exist runs over into the next month."""
    years, months, days, hours = _parse_duration(duration)
    month = moment.year * 12 + moment.month - 1 - 12 * years - months
    first = moment.replace(year=max(month // 12, 1), month=month % 12 + 1, day=1)
    return first + timedelta(days=moment.day - 1 - days, hours=-hours)


def _parse_duration(text: str) -> tuple[int, int, int, int]:
    parts = {unit: int(number) for number, unit in _DURATION.findall(text)}
    if not parts or _DURATION.sub("", text):
        raise InvalidInputError([Problem("keep", 0, f"{text!r} is no duration (write it as 2y5m7d3h)")])
    return parts.get("y", 0), parts.get("m", 0), parts.get("d", 0), parts.get("h", 0)
