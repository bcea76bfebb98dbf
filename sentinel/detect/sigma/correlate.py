"""Events of rules -> findings of correlations, in bounded memory and by event time.

An event is a row that a rule matched, or the finding of a correlation that another one refers to (chaining). Groups
live in two tables per correlation: those seen once (first in, first out) and those seen again (least recently used
goes first). So ten million one-off visitors push out each other, not the one who keeps coming. Evictions are counted.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sentinel.detect.sigma.predicate import number_of
from sentinel.detect.sigma.tree import Kind
from sentinel.detect.sigma.window import Watch, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sentinel.detect.sigma.tree import Correlation, Heading

    Read = Callable[[str], bytes | None]
    Key = tuple[bytes, ...]

ONCE = 65_536  # groups seen once, per correlation
AGAIN = 32_768  # groups seen more often, per correlation
NUMERIC = {Kind.VALUE_SUM, Kind.VALUE_AVG, Kind.VALUE_PERCENTILE, Kind.VALUE_MEDIAN}


@dataclass(frozen=True, slots=True)
class Finding:
    """A correlation's condition held: at `time`, for the group `key`, over these lines; `row` is the last event's."""

    correlation: Correlation
    time: int
    row: int
    key: Key
    lines: tuple[int, ...]


@dataclass(slots=True)
class Groups:
    """The state of one correlation."""

    correlation: Correlation
    watch: Watch
    once: OrderedDict[Key, tuple[int, object, int]] = field(default_factory=OrderedDict)
    again: OrderedDict[Key, Window] = field(default_factory=OrderedDict)
    evicted: int = 0
    fields: list[tuple[str, ...]] = field(default_factory=list)  # per referred rule: where group-by stands
    single: bool = (
        False  # one event alone can be enough: nothing to be gained from the table of those seen once
    )

    @classmethod
    def of(cls, correlation: Correlation) -> Groups:
        groups = cls(correlation, Watch.of(correlation))
        for index in range(len(correlation.rules)):
            names = tuple(correlation.aliases.get(name, {}).get(index, name) for name in correlation.group_by)
            groups.fields.append(names)
        groups.single = not _needs_two(correlation)
        return groups

    def arrive(self, index: int, time: int, line: int, read: Read) -> tuple[Key, list[int]] | None:
        names = self.fields[index]
        key = (read(names[0]) or b"",) if len(names) == 1 else tuple([read(name) or b"" for name in names])
        if key and not any(key):
            return None  # no such field in this line: there is nobody to group by
        value = self._value(index, read)
        if value is None:
            return None
        window = self.again.get(key)
        if window is None:
            first = self.once.pop(key, None)
            if first is None and not self.single:
                self._remember(key, (time, value, line))
                return None
            window = self.again[key] = Window()
            if first is not None:
                window.add(*first)
            self._bound()
        else:
            self.again.move_to_end(key)
        lines = self.watch.arrive(window, time, value, line)
        return None if lines is None else (key, lines)

    def _value(self, index: int, read: Read) -> object:
        kind = self.correlation.kind
        if kind in {Kind.TEMPORAL, Kind.TEMPORAL_ORDERED}:
            return index
        if kind is Kind.EVENT_COUNT:
            return True
        names = self.correlation.value_fields
        if kind in NUMERIC:
            text = read(names[0])
            return None if text is None else number_of(text)
        values = [read(name) for name in names]
        if None in values:
            return None
        return hash(tuple(values))

    def _remember(self, key: Key, event: tuple[int, object, int]) -> None:
        if len(self.once) >= ONCE:
            self.once.popitem(last=False)
            self.evicted += 1
        self.once[key] = event

    def _bound(self) -> None:
        if len(self.again) > AGAIN:
            self.again.popitem(last=False)
            self.evicted += 1


def _needs_two(correlation: Correlation) -> bool:
    """Whether one event can never be enough."""
    if correlation.expression is not None or correlation.kind in NUMERIC:
        return False
    return all(limit.operator in {"gt", "gte", "eq"} and not limit.holds(1) for limit in correlation.limits)


def _chained(known: dict[str, bytes], read: Read) -> Read:
    """Fields of a finding: its group, else those of the line that completed it."""
    return lambda name: known.get(name) or read(name)


class Correlator:
    """All correlations of a rule set; events arrive in the order of the log."""

    def __init__(self, correlations: Iterable[Correlation]) -> None:
        self.groups = [Groups.of(correlation) for correlation in correlations]
        self._listeners: dict[int, list[tuple[Groups, int]]] = {}
        for groups in self.groups:
            for index, rule in enumerate(groups.correlation.rules):
                self._listeners.setdefault(id(rule), []).append((groups, index))

    def listens(self, rule: Heading) -> bool:
        return id(rule) in self._listeners

    def arrive(self, rule: Heading, row: int, time: int, line: int, read: Read) -> Iterator[Finding]:
        for groups, index in self._listeners.get(id(rule), ()):
            found = groups.arrive(index, time, line, read)
            if found is None:
                continue
            key, lines = found
            correlation = groups.correlation
            yield Finding(correlation, time, row, key, tuple(lines))
            if id(correlation) in self._listeners:
                known = dict(zip(correlation.group_by, key, strict=True))
                yield from self.arrive(correlation, row, time, line, _chained(known, read))

    @property
    def evicted(self) -> int:
        return sum(groups.evicted for groups in self.groups)

    def sizes(self) -> int:
        return sum(len(groups.once) + len(groups.again) for groups in self.groups)
