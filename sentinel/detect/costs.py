"""What rules cost while packets are inspected: times looked at, matches, seconds; for `sentinel rules profile`."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentinel.detect.rule import Rule


class Cost(NamedTuple):
    sid: int
    message: str
    checked: int
    matched: int
    seconds: float


class Costs:
    def __init__(self) -> None:
        self._checked: dict[int, int] = defaultdict(int)
        self._matched: dict[int, int] = defaultdict(int)
        self._seconds: dict[int, float] = defaultdict(float)

    def add(self, number: int, seconds: float, *, matched: bool) -> None:
        self._checked[number] += 1
        self._matched[number] += matched
        self._seconds[number] += seconds

    def report(self, rules: Sequence[Rule]) -> list[Cost]:
        """The dearest first."""
        order = sorted(self._seconds, key=lambda number: -self._seconds[number])
        return [
            Cost(rules[n].sid, rules[n].msg, self._checked[n], self._matched[n], self._seconds[n])
            for n in order
        ]
