"""Is a log still alive: the time since its last line against what is usual for it, from its own past.

In: the wall clock times at which lines arrived. Out: which sources went quiet or came back, and the two figures a
dashboard shows. What is usual is the longest gap between lines in each of the last HOURS hours: a log that sleeps at
night has long gaps in its record and raises nothing then. A source says nothing about itself before it was watched
for LEARNING_SECONDS, unless it never had a line at all.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from sentinel import metrics

HOURS = 24 * 7  # a shop's week: the quietest hour of Sunday night is part of what is usual
HOUR_SECONDS = 3600.0
LEARNING_SECONDS = 3600.0
TOLERANCE = 3.0  # times the longest usual gap
SHORTEST_SECONDS = 300.0  # never call a log quiet before this


@dataclass(slots=True)
class Source:
    since: float
    last: float | None = None
    quiet: bool = False
    hour: int = 0
    gaps: deque[float] = field(default_factory=lambda: deque(maxlen=HOURS))

    def limit(self) -> float:
        return max(SHORTEST_SECONDS, TOLERANCE * max(self.gaps, default=0.0))


@dataclass(frozen=True, slots=True)
class Change:
    """A source went quiet (`quiet`) or came back; `seconds` of silence against the `limit`."""

    source: str
    quiet: bool
    seconds: float
    limit: float


class Liveness:
    """`seen` for every batch, `check` now and then. Times are seconds of a clock that never runs backwards."""

    def __init__(self) -> None:
        self._sources: dict[str, Source] = {}

    def watch(self, source: str, now: float) -> None:
        self._sources.setdefault(source, Source(now))

    def seen(self, source: str, now: float) -> None:
        entry = self._sources.setdefault(source, Source(now))
        if entry.last is not None and not entry.quiet:
            self._learn(entry, now - entry.last, now)
        entry.last = now

    def check(self, now: float) -> list[Change]:
        changes = []
        for name, entry in self._sources.items():
            silent = now - (entry.since if entry.last is None else entry.last)
            limit = entry.limit()
            learned = now - entry.since >= LEARNING_SECONDS
            quiet = silent > limit and learned
            metrics.log_quiet_limit.set(limit, file=name)
            metrics.log_quiet.set(float(quiet), file=name)
            if quiet != entry.quiet:
                entry.quiet = quiet
                changes.append(Change(name, quiet, silent, limit))
        return changes

    def forget(self, keep: set[str]) -> None:
        for name in self._sources.keys() - keep:
            del self._sources[name]

    def _learn(self, entry: Source, gap: float, now: float) -> None:
        hour = int(now // HOUR_SECONDS)
        if hour != entry.hour or not entry.gaps:
            entry.gaps.append(gap)
            entry.hour = hour
        elif gap > entry.gaps[-1]:
            entry.gaps[-1] = gap
