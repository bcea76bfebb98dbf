"""Values seen before, in which no rule's needle was found: they need no scan when they come again.

Logs repeat themselves (clients' programs, pages, pictures), so most lines are told by a look at a set for each
column. A value counts as clean for the needles it was scanned for, in all its forms; bounded by number and length.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sentinel.detect.sigma.values import Mask, Rows, Values

MOST_VALUES = 50_000  # of one column; then it starts anew, which costs a scan of what is in use
LONGEST = 256  # bytes; longer ones seldom come again


@dataclass(slots=True)
class New:
    """The values of a batch to be scanned, each with the rows that have it."""

    values: list[bytes]
    rows: list[list[int]]

    def first(self) -> Rows:
        return np.fromiter((rows[0] for rows in self.rows), np.int64, len(self.rows))

    def all_rows(self, numbers: Rows) -> Rows:
        """The rows that have one of these values."""
        return np.array([row for number in numbers.tolist() for row in self.rows[number]], np.int64)


@dataclass(slots=True)
class Known:
    """The clean values of one column."""

    clean: set[bytes] = field(default_factory=set)

    def new(self, values: Values) -> New:
        """What is not known to be clean. A row without a value has nothing to be scanned."""
        rows = np.arange(len(values.starts)) if values.present is None else np.flatnonzero(values.present)
        taken = values.take(rows)
        seen = np.fromiter(map(self.clean.__contains__, taken), np.bool_, len(taken))
        places = np.flatnonzero(~seen)
        found: defaultdict[bytes, list[int]] = defaultdict(list)
        for place, row in zip(places.tolist(), rows[places].tolist(), strict=True):
            found[taken[place]].append(row)
        return New(list(found), list(found.values()))

    def learn(self, new: New, dirty: Mask) -> None:
        """These were scanned; `dirty` are those in which something was found."""
        clean = [new.values[number] for number in np.flatnonzero(~dirty).tolist()]
        if len(self.clean) + len(clean) > MOST_VALUES:
            self.clean.clear()
        self.clean.update(value for value in clean[:MOST_VALUES] if len(value) <= LONGEST)
