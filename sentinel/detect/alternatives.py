"""Bytes that must stand where an expression matches: what lets a rule without any content be searched for.

In: a PCRE. Out: alternatives, each some pieces in lower case; wherever the expression matches, all pieces of at least one
alternative stand in the searched bytes, in whatever case. Nothing when no byte is certain, or when the expression has
something that this reader does not know: then whoever asks does without. pcrepattern(3).
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, NamedTuple

from sentinel.detect.fastpattern import strength

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Pieces = tuple[bytes, ...]

FORMS = 16  # spellings of one run of characters that are listed
MOST = 64  # alternatives of one expression
DEEPEST = 40  # groups in groups
_LITERALS = {0x6E: 10, 0x72: 13, 0x74: 9, 0x66: 12, 0x61: 7, 0x65: 27}  # \n \r \t \f \a \e
_SPREAD = frozenset(b"dDwWsShHvVNRX")  # one of many bytes, or several
_NOWHERE = frozenset(b"bBAzZGK")  # take no byte
_COUNT = re.compile(rb"\{(\d+)(?:(,)(\d*))?\}")
_HEX = re.compile(rb"([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,2})\}")
_NAMED = re.compile(rb"\?P?<[A-Za-z_]\w*>|\?'\w+'")
_FLAGGED = re.compile(rb"\?([imsJU]*(?:-[imsJU]*)?)([:)])")
_AROUND = (b"?=", b"?!", b"?<=", b"?<!")


class _Unread(Exception):  # noqa: N818 - the reader's own way out, never seen outside
    """Something that is not read here."""


class _Node(NamedTuple):
    """`exact`: all that it may match, if that is little. `need`: alternatives of pieces; empty: nothing is certain."""

    exact: frozenset[bytes] | None
    need: tuple[Pieces, ...] = ()


_NOTHING = _Node(frozenset({b""}))
_SOMETHING = _Node(None)


def alternatives(expression: bytes, flags: str) -> tuple[Pieces, ...]:
    if "x" in flags:
        return ()
    try:
        node = _Reader(expression).whole()
    except (_Unread, IndexError):
        return ()
    return _fewest(_needed(node))


def weight(choices: Sequence[Pieces]) -> int:
    """How rare the commonest of the alternatives is."""
    return min((max(map(strength, pieces)) for pieces in choices), default=0)


def _fewest(choices: Sequence[Pieces]) -> tuple[Pieces, ...]:
    """Without what is implied: `/.env.bak` beside `/.env`, `/` beside `/etc`."""
    lone = {pieces[0] for pieces in choices if len(pieces) == 1}
    found: dict[Pieces, None] = {}
    for pieces in choices:
        if any(piece in each for each in pieces for piece in lone if (piece,) != pieces):
            continue
        found[
            tuple(each for each in pieces if not any(each in other and each != other for other in pieces))
        ] = None
    return tuple(found)


def _needed(node: _Node) -> tuple[Pieces, ...]:
    if node.exact is None:
        return node.need
    return () if b"" in node.exact else tuple((form,) for form in sorted(node.exact))


class _Reader:
    def __init__(self, text: bytes) -> None:
        self._text = text
        self._at = self._depth = 0

    def whole(self) -> _Node:
        node = self._either()
        if self._at < len(self._text):
            raise _Unread
        return node

    def _either(self) -> _Node:
        self._depth += 1
        if self._depth > DEEPEST:
            raise _Unread
        branches = [self._sequence()]
        while self._peek() == b"|":
            self._at += 1
            branches.append(self._sequence())
        self._depth -= 1
        return _union(branches)

    def _sequence(self) -> _Node:
        nodes: list[_Node] = []
        while self._peek() not in {b"", b"|", b")"}:
            nodes.append(self._repeated(self._atom()))
        return _chain(nodes)

    def _peek(self) -> bytes:
        return self._text[self._at : self._at + 1]

    def _atom(self) -> _Node:
        byte = self._text[self._at]
        self._at += 1
        if byte == 0x5C:
            return self._escape()
        if byte == 0x5B:
            return self._class()
        if byte == 0x28:
            return self._group()
        if byte in b"^$":
            return _NOTHING
        if byte in b"*+?":
            raise _Unread
        return _SOMETHING if byte == 0x2E else _one(byte)

    def _escape(self) -> _Node:
        byte = self._text[self._at]
        if byte in _NOWHERE or byte in _SPREAD:
            self._at += 1
            return _NOTHING if byte in _NOWHERE else _SOMETHING
        if byte in b"123456789" and not self._text[self._at + 1 : self._at + 2].isdigit():
            self._at += 1
            return _SOMETHING  # a group again
        return _one(self._escaped())

    def _escaped(self) -> int:
        byte = self._text[self._at]
        self._at += 1
        if byte in _LITERALS:
            return _LITERALS[byte]
        if byte == 0x78:
            found = _HEX.match(self._text, self._at)
            if found is None:
                raise _Unread
            self._at = found.end()
            return int(found[1] or found[2], 16)
        if chr(byte).isalnum():
            raise _Unread
        return byte

    def _class(self) -> _Node:
        """A few bytes are told apart, as in [sS] or [./]; anything larger is only some byte."""
        negated = self._peek() == b"^"
        self._at += negated
        members: set[int] = set()
        large, first = negated, True
        while first or self._peek() != b"]":
            first = False
            byte = self._text[self._at]
            if byte == 0x5B and self._text[self._at + 1 : self._at + 2] in {b":", b".", b"="}:
                raise _Unread
            self._at += 1
            if byte == 0x5C:
                escaped = self._text[self._at]
                if escaped in _SPREAD or escaped == 0x62:  # \b is a backspace here
                    self._at += 1
                    large = True
                    continue
                byte = self._escaped()
            if self._peek() == b"-" and self._text[self._at + 1 : self._at + 2] != b"]":
                large = True  # a range: what follows the dash is taken for a member, which is enough
            members.add(byte)
        self._at += 1
        forms = {bytes([byte]).lower() for byte in members}
        return _SOMETHING if large or len(forms) > 4 else _Node(frozenset(forms))

    def _group(self) -> _Node:
        text, at = self._text, self._at
        around = next((mark for mark in _AROUND if text.startswith(mark, at)), None)
        found = _NAMED.match(text, at) or _FLAGGED.match(text, at)
        if around is not None:
            self._at += len(around)
        elif text.startswith(b"*", at):
            raise _Unread
        elif text.startswith(b"?>", at):
            self._at += 2
        elif found is not None:
            self._at = found.end()
            if found.re is _FLAGGED and found[2] == b")":
                return _NOTHING
        elif text.startswith(b"?", at):
            raise _Unread
        node = self._either()
        if self._peek() != b")":
            raise _Unread
        self._at += 1
        return _NOTHING if around is not None else node

    def _repeated(self, node: _Node) -> _Node:
        least, most = self._count()
        if self._peek() in {b"?", b"+"} and (least, most) != (1, 1):
            self._at += 1  # lazy or possessive
        if (least, most) == (1, 1):
            return node
        if (least, most) == (0, 1) and node.exact is not None:
            return _Node(node.exact | {b""})
        if least == most and least <= FORMS:
            return _chain([node] * least)
        return _chain([node, _SOMETHING]) if least else _SOMETHING

    def _count(self) -> tuple[int, int | None]:
        mark = self._peek()
        if mark in {b"*", b"+", b"?"}:
            self._at += 1
            return int(mark == b"+"), 1 if mark == b"?" else None
        found = _COUNT.match(self._text, self._at)
        if found is None:
            return 1, 1
        self._at = found.end()
        least = int(found[1])
        if found[2] is None:
            return least, least
        return least, int(found[3]) if found[3] else None


def _one(byte: int) -> _Node:
    return _Node(frozenset({bytes([byte]).lower()}))


def _union(branches: Sequence[_Node]) -> _Node:
    if len(branches) == 1:
        return branches[0]
    exact = [node.exact for node in branches if node.exact is not None]
    together = frozenset[bytes]().union(*exact)
    if len(exact) == len(branches) and len(together) <= FORMS:
        return _Node(together)
    needs = [_needed(node) for node in branches]
    count = sum(map(len, needs))
    return _Node(None, tuple(itertools.chain(*needs)) if all(needs) and count <= MOST else ())


def _chain(nodes: Sequence[_Node]) -> _Node:
    """One after the other: runs of what is known exactly, and what the rest needs."""
    factors: list[tuple[Pieces, ...]] = []
    run, alone = frozenset({b""}), True
    for node in nodes:
        if node.exact is not None and len(run) * len(node.exact) <= FORMS:
            run = frozenset(a + b for a in run for b in node.exact)
            continue
        factors.append(_needed(_Node(run)))
        run, alone = node.exact or frozenset({b""}), False
        factors.append(node.need)
    if alone:
        return _Node(run)
    factors.append(_needed(_Node(run)))
    return _Node(None, tuple(_together([factor for factor in factors if factor])))


def _together(factors: list[tuple[Pieces, ...]]) -> Iterator[Pieces]:
    """All must hold: the rarest decides, and what is one piece only is asked along with it."""
    if not factors:
        return
    best = max(range(len(factors)), key=lambda place: weight(factors[place]))
    certain = [piece for n, each in enumerate(factors) if len(each) == 1 and n != best for piece in each[0]]
    for pieces in factors[best]:
        yield tuple(dict.fromkeys((*pieces, *certain)))
