"""The state of a correlation as bytes, so that a window survives kill -9 (stored beside the positions of the logs).

What arrived since the last commit is a small record; now and then the whole state replaces the records before it.
Arriving is deterministic: the state made anew from the last whole one and the records after it is the state that was.
Groups and counted values are stored as keyed hashes: an account's name may be somebody's e-mail address.
Numbers are little-endian; texts are their lengths and then their bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sentinel.detect.sigma.tree import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    Key = tuple[bytes, ...]
    Mark = Key | bytes

NUMERIC = {Kind.VALUE_SUM, Kind.VALUE_AVG, Kind.VALUE_PERCENTILE, Kind.VALUE_MEDIAN}


@dataclass(slots=True)
class Events:
    """What arrives at one correlation, in the order of the log: parallel lists. `marks` tell groups apart, `keys` show
    them (and are not kept). Rows count in the batch.
    """

    keys: list[Key] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    values: list[object] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)

    def extend(self, other: Events) -> None:
        self.keys += other.keys
        self.marks += other.marks
        self.times += other.times
        self.values += other.values
        self.lines += other.lines
        self.rows += other.rows

    def take(self, numbers: Sequence[int]) -> Events:
        return Events(
            [self.keys[number] for number in numbers],
            [self.marks[number] for number in numbers],
            [self.times[number] for number in numbers],
            [self.values[number] for number in numbers],
            [self.lines[number] for number in numbers],
            [self.rows[number] for number in numbers],
        )


class Writer:
    """Arrays one after the other."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._parts: list[bytes] = []

    def integers(self, values: Sequence[int]) -> None:
        self._parts += [len(values).to_bytes(4, "little"), np.asarray(values, "<i8").tobytes()]

    def texts(self, values: Sequence[bytes]) -> None:
        self.integers([len(value) for value in values])
        self._parts += values

    def values(self, values: Sequence[object]) -> None:
        if self._kind is Kind.VALUE_COUNT:
            self.texts(values)  # type: ignore[arg-type]  # as Groups makes them
        elif self._kind is not Kind.EVENT_COUNT:
            self._parts += [len(values).to_bytes(4, "little"), np.asarray(values, "<f8").tobytes()]

    def events(self, events: Events) -> None:
        self.integers(events.times)
        self.integers(events.lines)
        self.texts(events.marks)  # type: ignore[arg-type]  # hashes, where states are stored
        self.values(events.values)

    def data(self) -> bytes:
        return b"".join(self._parts)


class Reader:
    """What a Writer wrote, in the same order."""

    def __init__(self, kind: Kind, data: bytes) -> None:
        self._kind, self._data = kind, data
        self._at = 0

    def integers(self) -> list[int]:
        found: list[int] = self._numbers("<i8")
        return found

    def texts(self) -> list[bytes]:
        values = []
        for size in self.integers():
            values.append(self._data[self._at : self._at + size])
            self._at += size
        return values

    def values(self, count: int) -> list[object]:
        if self._kind is Kind.EVENT_COUNT:
            return [True] * count
        if self._kind is Kind.VALUE_COUNT:
            return list(self.texts())
        numbers = self._numbers("<f8")
        return list(numbers) if self._kind in NUMERIC else list(map(int, numbers))

    def events(self) -> Events:
        times, lines = self.integers(), self.integers()
        count = len(times)
        return Events([()] * count, list(self.texts()), times, self.values(count), lines, [0] * count)

    def _numbers(self, form: str) -> list[Any]:
        count = int.from_bytes(self._data[self._at : self._at + 4], "little")
        self._at += 4
        found: list[Any] = np.frombuffer(self._data, form, count, self._at).tolist()
        self._at += 8 * count
        return found
