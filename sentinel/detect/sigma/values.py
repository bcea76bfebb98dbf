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
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sentinel.detect.sigma.predicate import Needle
    from sentinel.model import Column, Columns

    Rows = NDArray[np.int64]
    Mask = NDArray[np.bool_]
    Codes = NDArray[np.int64]
    Asked = tuple[str, Needle]  # a field and what is looked for in it

LINE = "event.original"
NEWLINE, ZERO = 10, 48
DIGITS = 15  # a number of so many digits is exact as a float too
INNER_NEWLINE = b"\x0b"
FORMS = ("", "|decoded")
# One name for all parts of a request that carry what a client wrote; a rule that names it means any of them.
# Sigma's keywords are looked for in the line, and in the parts of a request as the application saw them.
_INPUT = ("url.original", "http.request.body.content", "http.request.cookie")
GROUPS = {
    LINE: (LINE, *_INPUT, "http.request.referrer", "user_agent.original"),
    "request.input": _INPUT,
    "request.any": (*_INPUT, "user_agent.original"),
    "request.page": (*_INPUT, "user_agent.original", "http.request.referrer"),
    "request.program": (*_INPUT, "http.request.referrer.query", "request.command"),
    "request.line": (*_INPUT, "http.request.referrer", "request.command", "user_agent.original"),
    "request.headers": ("user_agent.original", "http.request.referrer"),
}


def members(name: str) -> tuple[str, ...]:
    """The columns that a rule's field means."""
    return GROUPS.get(name or LINE, (name,))


@dataclass(slots=True)
class Values:
    """One form of one field; value i is `data[starts[i]:ends[i]]` where `present` is None or present[i]."""

    data: bytes
    starts: Rows
    ends: Rows
    present: Mask | None
    column: Column

    @classmethod
    def of(cls, column: Column) -> Values:
        starts, ends = column.spans()
        return cls(column.data, starts, ends, column.present, column)

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

    def with_others(self, than: bytes) -> Rows:
        """The rows that hold some other byte than these."""
        rows = np.arange(len(self.starts)) if self.present is None else np.flatnonzero(self.present)
        others = [bool(value.translate(None, than)) for value in self.take(rows)]
        return rows[np.array(others, np.bool_)]

    def of_rows(self, rows: Rows) -> Values:
        return Values.of(self.column.take(rows))

    def as_lines(self) -> tuple[bytes, Rows, Rows]:
        """One value a line for a scan: the bytes, where each line begins, whose row it is. A newline inside a value
        becomes the one white space that needles look for in its stead.
        """
        every = np.arange(len(self.starts))
        if self._are_lines():
            return self.data, self.starts, every
        rows = every if self.present is None else np.flatnonzero(self.present)
        values = self.take(rows)
        data = b"\n".join(values)
        if data.count(b"\n") >= max(len(values), 1):
            data = b"\n".join([value.replace(b"\n", INNER_NEWLINE) for value in values])
        lengths = (self.ends - self.starts)[rows]
        return data, np.cumsum(lengths + 1) - lengths - 1, rows

    def _are_lines(self) -> bool:
        """Whether the buffer holds just these values, one a line: then nothing need be copied."""
        data, starts, ends = self.data, self.starts, self.ends
        if self.present is not None or not len(starts) or starts[0] != 0 or len(data) - ends[-1] > 1:
            return False
        if not bool((starts[1:] == ends[:-1] + 1).all()):
            return False
        if data.count(b"\n", 0, int(ends[-1])) != len(starts) - 1:
            return False
        return bool((np.frombuffer(data, np.uint8)[ends[:-1]] == NEWLINE).all())

    def numbers(self, rows: Rows) -> tuple[NDArray[np.int64], Mask]:
        """The values of these rows as integers, and which of them are plain digits (at most DIGITS)."""
        ends, lengths = self.ends[rows], (self.ends - self.starts)[rows]
        plain = (lengths > 0) & (lengths <= DIGITS)
        total = np.zeros(len(rows), np.int64)
        view = np.frombuffer(self.data or b"\0", np.uint8)
        for i in range(int(lengths[plain].max(initial=0))):
            inside = plain & (i < lengths)
            digit = np.where(inside, view[np.maximum(ends - 1 - i, 0)], ZERO) - np.uint8(ZERO)
            plain &= digit <= 9
            total += digit.astype(np.int64) * 10**i
        return total, plain

    def distinct(self) -> tuple[list[bytes], Codes]:
        """The different values, and which of them each row has (-1: none)."""
        return self.column.distinct()


@dataclass(slots=True)
class View:
    """All fields of one batch by name, made when first asked for."""

    columns: Columns
    _values: dict[str, Values | None] = field(default_factory=dict)
    # What a screen found: the rows of each needle, by field; and which tests it answers, by the id of the Test.
    hits: defaultdict[Asked, list[Rows]] = field(default_factory=lambda: defaultdict(list))
    asked: dict[int, Asked] = field(default_factory=dict)
    # Conditions that ask one field of few values, by their id: evaluated once a value.
    single: dict[int, str] = field(default_factory=dict)
    whole: View | None = None  # the view of which this one shows the rows `rows`
    rows: Rows | None = None

    def part(self, rows: Rows) -> View:
        """A view of some rows; what a screen finds belongs to both."""
        if len(rows) == self.columns.rows:
            return self
        whole, rows = self.whole or self, self.outside(rows)
        return View(whole.columns.take(rows), {}, self.hits, self.asked, self.single, whole, rows)

    def inside(self, rows: Rows) -> Rows:
        """Of these rows of the whole view, those shown here, by their numbers here."""
        if self.rows is None:
            return rows
        at = np.searchsorted(self.rows, rows)
        at = at[at < len(self.rows)]
        here: Rows = at[self.rows[at] == rows[: len(at)]]
        return here

    def outside(self, rows: Rows) -> Rows:
        """These rows by their numbers in the whole view."""
        return rows if self.rows is None else self.rows[rows]

    def basis(self, name: str) -> frozenset[str]:
        """The logged columns that decide about a field."""
        basis = self.columns.basis
        return frozenset({name}) if basis is None else basis(self.columns, name)

    def forms(self, name: str) -> Iterator[Values]:
        """The logged form of a field and then its others, each made when the one before did not do."""
        for base in members(name):
            yield from self.forms_of(base)

    def forms_of(self, column: str) -> Iterator[Values]:
        for form in FORMS:
            values = self._value(column + form)
            if values is not None:
                yield values

    def has(self, name: str) -> bool:
        """Whether these rows have the field at all."""
        return next(self.forms(name), None) is not None

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
        if rows is None:
            return np.zeros(0, np.int64)
        return self.inside(np.unique(np.concatenate(rows)))

    def texts(self, name: str, rows: Rows) -> list[bytes | None]:
        """What was logged in these rows."""
        values = self.raw(name)
        if values is None:
            return [None] * len(rows)
        found: list[bytes | None] = [*values.take(rows)]
        having = values.having(rows)
        if having is not None:
            for place in np.flatnonzero(~having).tolist():
                found[place] = None
        return found

    def value(self, name: str, row: int) -> bytes | None:
        values = self.raw(name)
        return None if values is None else values.get(row)

    def text(self, name: str, row: int) -> str:
        return (self.value(name, row) or b"").decode("utf-8", "replace")
