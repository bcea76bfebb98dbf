"""Events of rules -> findings of correlations, in bounded memory and by event time.

An event is a row that a rule matched, or the finding of a correlation that another one refers to (chaining). Groups
live in two tables per correlation: those seen once (first in, first out) and those seen again (least recently used
goes first). So ten million one-off visitors push out each other, not the one who keeps coming. Evictions are counted.
Events come a batch at a time; what a correlation finds depends on their order alone.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sentinel.detect.sigma.memory import NUMERIC, Events, Reader, Writer
from sentinel.detect.sigma.predicate import number_of
from sentinel.detect.sigma.tree import Kind
from sentinel.detect.sigma.window import Watch, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sentinel.detect.sigma.tree import Correlation, Heading
    from sentinel.detect.sigma.values import Rows, View

    Read = Callable[[str], list[bytes | None]]  # a field's value of each row
    Key = tuple[bytes, ...]
    Mark = Key | bytes
    Change = tuple[str, bool, bytes]  # name, whether it replaces all before it, data

ONCE = 65_536  # groups seen once, per correlation
AGAIN = 32_768  # groups seen more often, per correlation
EVENTS = 1_000_000  # kept in windows, per correlation
LONGEST_VALUE = 32  # bytes of a counted value that are kept as they are in a replay; of longer ones a hash is
HASH_BYTES = 16
LATE_NS = 600 * 10**9  # lines later than that, behind the newest and the timespan, count no more
SMALLEST_RECORDS = 256 * 1024  # bytes of records that are worth a whole state in their stead
MOST_RECORDS = 1000


@dataclass(frozen=True, slots=True)
class Finding:
    """A correlation's condition held: at `time`, for the group `key`, over these lines; `row` is the last event's."""

    correlation: Correlation
    time: int
    row: int
    key: Key
    lines: tuple[int, ...]


@dataclass(slots=True)
class Stored:
    """What the state's store holds of one correlation: records since the last whole state."""

    records: int = 0
    bytes_: int = 0
    whole: int = 0

    def is_due(self, size: int) -> bool:
        """Whether the whole state should be stored instead of one more record of so many bytes."""
        return self.records >= MOST_RECORDS or self.bytes_ + size > max(SMALLEST_RECORDS, self.whole)


