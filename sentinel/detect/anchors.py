"""What must stand in the raw bytes of a message for a rule to match it: the rule's contents, before any parsing.

In: a Rule and a direction. Out: pieces, lower-case. A content about a buffer that a parser normalises is cut where the
normal form may differ from the wire (header separators, the dots of a DNS name); a content about a buffer that is
computed (a hash, a certificate's text) gives no piece. Invariant: a message that lacks a piece cannot match.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sentinel.detect.alternatives import alternatives, weight
from sentinel.detect.fastpattern import strength
from sentinel.detect.rule import Content, Pcre

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sentinel.detect.alternatives import Pieces
    from sentinel.detect.rule import Match, Part, Rule

PIECE_LIMIT = 200  # bytes of one piece; longer ones gain nothing
KEPT = 5  # pieces a rule
# Cut at ": " and line ends: blanks around a header's value and folded or repeated headers are normalised.
_HEADER = re.compile(rb"[ \t]*[:,][ \t]*|\r\n[ \t]*|\n")
_DOTS = re.compile(rb"\.")
_WHOLE = re.compile(rb"(?!)")
_CUTS: dict[str, re.Pattern[bytes]] = {
    "payload": _WHOLE,
    "dns.query": _DOTS,
    **dict.fromkeys(
        (
            "http.header",
            "http.header.raw",
            "http.header_names",
            "http.request_header",
            "http.response_header",
            "http.start",
            "http.cookie",
            "http.accept",
            "http.accept_lang",
            "http.accept_enc",
            "http.connection",
            "http.content_type",
        ),
        _HEADER,
    ),
    **dict.fromkeys(
        (
            "http.uri",
            "http.uri.raw",
            "http.method",
            "http.user_agent",
            "http.host",
            "http.host.raw",
            "http.request_line",
            "http.referer",
            "http.stat_code",
            "http.stat_msg",
            "http.response_line",
            "http.server",
            "http.location",
            "http.protocol",
            "http.content_len",
            "http.request_body",
            "http.response_body",
            "file.data",
            "ssh.proto",
            "ssh.software",
        ),
        _WHOLE,
    ),
}
_HARMLESS = {"to_lowercase", "to_uppercase"}  # transforms that a search without case sees through

# Applications that encode or cut up what a buffer shows, so that the wire need not have the buffer's bytes in a row.
_ENCODED_FILES = frozenset({"smtp", "nfs", "http2"})  # of SMB see screen.py
_ENCODED_HTTP = frozenset({"http2"})


def unreadable(rule: Rule, direction: int) -> frozenset[str]:
    """Of the rule's applications those whose raw bytes say nothing about its buffers."""
    found: frozenset[str] = frozenset()
    for part in rule.parts[direction]:
        if part.buffer == "file.data":
            found |= rule.applications & _ENCODED_FILES
        elif part.buffer.startswith("http."):
            found |= rule.applications & _ENCODED_HTTP
    return found


def pieces(rule: Rule, direction: int) -> tuple[bytes, ...]:
    """The rarest first."""
    found: set[bytes] = set()
    for match in rule.payload:
        if isinstance(match, Content) and not match.negated:
            found.update(_cut(match.pattern, _WHOLE))
    for part in rule.parts[direction]:
        found.update(_of_part(part))
    return tuple(sorted(found, key=lambda piece: (-strength(piece), piece))[:KEPT])


def choices(rule: Rule, direction: int) -> tuple[Pieces, ...]:
    """Alternatives, of each of which all pieces must stand in a message, the rarest first; of contents there is one.

    A rule without contents is known by what its expressions cannot do without.
    """
    found = pieces(rule, direction)
    return (found,) if found else max(_of_expressions(rule, direction), key=weight, default=())


def payload_choices(matches: Sequence[Match]) -> tuple[Pieces, ...]:
    """The same for the expressions about one payload."""
    return max(_expressed(matches, _WHOLE), key=weight, default=())


def _of_expressions(rule: Rule, direction: int) -> Iterator[tuple[Pieces, ...]]:
    yield from _expressed(rule.payload, _WHOLE)
    for part in rule.parts[direction]:
        cut = _cut_of(part)
        if cut is not None:
            yield from _expressed(part.matches, cut)


def _expressed(matches: Sequence[Match], cut: re.Pattern[bytes]) -> Iterator[tuple[Pieces, ...]]:
    for match in matches:
        if isinstance(match, Pcre) and not match.negated:
            found = tuple(_rarest(choice, cut) for choice in alternatives(match.pattern, match.flags))
            if found and all(found):
                yield found


def _rarest(choice: Pieces, cut: re.Pattern[bytes]) -> Pieces:
    found = {piece for each in choice for piece in _cut(each, cut)}
    return tuple(sorted(found, key=lambda piece: (-strength(piece), piece))[:KEPT])


def _cut_of(part: Part) -> re.Pattern[bytes] | None:
    """Where the buffer may differ from the wire; None: anywhere."""
    names = {step.name for step in part.transforms}
    if names == {"dotprefix"}:
        return _DOTS
    return _CUTS.get(part.buffer) if names <= _HARMLESS else None


def _of_part(part: Part) -> Iterator[bytes]:
    cut = _cut_of(part)
    if cut is None:
        return
    for match in part.matches:
        if isinstance(match, Content) and not match.negated:
            yield from _cut(match.pattern, cut)


def _cut(pattern: bytes, separator: re.Pattern[bytes]) -> Iterator[bytes]:
    for piece in separator.split(pattern.lower()):
        if piece:
            yield piece[:PIECE_LIMIT]
