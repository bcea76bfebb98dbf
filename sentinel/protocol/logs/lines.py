"""The rows of a batch without their line ends, and the two shapes in which a format hands back fields.

In: a Batch of log lines. Out: a Table per batch: event times, which rows matched, and columns by ECS name. `Spans`
keeps every field as (start, end) inside the batch and copies nothing; `Records` keeps a mapping per row, for
formats whose fields depend on the row (JSON, daemons' messages). Neither raises on any bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from sentinel.model import Column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from sentinel.model import Batch

NO_TIME = -(2**63)  # a row without a readable time; the parser gives it the time of the row before
LATEST = 2**63 - 1  # nanoseconds: the year 2262
NEWLINE, RETURN = 10, 13

Record = dict[str, bytes]


@dataclass(slots=True)
class Lines:
    """Row i is `data[starts[i]:ends[i]]`: one line, without newline and carriage return."""

    data: bytes
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, batch: Batch) -> Lines:
        starts = batch.offsets[:-1]
        ends = batch.offsets[1:].copy()
        if len(starts):
            view = np.frombuffer(batch.data, np.uint8)
            for byte in (NEWLINE, RETURN):
                full = ends > starts
                ends[full] -= view[ends[full] - 1] == byte
        return cls(batch.data, starts, ends)

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[bytes]:
        data = self.data
        for start, end in zip(self.starts.tolist(), self.ends.tolist(), strict=True):
            yield data[start:end]

    def take(self, rows: NDArray[np.intp]) -> Lines:
        return Lines(self.data, self.starts[rows], self.ends[rows])

    def whole(self) -> Column:
        return Column(self.data, self.starts, None, self.ends)


class Table(Protocol):
    """What a format makes of one batch."""

    @property
    def times(self) -> NDArray[np.int64]: ...

    @property
    def parsed(self) -> NDArray[np.bool_]: ...

    def names(self) -> Iterable[str]: ...

    def column(self, name: str) -> Column | None: ...


@dataclass(slots=True)
class Spans:
    """Fields as spans of the batch. A field is computed when it is asked for: `makers` maps names to functions."""

    times: NDArray[np.int64]
    parsed: NDArray[np.bool_]
    makers: dict[str, Callable[[], Column | None]]

    def names(self) -> Iterable[str]:
        return self.makers

    def column(self, name: str) -> Column | None:
        maker = self.makers.get(name)
        return maker() if maker else None


@dataclass(slots=True)
class Records:
    """A mapping per row; None where the format did not match."""

    rows: Sequence[Record | None]
    times: NDArray[np.int64]
    parsed: NDArray[np.bool_] = field(init=False)
    _names: dict[str, None] | None = None

    def __post_init__(self) -> None:
        self.parsed = np.fromiter((row is not None for row in self.rows), np.bool_, len(self.rows))

    def names(self) -> dict[str, None]:
        if self._names is None:
            self._names = {}
            for row in self.rows:
                if row:
                    self._names |= dict.fromkeys(row)
        return self._names

    def column(self, name: str) -> Column | None:
        if name not in self.names():
            return None  # most rules ask for fields that most formats lack
        return Column.of([row.get(name) if row else None for row in self.rows])


@dataclass(slots=True)
class Mixed:
    """A table whose unmatched rows were read otherwise: an error line in an access log, say."""

    table: Spans
    extra: dict[int, Record]

    @property
    def times(self) -> NDArray[np.int64]:
        return self.table.times

    @property
    def parsed(self) -> NDArray[np.bool_]:
        return self.table.parsed

    def names(self) -> Iterable[str]:
        return dict.fromkeys([*self.table.names(), *(name for row in self.extra.values() for name in row)])

    def column(self, name: str) -> Column | None:
        column = self.table.column(name)
        if not any(name in row for row in self.extra.values()):
            return column
        none: list[bytes | None] = [None] * len(self.times)
        values = column.values() if column else none
        for number, row in self.extra.items():
            values[number] = row.get(name)
        return Column.of(values)


def records(rows: Sequence[tuple[Record | None, int]]) -> Records:
    """From (fields, time) per row."""
    times = np.fromiter((time if abs(time) < LATEST else NO_TIME for _, time in rows), np.int64, len(rows))
    return Records([row for row, _ in rows], times)
