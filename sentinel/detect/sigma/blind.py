"""Rules that cannot match on a log because a field they need never occurs in it: detection that is dead without a sound.

In: Columns of one log's batches and the rules that serve its format. Out, once LINES lines were seen and again when it
changes: the blind rules and the fields they wait for. A field of the log's own format is meant (a cookie that the
server does not log, a shop vocabulary that fits no URL); personal data may rightly never occur. Logs of mixed lines
(syslog) are left out, as are rules for any log or any of a product: what is absent there is a program, not a field.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sentinel.detect.sigma.logsource import EVERYWHERE, source_of
from sentinel.detect.sigma.tree import All, AnyOf, Not, Test
from sentinel.detect.sigma.values import GROUPS, LINE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sentinel.detect.sigma.tree import LogSource, Node, Rule
    from sentinel.model import Columns

LINES = 5_000  # before a field counts as missing: referrers and cookies are in every few requests
AFTERWARDS = 16  # batches between two looks, once the verdict is known
RARE = ("pii.",)


@dataclass(slots=True)
class FieldWatch:
    """One per log. `blind` maps a rule's title to the fields it waits for."""

    rules: list[Rule]
    seen: set[str] = field(default_factory=set)
    lines: int = 0
    blind: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _looks: int = 0

    @classmethod
    def of(cls, rules: Iterable[Rule], kind: str) -> FieldWatch:
        asked = [rule for rule in rules if _names_a_log(rule.logsource)]
        return cls([] if source_of(kind).mixed else asked)

    def observe(self, columns: Columns) -> bool:
        """True when `blind` changed."""
        known = self.lines >= LINES
        self.lines += columns.rows
        self._looks += 1
        if not self.rules or (known and self._looks % AFTERWARDS):
            return False
        unseen = {name for rule in self.rules for name in _fields(rule.condition)} - self.seen
        self.seen |= {name for name in unseen if _occurs(name, columns)}
        if self.lines < LINES:
            return False
        before, self.blind = self.blind, dict(self._find())
        return before != self.blind

    def _find(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        for rule in self.rules:
            if not _possible(rule.condition, self.seen):
                missing = set(_fields(rule.condition)) - self.seen
                yield rule.title, tuple(sorted(missing))


def _names_a_log(source: LogSource) -> bool:
    return source.category not in EVERYWHERE and bool(source.category or source.service)


def _occurs(name: str, columns: Columns) -> bool:
    if name.startswith(RARE):
        return True
    names = GROUPS.get(name, (name or LINE,))
    return any(columns.column(each) is not None for each in names)


def _fields(node: Node) -> Iterator[str]:
    if isinstance(node, Test):
        if not node.predicate.absent:
            yield node.field
    elif not isinstance(node, Not):
        for child in node.children:
            yield from _fields(child)


def _possible(node: Node, seen: set[str]) -> bool:
    if isinstance(node, Test):
        return node.predicate.absent or node.field in seen
    if isinstance(node, All):
        return all(_possible(child, seen) for child in node.children)
    if isinstance(node, AnyOf):
        return any(_possible(child, seen) for child in node.children)
    return True
