"""Values seen before, in which no rule's needle was found: they need no scan when they come again.

Logs repeat themselves (clients' programs, pages, pictures), so most lines are told by a look at a set for each
column. A value counts as clean for the needles it was scanned for, in all its forms; bounded by number and length.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sentinel.detect.sigma.values import Mask, Rows, Values

MOST_VALUES = 50_000  # of one column; then it starts anew, which costs a scan of what is in use
LONGEST = 256  # bytes; longer ones seldom come again


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
        first = np.zeros(len(self.values), np.int64)
        first[self.codes[::-1]] = self.rows[::-1]  # of several, the last assigned stays
        return first

    def all_rows(self, numbers: Rows) -> Rows:
        """The rows that have one of these values."""
        wanted = np.zeros(len(self.values), np.bool_)
        wanted[numbers] = True
        found: Rows = self.rows[wanted[self.codes]]
        return found


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
