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
from sentinel.detect.sigma.outline import FEW_VALUES, Outline, is_plain
from sentinel.detect.sigma.plain import PLAIN_BYTES, may_be_plain
from sentinel.detect.sigma.tree import All, Not, Test
from sentinel.detect.sigma.values import GROUPS, LINE, View, members

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from sentinel.detect.sigma.predicate import Needle
    from sentinel.detect.sigma.tree import Node, Rule
    from sentinel.detect.sigma.values import Mask, Rows, Values

    Asked = tuple[str, Needle]
    Keys = list[Asked]
    Find = tuple[str, Needle, Rows]  # a column, what was found in it, the rows

LIGHTEST = 9.0  # bits; a needle that stands in more than every few hundredth line costs more than it saves
_NEWLINE = re.compile(rb"(?<!\\)((?:\\\\)*)\\(?:n|x0[aA])")
# The parts of a request, in which less than quotes and brackets is rare; those of them that share most of their needles.
_PARTS = frozenset(column for name, columns in GROUPS.items() if name != LINE for column in columns)
_PLACE = dict.fromkeys((*GROUPS["request.input"], "user_agent.original"), "request")


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
class Sieve:
    """Needles that are looked for together."""

    needles: list[Needle]
    prefilter: Prefilter

    @classmethod
    def of(cls, needles: list[Needle], cache: Path | None) -> Sieve:
        return cls(needles, _compiled(needles, cache))

    @property
    def refused(self) -> list[Needle]:
        return [self.needles[n] for n in self.prefilter.refused]

    def scan(self, values: Values) -> Iterator[tuple[Needle, Rows]]:
        """(needle, rows) for each needle found."""
        data, begins, rows = values.as_lines()
        numbers, ends = self.prefilter.scan(data)
        if not numbers:
            return
        hit = np.searchsorted(begins, np.asarray(ends, np.int64) - 1, "right") - 1
        found = np.asarray(numbers, np.int64)
        for number in np.unique(found).tolist():
            yield self.needles[number], rows[np.unique(hit[found == number])]


@dataclass(slots=True)
class ColumnScreen:
    """Needles that may stand in one column, or in any of several that have most of theirs in common. Needles that cannot
    match PLAIN bytes alone are looked for only in values that hold others.
    """

    plain: Sieve
    odd: Sieve

    @classmethod
    def of(cls, needles: Iterable[Needle], *, parts: bool, cache: Path | None) -> ColumnScreen:
        plain: list[Needle] = []
        odd: list[Needle] = []
        for needle in needles:
            (plain if not parts or may_be_plain(needle.expression) else odd).append(needle)
        return cls(Sieve.of(plain, cache), Sieve.of(odd, cache))

    @property
    def refused(self) -> list[Needle]:
        return [*self.plain.refused, *self.odd.refused]

    def scan(self, column: str, view: View) -> Iterator[tuple[Needle, Rows]]:
        """(needle, rows) for each needle found in a form of the column."""
        for values in view.forms_of(column):
            yield from self.plain.scan(values)
            if self.odd.needles:
                rows = values.with_others(PLAIN_BYTES)
                for needle, local in self.odd.scan(values.of_rows(rows)):
                    yield needle, rows[local]


def _compiled(needles: Iterable[Needle], cache: Path | None) -> Prefilter:
    patterns = [Pattern(_on_lines(n.expression), n.caseless, n.dotall, multiline=True) for n in needles]
    return Prefilter.compile(patterns, cache)


@dataclass(slots=True)
class Screen:
    """The rules that serve one format. `everywhere` are evaluated over all rows."""

    rules: list[Rule]
    columns: dict[str, ColumnScreen] = field(default_factory=dict)
    # What a needle in a column means: the fields that it was asked of, and the rules that it makes candidates.
    meaning: dict[tuple[str, Needle], list[tuple[str, list[int]]]] = field(default_factory=dict)
    everywhere: list[int] = field(default_factory=list)
    outline: Outline = field(default_factory=lambda: Outline.of([]))  # of the conditions of these
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
        screen.outline = Outline.of([screen.rules[number].condition for number in screen.everywhere])
        for rule in screen.rules:
            screen._note(rule.condition, {key for key in wanted if key[1] not in refused})
            screen._field_of(rule.condition)
        return screen

    def _compile(self, wanted: dict[Asked, list[int]], cache: Path | None) -> set[Needle]:
        """Needles that Hyperscan does not take."""
        sets: dict[str, dict[Needle, None]] = defaultdict(dict)  # by place
        for (name, needle), owners in wanted.items():
            for column in members(name):
                sets[_PLACE.get(column, column)][needle] = None
                self.meaning.setdefault((column, needle), []).append((name, owners))
        refused: set[Needle] = set()
        made = {}
        for place, needles in sets.items():
            parts = place in _PARTS or place in _PLACE.values()
            made[place] = ColumnScreen.of(needles, parts=parts, cache=cache)
            refused.update(made[place].refused)
        for column, _ in self.meaning:
            self.columns[column] = made[_PLACE.get(column, column)]
        return refused

    def _field_of(self, node: Node) -> str:
        """The field of few values that is all this condition asks; "" where it asks something else."""
        if isinstance(node, Test):
            return node.field if is_plain(node) else ""
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
        found = [(number, part.outside(rows)) for number, rows in found]
        found += [(number, rows) for number, rows, _ in self.unkeyed(view)]
        return sorted(found, key=lambda item: item[0])

    def unkeyed(self, view: View) -> Iterator[tuple[int, Rows, Mask]]:
        """(rule, ascending rows, which of them match for sure) for every rule without keys that may match."""
        for number, (rows, certain) in zip(self.everywhere, self.outline.possible(view), strict=True):
            yield number, rows, certain

    def narrow(self, view: View) -> tuple[View, list[tuple[int, Rows]]]:
        """A view of the rows in which a needle stands, and (rule, ascending rows of that view) for every rule with keys
        that may match. Values that were scanned before, without a find, are not scanned again.
        """
        view.asked, view.single = self.asked, self.single
        found: dict[int, list[Rows]] = defaultdict(list)
        for column, needle, rows in self._look(view):
            for name, owners in self.meaning[column, needle]:
                view.hits[name, needle].append(rows)
                for owner in owners:
                    found[owner].append(rows)
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

    def _look(self, view: View) -> Iterator[Find]:
        groups = self._by_column(view)
        yield from self._scan(view, groups.pop(LINE, []))
        for deciding, columns in groups.items():
            yield from self._of_column(view, deciding, columns)

    def _of_column(self, view: View, deciding: str, columns: list[str]) -> Iterator[Find]:
        """The columns that one logged column decides about: one row for each of its new values is looked at."""
        values = view.raw(deciding)
        if values is None:
            return
        known = self._known[deciding, *columns]
        new = known.new(values)
        if not new.values:
            return
        dirty = np.zeros(len(new.values), np.bool_)
        for column, needle, local in self._scan(View(view.columns.take(new.first())), columns):
            dirty[local] = True
            yield column, needle, new.all_rows(local)
        known.learn(new, dirty)

    def _scan(self, view: View, columns: list[str]) -> Iterator[Find]:
        for column in columns:
            for needle, rows in self.columns[column].scan(column, view):
                if (column, needle) in self.meaning:
                    yield column, needle, rows
