"""Just enough DER (X.690) to read certificates, Kerberos and SNMP messages without trusting a single length.

In: bytes. Out: `Node` values (tag, content) and their children. Invariant: a length that does not fit raises
BadDerError, which callers of this module catch; no recursion, no copies beyond slices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class BadDerError(Exception):
    """Internal: not DER; parsers turn it into an event."""


@dataclass(frozen=True, slots=True)
class Node:
    tag: int
    content: bytes
    size: int  # with header

    def children(self) -> Iterator[Node]:
        pos = 0
        while pos < len(self.content):
            node = read(self.content, pos)
            yield node
            pos += node.size

    def list(self) -> list[Node]:
        return list(self.children())

    @property
    def integer(self) -> int:
        return int.from_bytes(self.content[:16], "big", signed=True)


def read(data: bytes, pos: int = 0) -> Node:
    if pos + 2 > len(data):
        raise BadDerError
    tag, length = data[pos], data[pos + 1]
    start = pos + 2
    if tag & 0x1F == 0x1F:
        raise BadDerError  # multi-byte tags occur in none of our formats
    if length & 0x80:
        count = length & 0x7F
        if count == 0 or count > 4 or start + count > len(data):
            raise BadDerError
        length = int.from_bytes(data[start : start + count], "big")
        start += count
    if start + length > len(data):
        raise BadDerError
    return Node(tag, data[start : start + length], start + length - pos)


def has_header(data: bytes) -> bool:
    """Whether a tag and a length stand at the start, be the content there or not."""
    if len(data) < 2 or data[0] & 0x1F == 0x1F:
        return False
    size = data[1] & 0x7F if data[1] & 0x80 else 0
    return data[1] != 0x80 and size <= 8 and len(data) >= 2 + size


def oid(content: bytes) -> str:
    """1.2.840.113549 ..."""
    if not content:
        return ""
    arcs = [min(content[0] // 40, 2)]
    arcs.append(content[0] - arcs[0] * 40)
    value = 0
    for byte in content[1:64]:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            arcs.append(value)
            value = 0
    return ".".join(map(str, arcs))
