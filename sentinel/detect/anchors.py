"""What must stand in the raw bytes of a message for a rule to match it: the rule's contents, before any parsing.

In: a Rule and a direction. Out: pieces, lower-case. A content about a buffer that a parser normalises is cut where the
normal form may differ from the wire (header separators, the dots of a DNS name); a content about a buffer that is
computed (a hash, a certificate's text) gives no piece. Invariant: a message that lacks a piece cannot match.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sentinel.detect.fastpattern import strength
from sentinel.detect.rule import Content

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentinel.detect.rule import Part, Rule

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


def _of_part(part: Part) -> Iterator[bytes]:
    cut = _CUTS.get(part.buffer)
    names = {step.name for step in part.transforms}
    if names == {"dotprefix"}:
        cut, names = _DOTS, set()
    if cut is None or names - _HARMLESS:
        return
    for match in part.matches:
        if isinstance(match, Content) and not match.negated:
            yield from _cut(match.pattern, cut)


def _cut(pattern: bytes, separator: re.Pattern[bytes]) -> Iterator[bytes]:
    for piece in separator.split(pattern.lower()):
        if piece:
            yield piece[:PIECE_LIMIT]