@dataclass(slots=True)
class Groups:
    """The state of one correlation."""

    correlation: Correlation
    watch: Watch
    once: OrderedDict[Mark, tuple[int, object, int]] = field(default_factory=OrderedDict)
    again: OrderedDict[Mark, Window] = field(default_factory=OrderedDict)
    held: int = 0  # events in the windows of `again`
    evicted: int = 0
    fields: list[tuple[str, ...]] = field(default_factory=list)  # per referred rule: where group-by stands
    # One event alone can be enough: nothing to be gained from the table of those seen once.
    single: bool = False
    name: str = ""
    secret: bytes = b""  # where the state is stored: the key of the hashes of groups and values
    stored: Stored = field(default_factory=Stored)
    swept: int | None = None  # the newest time at which groups that are over were let go

    @classmethod
    def of(cls, correlation: Correlation) -> Groups:
        groups = cls(correlation, Watch.of(correlation))
        for index in range(len(correlation.rules)):
            names = tuple(correlation.aliases.get(name, {}).get(index, name) for name in correlation.group_by)
            groups.fields.append(names)
        groups.single = not _needs_two(correlation)
        groups.name = _name(correlation)
        return groups

    def events(self, index: int, rows: list[int], times: list[int], lines: list[int], read: Read) -> Events:
        """What these rows of a referred rule bring. A row without any of the group's fields has nobody to group by."""
        columns = [[value or b"" for value in read(name)] for name in self.fields[index]]
        keys: list[Key] = list(zip(*columns, strict=True)) if columns else [()] * len(rows)
        marks: list[Mark] = [self._hash(key) for key in keys] if self.secret else [*keys]
        events = Events(keys, marks, times, self._values(index, len(rows), read), lines, rows)
        useful = [
            number
            for number, (key, value) in enumerate(zip(keys, events.values, strict=True))
            if value is not None and (not key or any(key))
        ]
        return events if len(useful) == len(rows) else events.take(useful)

    def arrive(self, events: Events) -> list[tuple[int, list[int]]]:
        """(number of the event, lines of the finding) for each finding that these events complete."""
        if events.times:  # the middle one: one line with a wrong clock moves nothing
            self._sweep(sorted(events.times)[len(events.times) // 2])
        found = []
        again, once, watch = self.again, self.once, self.watch
        arriving = zip(events.marks, events.times, events.values, events.lines, strict=True)
        for number, (mark, time, value, line) in enumerate(arriving):
            window = again.get(mark)
            if window is None:
                first = once.pop(mark, None)
                if first is None and not self.single:
                    self._remember(mark, (time, value, line))
                    continue
                window = again[mark] = Window()
                if first is not None:
                    window.add(*first)
                    self.held += 1
            else:
                again.move_to_end(mark)
            before = len(window.times)
            lines = watch.arrive(window, time, value, line)
            self.held += len(window.times) - before
            self._bound()
            if lines is not None:
                found.append((number, lines))
        return found

    def record(self, events: Events) -> Change:
        """What must be stored so that these events, which have arrived, are not forgotten."""
        writer = Writer(self.correlation.kind)
        writer.events(events)
        data = writer.data()
        if self.stored.is_due(len(data)):
            data = self._whole()
            self.stored = Stored(whole=len(data))
            return self.name, True, data
        self.stored.records += 1
        self.stored.bytes_ += len(data)
        return self.name, False, data

    def restore(self, data: bytes, *, whole: bool) -> None:
        """Take back what `record` gave, in that order."""
        reader = Reader(self.correlation.kind, data)
        events = reader.events()
        if not whole:
            self.arrive(events)
            self.stored.records += 1
            self.stored.bytes_ += len(data)
            return
        self.stored = Stored(whole=len(data))
        cells = zip(events.times, events.values, events.lines, strict=True)
        self.once = OrderedDict(zip(events.marks, cells, strict=True))
        self.again = OrderedDict()
        fired, sizes = reader.integers(), reader.integers()
        marks = reader.texts()
        times, lines = reader.integers(), reader.integers()
        values = reader.values(len(times))
        at = 0
        for mark, size, last in zip(marks, sizes, fired, strict=True):
            end = at + size
            self.again[mark] = Window(times[at:end], values[at:end], lines[at:end], last)
            at = end
        self.held = len(times)

    def _whole(self) -> bytes:
        writer = Writer(self.correlation.kind)
        cells = list(self.once.values())
        writer.integers([time for time, _, _ in cells])
        writer.integers([line for _, _, line in cells])
        writer.texts([*self.once])  # type: ignore[list-item]  # hashes
        writer.values([value for _, value, _ in cells])
        windows = list(self.again.values())
        writer.integers([window.fired for window in windows])
        writer.integers([len(window.times) for window in windows])
        writer.texts([*self.again])  # type: ignore[list-item]  # hashes
        writer.integers([time for window in windows for time in window.times])
        writer.integers([line for window in windows for line in window.lines])
        writer.values([value for window in windows for value in window.values])
        return writer.data()

    def _values(self, index: int, rows: int, read: Read) -> list[object]:
        """What each event brings to its window; None where it lacks the field that counts."""
        kind = self.correlation.kind
        if kind in {Kind.TEMPORAL, Kind.TEMPORAL_ORDERED}:
            return [index] * rows
        if kind is Kind.EVENT_COUNT:
            return [True] * rows
        names = self.correlation.value_fields
        if kind in NUMERIC:
            return [None if text is None else _float(text) for text in read(names[0])]
        given = zip(*map(read, names), strict=True)
        return [None if None in values else self._counted(values) for values in given]

    def _counted(self, values: tuple[bytes | None, ...]) -> bytes:
        if not self.secret and len(values) == 1 and len(values[0] or b"") <= LONGEST_VALUE:
            return values[0] or b""
        return self._hash(tuple(value or b"" for value in values))

    def _hash(self, texts: Key) -> bytes:
        """Of one text, or of several with their lengths."""
        data = texts[0] if len(texts) == 1 else b"".join(b"%d %b" % (len(text), text) for text in texts)
        return hashlib.blake2b(data, digest_size=HASH_BYTES, key=self.secret).digest()

    def _remember(self, mark: Mark, event: tuple[int, object, int]) -> None:
        if len(self.once) >= ONCE:
            self.once.popitem(last=False)
            self.evicted += 1
        self.once[mark] = event

    def _sweep(self, newest: int) -> None:
        """Let go of groups in whose windows nothing can fall any more."""
        if self.swept is None:
            self.swept = newest
        kept = self.correlation.timespan_ns + LATE_NS
        if newest - self.swept < kept:
            return
        self.swept, limit = newest, newest - kept
        for mark in [mark for mark, (time, _, _) in self.once.items() if time < limit]:
            del self.once[mark]
        for mark, window in list(self.again.items()):
            if (window.times[-1] if window.times else window.fired) < limit:
                self.held -= len(window.times)
                del self.again[mark]

    def _bound(self) -> None:
        while len(self.again) > AGAIN or (self.held > EVENTS and len(self.again) > 1):
            _, window = self.again.popitem(last=False)
            self.held -= len(window.times)
            self.evicted += 1


def _float(text: bytes) -> float | None:
    number = number_of(text)
    return None if number is None else float(number)


def _name(correlation: Correlation) -> str:
    """By what a stored state is known: the id, and all that gives the state its meaning."""
    c = correlation
    meaning = (
        c.kind,
        c.group_by,
        c.timespan_ns,
        c.limits,
        c.value_fields,
        c.percentile,
        c.aliases,
        c.expression,
    )
    text = repr((meaning, [rule.id for rule in c.rules]))
    return f"{c.id}:{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"


def _needs_two(correlation: Correlation) -> bool:
    """Whether one event can never be enough."""
    if correlation.expression is not None or correlation.kind in NUMERIC:
        return False
    return all(limit.operator in {"gt", "gte", "eq"} and not limit.holds(1) for limit in correlation.limits)


class Correlator:
    """All correlations of a rule set; events arrive in the order of the log. With a `secret`, `changes` are what a
    store must keep of the last batch; nothing in them can be read without it.
    """

    def __init__(self, correlations: Iterable[Correlation]) -> None:
        self.groups = [Groups.of(correlation) for correlation in correlations]
        self.recording = False
        self.changes: list[Change] = []
        self._listened = {id(rule) for groups in self.groups for rule in groups.correlation.rules}
        self._ordered = self._referred_first()

    def listens(self, rule: Heading) -> bool:
        return id(rule) in self._listened

    def arrive(self, matched: Sequence[tuple[Heading, Rows]], view: View) -> list[Finding]:
        """What the rows that rules matched complete; rows ascend."""
        self.changes = []
        rows_of = {id(rule): rows for rule, rows in matched}
        found_by: dict[int, list[Finding]] = {}
        for groups in self._ordered:
            events = self._events(groups, rows_of, found_by, view)
            if events is None:
                continue
            correlation = groups.correlation
            found_by[id(correlation)] = [
                Finding(correlation, events.times[n], events.rows[n], events.keys[n], tuple(lines))
                for n, lines in groups.arrive(events)
            ]
            if self.recording:
                self.changes.append(groups.record(events))
        return [finding for findings in found_by.values() for finding in findings]

    def restore(self, stored: Iterable[Change], secret: bytes) -> None:
        """Take back the windows of correlations that still mean what they meant, and record from now on."""
        self.recording = True
        for groups in self.groups:
            groups.secret = secret
        by_name = {groups.name: groups for groups in self.groups}
        for name, whole, data in stored:
            if name in by_name:
                by_name[name].restore(data, whole=whole)

    @property
    def names(self) -> set[str]:
        return {groups.name for groups in self.groups}

    @property
    def evicted(self) -> int:
        return sum(groups.evicted for groups in self.groups)

    def sizes(self) -> int:
        return sum(len(groups.once) + len(groups.again) for groups in self.groups)

    def _events(
        self, groups: Groups, rows_of: dict[int, Rows], found_by: dict[int, list[Finding]], view: View
    ) -> Events | None:
        """What arrives at one correlation, by row."""
        parts = []
        for index, rule in enumerate(groups.correlation.rules):
            if id(rule) in rows_of:
                parts.append(_of_rows(groups, index, rows_of[id(rule)], view))
            elif found_by.get(id(rule)):
                parts.append(_of_findings(groups, index, found_by[id(rule)], view))
        if len(parts) < 2:
            return parts[0] if parts and parts[0].rows else None
        merged = Events()
        for part in parts:
            merged.extend(part)
        if not merged.rows:
            return None
        return merged.take(sorted(range(len(merged.rows)), key=merged.rows.__getitem__))

    def _referred_first(self) -> list[Groups]:
        """Every correlation after those that it refers to."""
        by_id = {id(groups.correlation): groups for groups in self.groups}
        ordered: dict[int, Groups] = {}

        def add(groups: Groups) -> None:
            for rule in groups.correlation.rules:
                if id(rule) in by_id and id(rule) not in ordered:
                    add(by_id[id(rule)])
            ordered[id(groups.correlation)] = groups

        for groups in self.groups:
            add(groups)
        return list(ordered.values())


def _of_rows(groups: Groups, index: int, rows: Rows, view: View) -> Events:
    times, lines = view.columns.times[rows].tolist(), view.columns.numbers[rows].tolist()
    part = view.part(rows)
    here = rows if part is view else np.arange(len(rows))
    return groups.events(index, rows.tolist(), times, lines, lambda name: part.texts(name, here))


def _of_findings(groups: Groups, index: int, findings: list[Finding], view: View) -> Events:
    """Fields of a finding: its group, else those of the line that completed it."""
    findings = sorted(findings, key=lambda finding: finding.row)
    rows = [finding.row for finding in findings]

    def read(name: str) -> list[bytes | None]:
        known = [dict(zip(f.correlation.group_by, f.key, strict=True)).get(name) for f in findings]
        own = view.texts(name, np.array(rows, np.int64))
        return [value or other for value, other in zip(known, own, strict=True)]

    lines = view.columns.numbers[rows].tolist()
    return groups.events(index, rows, [finding.time for finding in findings], lines, read)
