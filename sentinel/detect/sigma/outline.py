"""Rules that every row must be asked about -> the rows at which each may hold, by the fields that have few values.

Most lines of a log have one of a hundred combinations of status, method, action and their like. What a combination
says of every rule (no, yes, or perhaps) is worked out once and kept, so a row costs one look at a table for all rules.
Invariant: the rows are a superset of those that match.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sentinel.detect.sigma.predicate import SameAs
from sentinel.detect.sigma.tree import All, Not, Test

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from sentinel.detect.sigma.tree import Node
    from sentinel.detect.sigma.values import Codes, Mask, Rows, View

    Cells = tuple[bytes | None, ...]
    Verdicts = NDArray[np.int8]

# Fields with a handful of values: comparing the whole column is cheaper than a callback a row.
FEW_VALUES = {"cs-method", "sc-status", "http.request.method", "http.response.status_code", "http.version", "cs-version",
              "event.outcome", "event.action", "event.category", "shop.action", "process.name", "type"}  # fmt: skip
MOST = (
    512  # combinations of one batch; a client that makes up methods must not cost more than it does otherwise
)
KEPT = 8192
NO, PERHAPS, YES = range(3)
TABLE = 1 << 16  # up to so many possible combinations are counted in a table


def is_plain(node: Test) -> bool:
    """Whether one field of few values decides."""
    return node.field in FEW_VALUES and not isinstance(node.predicate, SameAs)


@dataclass(slots=True)
class Outline:
    conditions: Sequence[Node]
    fields: tuple[str, ...]
    _kept: dict[Cells, Verdicts] = field(default_factory=dict)

    @classmethod
    def of(cls, conditions: Sequence[Node]) -> Outline:
        names = dict.fromkeys(test.field for node in conditions for test in _tests(node) if is_plain(test))
        return cls(conditions, tuple(names))

    def possible(self, view: View) -> list[tuple[Rows, Mask]]:
        """For each condition, in order, the ascending rows at which it may hold, and in which of them it does for sure."""
        combinations, places = self._combinations(view)
        if combinations is None:
            every = np.arange(view.columns.rows), np.zeros(view.columns.rows, np.bool_)
            return [every] * len(self.conditions)
        if len(self._kept) > KEPT:
            self._kept.clear()
        table = np.array([self._verdicts(cells) for cells in combinations], np.int8)
        return [_split(table[:, number][places]) for number in range(len(self.conditions))]

    def _combinations(self, view: View) -> tuple[list[Cells] | None, Codes]:
        """The different combinations, and which of them each row has; None: too many."""
        cells: list[Cells] = [()]
        places = np.zeros(view.columns.rows, np.int64)
        for name in self.fields:
            values = view.raw(name)
            if values is None:
                cells = [(*known, None) for known in cells]
                continue
            distinct, codes = values.distinct()
            size = len(distinct) + 1
            each, places = _numbered(places * size + codes + 1, len(cells) * size)
            if len(each) > MOST:
                return None, places
            either = [None, *distinct]
            cells = [(*cells[number // size], either[number % size]) for number in each.tolist()]
        return cells, places

    def _verdicts(self, cells: Cells) -> Verdicts:
        found = self._kept.get(cells)
        if found is None:
            known = dict(zip(self.fields, cells, strict=True))
            words = [{None: PERHAPS, True: YES, False: NO}[_verdict(node, known)] for node in self.conditions]
            found = self._kept[cells] = np.array(words, np.int8)
        return found


def _split(verdicts: Verdicts) -> tuple[Rows, Mask]:
    rows = np.flatnonzero(verdicts)
    return rows, verdicts[rows] == YES


def _numbered(codes: Codes, size: int) -> tuple[Codes, Codes]:
    """The different codes, ascending, and which of them each is."""
    if size > TABLE:
        return np.unique(codes, return_inverse=True)
    seen = np.bincount(codes, minlength=1) > 0
    return np.flatnonzero(seen), (np.cumsum(seen) - 1)[codes]


def _tests(node: Node) -> Iterator[Test]:
    if isinstance(node, Test):
        yield node
    else:
        for child in (node.child,) if isinstance(node, Not) else node.children:
            yield from _tests(child)


def _verdict(node: Node, known: dict[str, bytes | None]) -> bool | None:
    """What these values say of a condition; None where others decide."""
    if isinstance(node, Test):
        if not is_plain(node):
            return None
        value = known[node.field]
        return node.predicate.absent if value is None else node.predicate.test(value)
    if isinstance(node, Not):
        verdict = _verdict(node.child, known)
        return None if verdict is None else not verdict
    verdicts = [_verdict(child, known) for child in node.children]
    decisive = not isinstance(node, All)  # one true child decides an AnyOf, one false child an All
    if decisive in verdicts:
        return decisive
    return None if None in verdicts else not decisive
