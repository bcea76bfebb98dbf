"""Values seen before, in which no rule's needle was found: they need no scan when they come again.

Logs repeat themselves (clients' programs, pages, pictures), so most lines are told by a look at a set for each
column. A value counts as clean for the needles it was scanned for, in all its forms; bounded by number and length.
Columns that stand side by side in the line are looked up as one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sentinel.model import Column

if TYPE_CHECKING:
    from sentinel.detect.sigma.values import Mask, Rows, Values

MOST_VALUES = 50_000  # of one column; then it starts anew, which costs a scan of what is in use
LONGEST = 256  # bytes; longer ones seldom come again
NEAR = 4  # bytes between columns that count as side by side: quotes and a space


@dataclass(slots=True)
class New:
    """The values of a batch to be scanned; `codes[i]` says which of them stands in row `rows[i]`."""

    values: list[bytes]
    rows: Rows
    codes: Rows

    @classmethod
    def of(cls, values: list[bytes], codes: Rows, unknown: Mask) -> New:
        """Of all values of a column those that are unknown; `codes` are -1 in rows that have none."""
        wanted = np.append(unknown, False)[codes]
        renumbered = np.cumsum(unknown) - 1
        kept = [values[number] for number in np.flatnonzero(unknown).tolist()]
        rows = np.flatnonzero(wanted)
        return cls(kept, rows, renumbered[codes[rows]])

    def first(self) -> Rows:
        """The first row of each value."""
        return _first(self.rows, self.codes, len(self.values))

    def all_rows(self, numbers: Rows) -> Rows:
        """The rows that have one of these values."""
        wanted = np.zeros(len(self.values), np.bool_)
        wanted[numbers] = True
        found: Rows = self.rows[wanted[self.codes]]
        return found


def _first(rows: Rows, codes: Rows, count: int) -> Rows:
    first = np.zeros(count, np.int64)
    first[codes[::-1]] = rows[::-1]  # of several, the last assigned stays
    return first


@dataclass(slots=True)
class Known:
    """The clean values of one column."""

    clean: set[bytes] = field(default_factory=set)

    def new(self, values: Values) -> New:
        """What is not known to be clean. A row without a value has nothing to be scanned."""
        distinct, codes = values.distinct()
        clean = self.clean
        return New.of(distinct, codes, np.array([value not in clean for value in distinct], np.bool_))

    def learn(self, new: New, dirty: Mask) -> None:
        """These were scanned; `dirty` are those in which something was found."""
        clean = [new.values[number] for number in np.flatnonzero(~dirty).tolist()]
        if len(self.clean) + len(clean) > MOST_VALUES:
            self.clean.clear()
        self.clean.update(value for value in clean[:MOST_VALUES] if len(value) <= LONGEST)


@dataclass(slots=True)
class KnownPairs:
    """Clean values of two columns that stand side by side: the text from the begin of one to the end of the other, and
    the lengths of both, since another row may have the same text cut elsewhere.
    """

    clean: dict[bytes, int] = field(default_factory=dict)

    def new(self, left: Values, right: Values) -> tuple[New, list[int], Rows]:
        """Pairs not known to be clean, their lengths, and the rows that make no pair with a text of its own."""
        having = [np.ones(len(v.starts), np.bool_) if v.present is None else v.present for v in (left, right)]
        paired = having[0] & having[1] & (right.starts >= left.ends) & (right.starts - left.ends <= NEAR)
        lengths = (left.ends - left.starts) << 32 | (right.ends - right.starts)
        texts, codes = Column(left.data, left.starts, paired, right.ends).distinct()
        rows = np.flatnonzero(paired)
        usual = lengths[_first(rows, codes[rows], len(texts))]
        odd = rows[lengths[rows] != usual[codes[rows]]]
        codes[odd], paired[odd] = -1, False
        unknown = np.zeros(len(texts), np.bool_)
        cuts = usual.tolist()
        unknown[:] = [self.clean.get(text) != cut for text, cut in zip(texts, cuts, strict=True)]
        cuts = [cuts[number] for number in np.flatnonzero(unknown).tolist()]
        return New.of(texts, codes, unknown), cuts, np.flatnonzero((having[0] | having[1]) & ~paired)

    def learn(self, new: New, cuts: list[int], dirty: Mask) -> None:
        clean = np.flatnonzero(~dirty).tolist()[:MOST_VALUES]
        if len(self.clean) + len(clean) > MOST_VALUES:
            self.clean.clear()
        for number in clean:
            if len(new.values[number]) <= 2 * LONGEST:
                self.clean[new.values[number]] = cuts[number]


def side_by_side(left: Values | None, right: Values | None) -> bool:
    """Whether these columns are spans of one buffer, and the first row that has both has them next to each other."""
    if left is None or right is None or left.data is not right.data:
        return False
    having = [values.present for values in (left, right) if values.present is not None]
    both = np.flatnonzero(np.logical_and.reduce(having)) if having else np.arange(len(left.starts))
    return len(both) > 0 and 0 <= int(right.starts[both[0]] - left.ends[both[0]]) <= NEAR
