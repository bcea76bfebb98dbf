"""A field of all rows of a batch, as conditions need it: spans, one packed buffer for Hyperscan, single values.

A field is asked as "NAME"; where the protocol side derives a decoded form of the request it is the column
"NAME|decoded", present in the rows where it differs. A rule that names a field means any of its forms.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sentinel.model import Column, Columns

    Rows = NDArray[np.int64]
    Mask = NDArray[np.bool_]
    Codes = NDArray[np.int64]

LINE = "event.original"
SHORT = 7  # bytes of a value that fit beside its length in one machine word
FORMS = ("", "|decoded")
# One name for all parts of a request that carry what a client wrote; a rule that names it means any of them.
_INPUT = ("url.original", "http.request.body.content", "http.request.cookie")
GROUPS = {
    "request.input": _INPUT,
    "request.any": (*_INPUT, "user_agent.original"),
    "request.page": (*_INPUT, "user_agent.original", "http.request.referrer"),
    "request.program": (*_INPUT, "http.request.referrer.query", "request.command"),
    "request.line": (*_INPUT, "http.request.referrer", "request.command", "user_agent.original"),
    "request.headers": ("user_agent.original", "http.request.referrer"),
}


@dataclass(slots=True)
class Values:
    """One form of one field; value i is `data[starts[i]:ends[i]]` where `present` is None or present[i]."""

    data: bytes
    starts: Rows
    ends: Rows
    present: Mask | None
    _distinct: tuple[list[bytes], Codes] | None = None

    @classmethod
    def of(cls, column: Column) -> Values:
        if column.ends is not None:
            return cls(column.data, column.offsets, column.ends, column.present)
        return cls(column.data, column.offsets[:-1], column.offsets[1:], column.present)

    def get(self, row: int) -> bytes | None:
        if self.present is not None and not self.present[row]:
            return None
        return self.data[self.starts[row] : self.ends[row]]

    def take(self, rows: Rows) -> list[bytes]:
        """The values of these rows, which all have one."""
        data = self.data
        return [data[a:b] for a, b in zip(self.starts[rows].tolist(), self.ends[rows].tolist(), strict=True)]

    def having(self, rows: Rows) -> Mask | None:
        return None if self.present is None else self.present[rows]

    def distinct(self) -> tuple[list[bytes], Codes]:
        """The different values, and which of them each row has (-1: none). Logs repeat themselves: clients, agents,
        referrers and many targets are worth looking at once a batch.
        """
        if self._distinct is None:
            rows = np.arange(len(self.starts)) if self.present is None else np.flatnonzero(self.present)
            codes = np.full(len(self.starts), -1, np.int64)
            if len(rows) and int((self.ends - self.starts)[rows].max()) <= SHORT:
                self._distinct = self._short(rows, codes), codes
                return self._distinct
            values = self.take(rows)
            index = dict.fromkeys(values, 0)
            for code, value in enumerate(index):
                index[value] = code
            codes[rows] = [index[value] for value in values]
            self._distinct = list(index), codes
        return self._distinct

    def _short(self, rows: Rows, codes: Codes) -> list[bytes]:
        """Status, method and their like: a value is a number of eight bytes, its length in the first."""
        view = np.frombuffer(self.data + bytes(SHORT), np.uint8)
        starts, lengths = self.starts[rows], (self.ends - self.starts)[rows]
        key = lengths.astype(np.uint64)
        for i in range(int(lengths.max())):
            key |= np.where(i < lengths, view[starts + i], 0).astype(np.uint64) << np.uint64(8 * (i + 1))
        _, firsts, codes[rows] = np.unique(key, return_index=True, return_inverse=True)
        return self.take(rows[firsts])

    def rows_of(self, values: Rows) -> Rows:
        """The rows that have one of these distinct values, ascending."""
        _, codes = self.distinct()
        wanted = np.zeros(int(codes.max(initial=-1)) + 2, np.bool_)
        wanted[values] = True
        return np.flatnonzero(wanted[codes])  # code -1 reads the last element, which is never wanted


@dataclass(slots=True)
class View:
    """All fields of one batch by name, made when first asked for."""

    columns: Columns
    _forms: dict[str, list[Values]] = field(default_factory=dict)
    _values: dict[str, Values | None] = field(default_factory=dict)
    # What a screen found: the rows of each needle, by field; and which tests it answers, by the id of the Test.
    hits: defaultdict[tuple[str, int], list[Rows]] = field(default_factory=lambda: defaultdict(list))
    asked: dict[int, tuple[str, int]] = field(default_factory=dict)

    def forms(self, name: str) -> list[Values]:
        found = self._forms.get(name)
        if found is None:
            names = GROUPS.get(name, (name or LINE,))
            made = (self._value(base + form) for base in names for form in FORMS)
            found = self._forms[name] = [values for values in made if values is not None]
        return found

    def _value(self, name: str) -> Values | None:
        """One object a column, so that groups of fields share what it has worked out."""
        if name not in self._values:
            column = self.columns.column(name)
            self._values[name] = None if column is None else Values.of(column)
        return self._values[name]

    def raw(self, name: str) -> Values | None:
        return self._value(name or LINE)

    def found(self, test: object) -> Rows | None:
        """Outside these rows the test is false; None: the screen was not asked."""
        key = self.asked.get(id(test))
        if key is None:
            return None
        rows = self.hits.get(key)
        return np.zeros(0, np.int64) if rows is None else rows[0] if len(rows) == 1 else np.concatenate(rows)

    def value(self, name: str, row: int) -> bytes | None:
        values = self.raw(name)
        return None if values is None else values.get(row)

    def text(self, name: str, row: int) -> str:
        return (self.value(name, row) or b"").decode("utf-8", "replace")
