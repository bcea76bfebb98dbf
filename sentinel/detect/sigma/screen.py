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
from sentinel.detect.sigma.logsource import serves
from sentinel.detect.sigma.tree import All, Not, Test

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from sentinel.detect.sigma.predicate import Needle
    from sentinel.detect.sigma.tree import Node, Rule
    from sentinel.detect.sigma.values import Rows, View

    Keys = list[tuple[str, Needle]]

INNER_NEWLINE = b"\x0b"
LIGHTEST = 9.0  # bits; a needle that stands in more than every few hundredth line costs more than it saves
# Fields with a handful of values: comparing the whole column is cheaper than a callback a row.
_NEWLINE = re.compile(rb"(?<!\\)((?:\\\\)*)\\(?:n|x0[aA])")
FEW_VALUES = {"cs-method", "sc-status", "http.request.method", "http.response.status_code", "http.version", "cs-version",
              "event.outcome", "event.action", "event.category", "shop.action", "process.name", "type"}  # fmt: skip


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


def _needles(node: Node) -> Iterator[tuple[str, Needle]]:
    if isinstance(node, Test):
        needle = node.predicate.needle
        if needle is not None and node.field not in FEW_VALUES and needle.weight >= LIGHTEST:
            yield node.field, needle
    elif not isinstance(
        node, Not
    ):  # exceptions are often common (pictures, known agents) and rarely asked about
        for child in node.children:
            yield from _needles(child)


def _on_lines(expression: bytes) -> bytes:
    """The expression for lines as `_lines` makes them, so that no match begins or ends at a separator."""
    return _NEWLINE.sub(rb"\1\\x0b", expression)


def _lines(values: list[bytes]) -> bytes:
    """One value a line. A newline inside a value becomes the one white space that needles look for in its stead."""
    data = b"\n".join(values)
    if data.count(b"\n") >= len(values):
        data = b"\n".join([value.replace(b"\n", INNER_NEWLINE) for value in values])
    return data


@dataclass(slots=True)
class FieldScreen:
    """The needles of one field: `owners[n]` are the rules that needle n makes candidates."""

    prefilter: Prefilter
    owners: list[list[int]]
    numbers: dict[Needle, int]

    def candidates(self, name: str, view: View, found: dict[int, list[Rows]]) -> None:
        for values in view.forms(name):
            distinct, _ = values.distinct()
            numbers, ends = self.prefilter.scan(_lines(distinct))
            if not numbers:
                continue
            lengths = np.fromiter(map(len, distinct), np.int64, len(distinct))
            begins = np.cumsum(lengths + 1) - lengths - 1
            hit = np.searchsorted(begins, np.asarray(ends, np.int64) - 1, "right") - 1
            needles = np.asarray(numbers, np.int64)
            for needle in np.unique(needles).tolist():
                its = values.rows_of(hit[needles == needle])
                view.hits[name, needle].append(its)
                for owner in self.owners[needle]:
                    found[owner].append(its)


@dataclass(slots=True)
class Screen:
    """The rules that serve one format. `everywhere` are evaluated over all rows."""

    rules: list[Rule]
    fields: dict[str, FieldScreen] = field(default_factory=dict)
    everywhere: list[int] = field(default_factory=list)
    asked: dict[int, tuple[str, int]] = field(
        default_factory=dict
    )  # id of a Test -> field and needle that stand for it

    @classmethod
    def build(cls, rules: Iterable[Rule], kind: str, cache: Path | None = None) -> Screen:
        screen = cls([rule for rule in rules if serves(rule.logsource, kind)])
        wanted: dict[str, dict[Needle, list[int]]] = defaultdict(lambda: defaultdict(list))
        for number, rule in enumerate(screen.rules):
            for name, needle in _needles(rule.condition):
                wanted[name].setdefault(
                    needle, []
                )  # so that the screen answers every costly test of a candidate
            keys = keys_of(rule.condition)
            if keys is None:
                screen.everywhere.append(number)
                continue
            for name, needle in keys[1]:
                wanted[name][needle].append(number)
        refused: set[int] = set()
        for name, owners in wanted.items():
            patterns = [
                Pattern(_on_lines(n.expression), n.caseless, n.dotall, multiline=True) for n in owners
            ]
            numbers = {needle: number for number, needle in enumerate(owners)}
            made = FieldScreen(Prefilter.compile(patterns, cache), list(owners.values()), numbers)
            screen.fields[name] = made
            refused.update(owner for number in made.prefilter.refused for owner in made.owners[number])
        screen.everywhere = sorted({*screen.everywhere, *refused})
        for rule in screen.rules:
            screen._note(rule.condition)
        return screen

    def _note(self, node: Node) -> None:
        """Remember which tests the screen answers: where their needle was not found, they are false."""
        if isinstance(node, Test):
            made, needle = self.fields.get(node.field), node.predicate.needle
            number = made.numbers.get(needle) if made is not None and needle is not None else None
            if made is not None and number is not None and number not in made.prefilter.refused:
                self.asked[id(node)] = (node.field, number)
        else:
            for child in (node.child,) if isinstance(node, Not) else node.children:
                self._note(child)

    def candidates(self, view: View) -> list[tuple[int, Rows]]:
        """(rule, rows ascending) for every rule that may match."""
        found: dict[int, list[Rows]] = defaultdict(list)
        view.asked = self.asked
        for name, screen in self.fields.items():
            screen.candidates(name, view, found)
        whole = np.arange(view.columns.rows)
        result = [(number, whole) for number in self.everywhere]
        known = set(self.everywhere)
        result += [
            (number, np.unique(np.concatenate(rows))) for number, rows in found.items() if number not in known
        ]
        return sorted(result, key=lambda item: item[0])
