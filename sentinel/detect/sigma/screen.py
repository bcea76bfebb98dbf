"""All rules of one log format -> one Hyperscan pass a field -> the rows at which each rule must be evaluated.

A rule's keys are needles of which at least one occurs in some form of its field in every row the rule matches: of an
All the rarest child's, of an AnyOf every child's. A rule without keys, or whose keys are too common to be worth a
callback, is evaluated over all rows. Invariant: candidates are a superset of matches.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sentinel.detect.prefilter import Pattern, Prefilter
from sentinel.detect.sigma.known import Known
from sentinel.detect.sigma.logsource import serves
from sentinel.detect.sigma.plain import PLAIN_BYTES, may_be_plain
from sentinel.detect.sigma.predicate import SameAs
from sentinel.detect.sigma.tree import All, Not, Test
from sentinel.detect.sigma.values import GROUPS, LINE, View, members

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from sentinel.detect.sigma.predicate import Needle
    from sentinel.detect.sigma.tree import Node, Rule
    from sentinel.detect.sigma.values import Rows, Values

    Asked = tuple[str, Needle]
    Keys = list[Asked]

LIGHTEST = 9.0  # bits; a needle that stands in more than every few hundredth line costs more than it saves
# Fields with a handful of values: comparing the whole column is cheaper than a callback a row.
_NEWLINE = re.compile(rb"(?<!\\)((?:\\\\)*)\\(?:n|x0[aA])")
FEW_VALUES = {"cs-method", "sc-status", "http.request.method", "http.response.status_code", "http.version", "cs-version",
              "event.outcome", "event.action", "event.category", "shop.action", "process.name", "type"}  # fmt: skip
# The parts of a request, which have most of their needles in common.
PARTS = "request"
_PLACE = {column: PARTS for name, columns in GROUPS.items() if name != LINE for column in columns}


def keys_of(node: Node) -> tuple[float, Keys] | None:
    """(weight of the lightest, keys); None where nothing need occur."""
    if isinstance(node, Test):
        needle = node.predicate.needle
        if needle is None or node.field in FEW_VALUES or needle.weight < LIGHTEST:
            return None
        return needle.weight, [(node.field, needle)]
    if isinstance(node, Not):
        return None
    found = [keys_of(child) for child in node.children]
    if isinstance(node, All):
        return max((keys for keys in found if keys is not None), key=lambda keys: keys[0], default=None)
    if not found or None in found:
        return None
    some = [keys for keys in found if keys is not None]
    return min(weight for weight, _ in some), [key for _, keys in some for key in keys]


def _on_lines(expression: bytes) -> bytes:
    """The expression for lines as `Values.as_lines` makes them, so that no match begins or ends at a separator."""
    return _NEWLINE.sub(rb"\1\\x0b", expression)


@dataclass(slots=True)
class ColumnScreen:
    """Needles that may stand in one column, or in any part of a request: parts share one. Needles that cannot match
    PLAIN bytes alone are looked for only in values that hold others.
    """

    needles: list[Needle]
    prefilter: Prefilter
    odd_needles: list[Needle]
    odd: Prefilter

    @classmethod
    def of(cls, needles: Iterable[Needle], *, parts: bool, cache: Path | None) -> ColumnScreen:
        plain: list[Needle] = []
        odd: list[Needle] = []
        for needle in needles:
            (plain if not parts or may_be_plain(needle.expression) else odd).append(needle)
        return cls(plain, _compiled(plain, cache), odd, _compiled(odd, cache))

    @property
    def refused(self) -> list[Needle]:
        return [self.needles[n] for n in self.prefilter.refused] + [
            self.odd_needles[n] for n in self.odd.refused
        ]

    def scan(self, column: str, view: View) -> Iterator[tuple[Needle, Rows]]:
        """(needle, rows) for each needle found in a form of the column."""
        for values in view.forms_of(column):
            yield from _found(self.prefilter, self.needles, values)
            if self.odd_needles:
                others, rows = values.with_others(PLAIN_BYTES)
                for needle, local in _found(self.odd, self.odd_needles, others):
                    yield needle, rows[local]


def _compiled(needles: Iterable[Needle], cache: Path | None) -> Prefilter:
    patterns = [Pattern(_on_lines(n.expression), n.caseless, n.dotall, multiline=True) for n in needles]
    return Prefilter.compile(patterns, cache)


def _found(prefilter: Prefilter, needles: list[Needle], values: Values) -> Iterator[tuple[Needle, Rows]]:
    data, begins, rows = values.as_lines()
    numbers, ends = prefilter.scan(data)
    if not numbers:
        return
    hit = np.searchsorted(begins, np.asarray(ends, np.int64) - 1, "right") - 1
    found = np.asarray(numbers, np.int64)
    for number in np.unique(found).tolist():
        yield needles[number], rows[np.unique(hit[found == number])]


@dataclass(slots=True)
class Screen:
    """The rules that serve one format. `everywhere` are evaluated over all rows."""

    rules: list[Rule]
    columns: dict[str, ColumnScreen] = field(default_factory=dict)
    # What a needle in a column means: the fields that it was asked of, and the rules that it makes candidates.
    meaning: dict[tuple[str, Needle], list[tuple[str, list[int]]]] = field(default_factory=dict)
    everywhere: list[int] = field(default_factory=list)
    asked: dict[int, Asked] = field(default_factory=dict)  # see View
    single: dict[int, str] = field(default_factory=dict)  # see View
    _known: defaultdict[tuple[str, ...], Known] = field(default_factory=lambda: defaultdict(Known))

    @classmethod
    def build(cls, rules: Iterable[Rule], kind: str, cache: Path | None = None) -> Screen:
        screen = cls([rule for rule in rules if serves(rule.logsource, kind)])
        wanted: dict[Asked, list[int]] = defaultdict(list)
        for number, rule in enumerate(screen.rules):
            keys = keys_of(rule.condition)
            if keys is None:
                screen.everywhere.append(number)
            for key in keys[1] if keys is not None else ():
                wanted[key].append(number)
        refused = screen._compile(wanted, cache)
        lost = {owner for key, owners in wanted.items() if key[1] in refused for owner in owners}
        screen.everywhere = sorted({*screen.everywhere, *lost})
        for rule in screen.rules:
            screen._note(rule.condition, {key for key in wanted if key[1] not in refused})
            screen._field_of(rule.condition)
        return screen

    def _compile(self, wanted: dict[Asked, list[int]], cache: Path | None) -> set[Needle]:
        """Needles that Hyperscan does not take."""
        sets: dict[str, dict[Needle, None]] = defaultdict(dict)
        for (name, needle), owners in wanted.items():
            for column in members(name):
                sets[_PLACE.get(column, column)][needle] = None
                self.meaning.setdefault((column, needle), []).append((name, owners))
        refused: set[Needle] = set()
        made = {}
        for place, needles in sets.items():
            made[place] = ColumnScreen.of(needles, parts=place == PARTS, cache=cache)
            refused.update(made[place].refused)
        for column, _ in self.meaning:
            self.columns[column] = made[_PLACE.get(column, column)]
        return refused

    def _field_of(self, node: Node) -> str:
        """The field of few values that is all this condition asks; "" where it asks something else."""
        if isinstance(node, Test):
            plain = node.field in FEW_VALUES and not isinstance(node.predicate, SameAs)
            return node.field if plain else ""
        fields = {
            self._field_of(child) for child in ((node.child,) if isinstance(node, Not) else node.children)
        }
        if len(fields) != 1:
            return ""
        found = fields.pop()
        if found:
            self.single[id(node)] = found
        return found

    def _note(self, node: Node, screened: set[Asked]) -> None:
        """Remember which tests the screen answers: where their needle was not found, they are false."""
        if isinstance(node, Test):
            needle = node.predicate.needle
            if needle is not None and (node.field, needle) in screened:
                self.asked[id(node)] = (node.field, needle)
        else:
            for child in (node.child,) if isinstance(node, Not) else node.children:
                self._note(child, screened)

    def candidates(self, view: View) -> list[tuple[int, Rows]]:
        """(rule, ascending rows) for every rule that may match."""
        part, found = self.narrow(view)
        whole = np.arange(view.columns.rows)
        found = [(number, part.outside(rows)) for number, rows in found]
        return sorted([*found, *((number, whole) for number in self.everywhere)], key=lambda item: item[0])

    def narrow(self, view: View) -> tuple[View, list[tuple[int, Rows]]]:
        """A view of the rows in which a needle stands, and (rule, ascending rows of that view) for every rule with keys
        that may match. Values that were scanned before, without a find, are not scanned again.
        """
        view.asked, view.single = self.asked, self.single
        found: dict[int, list[Rows]] = defaultdict(list)
        for deciding, columns in self._by_column(view).items():
            self._scan(view, deciding, columns, found)
        unkeyed = set(self.everywhere)
        kept = {
            number: np.unique(np.concatenate(rows)) for number, rows in found.items() if number not in unkeyed
        }
        part = view.part(np.unique(np.concatenate([*kept.values(), np.zeros(0, np.int64)])))
        return part, [(number, part.inside(rows)) for number, rows in kept.items()]

    def _by_column(self, view: View) -> dict[str, list[str]]:
        """The screened columns by the one logged column that decides about them; under LINE what is always scanned."""
        made: dict[str, list[str]] = defaultdict(list)
        for column in self.columns:
            deciding = view.basis(column)
            made[min(deciding) if len(deciding) == 1 else LINE].append(column)
        return made

    def _scan(self, view: View, deciding: str, columns: list[str], found: dict[int, list[Rows]]) -> None:
        """The columns that one logged column decides about: one row for each of its new values is looked at."""
        values = view.raw(deciding) if deciding != LINE else None
        known = self._known[deciding, *columns]
        new = None if values is None else known.new(values)
        if deciding != LINE and (new is None or not new.values):
            return
        looked = view if new is None else View(view.columns.take(new.first()))
        dirty = np.zeros(looked.columns.rows, np.bool_)
        for column in columns:
            for needle, local in self.columns[column].scan(column, looked):
                meant = self.meaning.get((column, needle))
                if meant is None:
                    continue
                dirty[local] = True
                rows = local if new is None else new.all_rows(local)
                for name, owners in meant:
                    view.hits[name, needle].append(rows)
                    for owner in owners:
                        found[owner].append(rows)
        if new is not None:
            known.learn(new, dirty)
