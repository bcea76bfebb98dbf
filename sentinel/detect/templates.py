"""Bytes of a rule at fixed distances of each other, as one pattern with gaps: rarer than any of its contents alone.

In: the matches of a rule about one payload. Out: a regular expression that stands wherever the rule matches, or None.
Contents with an exact place (offset and depth as long as the content, or distance and within), and tests of single
bytes at a fixed place, belong together; what floats begins a new group. The group that says most is taken.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from sentinel.detect.fastpattern import strength
from sentinel.detect.rule import ByteTest, Content, IsDataAt
from sentinel.detect.verify_bytes import compares

if TYPE_CHECKING:
    from sentinel.detect.rule import Match

REACH = 64  # bytes between the first and the last one of a pattern


class Template(NamedTuple):
    expression: bytes
    strength: float


@dataclass(slots=True)
class _Group:
    literals: dict[int, bytes] = field(default_factory=dict)
    sets: dict[int, frozenset[int]] = field(default_factory=dict)

    @property
    def strength(self) -> float:
        weight = sum(3 * (1 - len(allowed) / 256) for allowed in self.sets.values())
        return weight + strength(b"".join(self.literals.values()))


def template(matches: tuple[Match, ...]) -> Template | None:
    best = max(_grouped(matches), key=lambda each: each.strength)
    return Template(_expression(best), best.strength) if best.literals else None


def placed_group(matches: tuple[Match, ...]) -> tuple[bytes, int] | None:
    """What is at fixed places of the payload: its expression and where it begins."""
    group = _grouped(matches)[0]
    return (_expression(group), min(group.literals)) if group.literals else None


def _grouped(matches: tuple[Match, ...]) -> list[_Group]:
    """The first is what has a place in the payload."""
    absolute = _Group()
    group, position = absolute, 0  # where the last match ended, counted from the group's start
    groups = [absolute]
    for match in matches:
        if isinstance(match, Content):
            if match.negated:
                continue
            at = _exact(match, position)
            if at is None or not match.relative:
                group = absolute if at is not None else _Group()
                groups.append(group)
                at = at or 0
            group.literals[at] = match.pattern
            position = at + len(match.pattern)
        elif isinstance(match, ByteTest):
            _add_test(absolute if not match.relative else group, match, position)
        elif not isinstance(match, IsDataAt):
            group, position = _Group(), 0  # moves to where only the data tell
            groups.append(group)
    return groups


def _exact(content: Content, position: int) -> int | None:
    size = len(content.pattern)
    if content.relative:
        distance = content.distance or 0
        exact = content.within == size and content.depth is None
        exact = exact and not content.offset
        return position + distance if exact and isinstance(distance, int) and distance >= 0 else None
    if isinstance(content.offset, int) and content.depth == content.offset + size:
        return content.offset
    return None


def _add_test(group: _Group, test: ByteTest, position: int) -> None:
    if test.width != 1 or test.base or not isinstance(test.offset, int) or not isinstance(test.value, int):
        return
    at = test.offset + (position if test.relative else 0)
    allowed = frozenset(byte for byte in range(256) if compares(test, byte, test.value))
    if at >= 0 and allowed:
        group.sets[at] = group.sets.get(at, allowed) & allowed or allowed


def _expression(group: _Group) -> bytes:
    literal = {at + i: byte for at, text in group.literals.items() for i, byte in enumerate(text)}
    first = min(literal)
    known = {at for at in (*literal, *group.sets) if first <= at < first + REACH}
    text, gap = b"", 0
    for at in range(first, max(known) + 1):
        if at not in known:
            gap += 1
            continue
        text += b".{%d}" % gap if gap else b""
        gap = 0
        text += b"\\x%02x" % literal[at] if at in literal else _any_of(group.sets[at])
    return text


def _any_of(allowed: frozenset[int]) -> bytes:
    return b"[" + b"".join(b"\\x%02x" % byte for byte in sorted(allowed)) + b"]"
