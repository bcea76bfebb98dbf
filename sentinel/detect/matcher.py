"""Fast patterns of many rules in one buffer: bytes in, numbers of the rules worth looking at out.

Few patterns are searched one by one; many go through Hyperscan. Either way the answer is the same, and a rule whose
pattern is in the bytes is always in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.detect.prefilter import Pattern, Prefilter

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sentinel.detect.view import View

FEW = 24  # below this, plain searches are faster than preparing Hyperscan


_ESCAPED = [b"\\x%02x" % byte for byte in range(256)]


def literal(pattern: bytes) -> bytes:
    return b"".join([_ESCAPED[byte] for byte in pattern])


class Matcher:
    def __init__(self, entries: Iterable[tuple[bytes, bool, int]], cache: Path | None = None) -> None:
        """`entries`: (pattern, whether case is ignored, rule number)."""
        grouped: dict[tuple[bytes, bool], list[int]] = {}
        for pattern, nocase, number in entries:
            grouped.setdefault((pattern, nocase), []).append(number)
        self._plain = list(grouped.items()) if len(grouped) < FEW else []
        self._numbers = list(grouped.values())
        self._prefilter: Prefilter | None = None
        if not self._plain and grouped:
            patterns = [
                Pattern(literal(pattern), caseless=nocase, dotall=True, single=True)
                for pattern, nocase in grouped
            ]
            self._prefilter = Prefilter.compile(patterns, cache)
            self._always = [n for i in self._prefilter.refused for n in self._numbers[i]]

    def scan(self, view: View) -> set[int]:
        found: set[int] = set()
        for (pattern, nocase), numbers in self._plain:
            if pattern in (view.lower if nocase else view.data):
                found.update(numbers)
        if self._prefilter is not None:
            for i in self._prefilter.scan(view.data)[0]:
                found.update(self._numbers[i])
            found.update(self._always)
        return found
