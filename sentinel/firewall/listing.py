"""The kernel's listing of our table, block by block: what stands in it, whatever the order it was made in.

In: the text of `nft -s -t list` (no counters, no elements). Two listings are equal when they have the same chains
and sets with the same contents; a chain that was deleted and came back is listed last, and that is no difference.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

CHAIN, SET = "chain", "set"


@dataclass(frozen=True, slots=True)
class Listing:
    """`blocks` maps ("chain", "inbound") to its lines; `loose` are lines of the table itself, such as its flags."""

    blocks: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    loose: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.blocks or self.loose)

    def names(self, kind: str) -> list[str]:
        return [name for found, name in self.blocks if found == kind]

    def hook(self, name: str) -> str:
        """What hangs a chain into the kernel, without its policy; "" for a chain that is only jumped to."""
        first = next(iter(self.blocks.get((CHAIN, name), ())), "")
        return first.partition(" policy")[0] if first.startswith("type ") else ""

    def agrees(self, rules: dict[str, int], sets: Iterable[str]) -> bool:
        """Are these its chains, with so many rules each, and its sets?"""
        found = {name: len(lines) - bool(self.hook(name)) for name, lines in self.of(CHAIN).items()}
        return found == rules and set(self.of(SET)) == set(sets)

    def of(self, kind: str) -> dict[str, tuple[str, ...]]:
        return {name: lines for (found, name), lines in self.blocks.items() if found == kind}


def read(text: str) -> Listing:
    blocks: dict[tuple[str, str], tuple[str, ...]] = {}
    loose: list[str] = []
    inside: list[str] = []
    title = None
    for line in text.splitlines()[1:-1]:  # without the table's own braces
        if title is not None and line == "\t}":
            blocks[title] = tuple(inside)
            title, inside = None, []
        elif title is not None:
            inside.append(line.strip())
        elif line.endswith("{"):
            kind, _, name = line.strip(" \t{").rpartition(" ")
            title = (kind, name)
        elif line.strip():
            loose.append(line.strip())
    return Listing(blocks, tuple(loose))
