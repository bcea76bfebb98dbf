"""The events of one group of one correlation, in order of event time, and whether a window of them is enough.

For each event e of the group its window holds the events with times in [e - timespan, e]. The condition is asked for
the window of the event that arrived, and, when it arrived late, for those of the later events that it falls
into: lines out of order give the alerts they give in order. After a finding the group starts anew and stays quiet for
one timespan. A window is bounded: what is far from the newest arrival (a clock that jumped) goes first.
Sigma correlation specification 2.1.0.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sentinel.detect.sigma.tree import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.detect.sigma.tree import Correlation

LARGEST = 4096  # events kept of a group, unless the condition itself counts further
NEVER = -(2**62)


@dataclass(slots=True)
class Window:
    """Parallel lists ordered by time: event times, what each event brings (value or index of its rule), its line."""

    times: list[int] = field(default_factory=list)
    values: list[object] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    fired: int = NEVER

    def add(self, time: int, value: object, line: int) -> int:
        """Insert by time, after events of the same time; the position."""
        if not self.times or time >= self.times[-1]:
            self.times.append(time)
            self.values.append(value)
            self.lines.append(line)
            return len(self.times) - 1
        at = bisect.bisect_right(self.times, time)
        self.times.insert(at, time)
        self.values.insert(at, value)
        self.lines.insert(at, line)
        return at

    def clear(self, time: int) -> None:
        self.times.clear()
        self.values.clear()
        self.lines.clear()
        self.fired = time

    def trim(self, low: int, high: int) -> int:
        """Keep times in [low, high]; how many went from the front."""
        first = bisect.bisect_left(self.times, low)
        last = bisect.bisect_right(self.times, high)
        for values in (self.times, self.values, self.lines):
            del values[last:]
            del values[:first]
        return first


@dataclass(slots=True)
class Watch:
    """What one correlation asks of a window; shared by all its groups."""

    correlation: Correlation
    enough: Callable[[Window, int, int], bool]
    largest: int

    @classmethod
    def of(cls, correlation: Correlation) -> Watch:
        highest = max((limit.number for limit in correlation.limits), default=1)
        largest = LARGEST
        if correlation.kind is Kind.EVENT_COUNT and {limit.operator for limit in correlation.limits} <= {
            "gt",
            "gte",
        }:
            largest = max(2 * int(highest) + 16, 64)  # more never stand within one timespan of each other
        return cls(correlation, _ENOUGH[correlation.kind](correlation), max(largest, 2 * int(highest) + 16))

    def arrive(self, window: Window, time: int, value: object, line: int) -> list[int] | None:
        """Add an event; the lines of the finding it completes."""
        span = self.correlation.timespan_ns
        if abs(time - window.fired) <= span:
            return None
        at = window.add(time, value, line)
        if len(window.times) > self.largest:
            at -= window.trim(time - span, time + span)
            if len(window.times) > self.largest:  # a condition that has no upper bound: keep the newest
                at -= len(window.times) - self.largest
                excess = len(window.times) - self.largest
                del window.times[:excess], window.values[:excess], window.lines[:excess]
                if at < 0:
                    return None
        for end in range(at, len(window.times)):
            low = window.times[end] - span
            if low > time:
                break
            first = bisect.bisect_left(window.times, low)
            if end + 1 < len(window.times) and window.times[end + 1] == window.times[end]:
                continue  # the window of the last event of an instant holds all of that instant
            if self.enough(window, first, end + 1):
                lines = window.lines[first : end + 1]
                window.clear(window.times[end])
                return lines
        return None


def _limits(correlation: Correlation) -> Callable[[float], bool]:
    limits = correlation.limits
    if len(limits) == 1:
        return limits[0].holds
    return lambda value: all(limit.holds(value) for limit in limits)


def _event_count(correlation: Correlation) -> Callable[[Window, int, int], bool]:
    holds = _limits(correlation)
    return lambda _, first, last: holds(last - first)


def _value_count(correlation: Correlation) -> Callable[[Window, int, int], bool]:
    holds = _limits(correlation)
    least = _least(correlation)
    return lambda window, first, last: last - first >= least and holds(len(set(window.values[first:last])))


def _least(correlation: Correlation) -> int:
    """So many events it takes at least: values, or rules, are never more than events."""
    return max(
        (int(limit.number) for limit in correlation.limits if limit.operator in {"gt", "gte"}), default=0
    )


def _temporal(correlation: Correlation) -> Callable[[Window, int, int], bool]:
    expression, holds = correlation.expression, _limits(correlation)

    def enough(window: Window, first: int, last: int) -> bool:
        seen = {value for value in window.values[first:last] if isinstance(value, int)}
        return expression.holds(seen) if expression is not None else holds(len(seen))

    return enough


def _temporal_ordered(correlation: Correlation) -> Callable[[Window, int, int], bool]:
    expression, holds = correlation.expression, _limits(correlation)
    least = 0 if expression is not None else _least(correlation)

    def enough(window: Window, first: int, last: int) -> bool:
        if last - first < least or len(set(window.values[first:last])) < least:
            return False
        values = [value for value in window.values[first:last] if isinstance(value, int)]
        if expression is not None and not expression.holds(set(values)):
            return False
        steps = longest_run(values, len(correlation.rules))
        return holds(steps) if expression is None else steps == len(set(values))

    return enough


def longest_run(values: list[int], rules: int) -> int:
    """How many of the rules 0, 1, 2 ... were seen in increasing order (the longest strictly increasing subsequence)."""
    tails: list[int] = []
    for value in values:
        at = bisect.bisect_left(tails, value)
        if at == len(tails):
            tails.append(value)
        else:
            tails[at] = value
        if len(tails) == rules:
            break
    return len(tails)


def _numeric(
    summary: Callable[[list[float], Correlation], float],
) -> Callable[[Correlation], Callable[[Window, int, int], bool]]:
    def of(correlation: Correlation) -> Callable[[Window, int, int], bool]:
        holds = _limits(correlation)

        def enough(window: Window, first: int, last: int) -> bool:
            numbers = [value for value in window.values[first:last] if isinstance(value, (int, float))]
            return bool(numbers) and holds(summary(numbers, correlation))

        return enough

    return of


def percentile(numbers: list[float], share: float) -> float:
    """Nearest rank: the smallest number that at least `share` percent of the numbers do not exceed."""
    ordered = sorted(numbers)
    rank = -(-len(ordered) * share // 100)
    return ordered[max(int(rank), 1) - 1]


def median(numbers: list[float]) -> float:
    ordered = sorted(numbers)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


_ENOUGH: dict[Kind, Callable[[Correlation], Callable[[Window, int, int], bool]]] = {
    Kind.EVENT_COUNT: _event_count,
    Kind.VALUE_COUNT: _value_count,
    Kind.TEMPORAL: _temporal,
    Kind.TEMPORAL_ORDERED: _temporal_ordered,
    Kind.VALUE_SUM: _numeric(lambda numbers, _: sum(numbers)),
    Kind.VALUE_AVG: _numeric(lambda numbers, _: sum(numbers) / len(numbers)),
    Kind.VALUE_PERCENTILE: _numeric(lambda numbers, correlation: percentile(numbers, correlation.percentile)),
    Kind.VALUE_MEDIAN: _numeric(lambda numbers, _: median(numbers)),
}
