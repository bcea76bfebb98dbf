"""HPACK (RFC 7541): header blocks of one direction, with its dynamic table.

In: a whole header block. Out: (name, value) pairs. Invariants: the dynamic table obeys its size (at most MAX_TABLE),
a decoded string is at most MAX_STRING, a block at most MAX_FIELDS pairs; what is malformed ends the block with
`damaged` instead of raising.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

# Suricata: HTTP2_MAX_TABLESIZE, and bounds of our own on hostile blocks.
MAX_TABLE = 65536
MAX_STRING = 65536
MAX_FIELDS = 1024
_DEFAULT_TABLE = 4096
_ENTRY_OVERHEAD = 32  # RFC 7541 section 4.1

# Appendix B: the code is canonical, so the symbols of each length, in order, are all there is to say.
_SYMBOLS = {
    5: "303132616365696f7374",
    6: "20252d2e2f333435363738393d415f62646667686c6d6e707275",
    7: "3a42434445464748494a4b4c4d4e4f5051525354555657596a6b71767778797a",
    8: "262a2c3b585a",
    10: "212228293f",
    11: "272b7c",
    12: "233e",
    13: "0024405b5d7e",
    14: "5e7d",
    15: "3c607b",
    19: "5cc3d0",
    20: "808283a2b8c2e0e2",
    21: "99a1a7acb0b1b3d1d8d9e3e5e6",
    22: "8184858688929a9ca0a3a4a9aaadb2b5b9babbbdbec4c6e4e8e9",
    23: "0187898a8b8c8d8f93959697989b9d9ea5a6a8aeafb4b6b7bcbfc5e7ef",
    24: "098e9091949fabced7e1eced",
    25: "c7cfeaeb",
    26: "c0c1c8c9cacdd2d5dadbeef0f2f3ff",
    27: "cbccd3d4d6dddedff1f4f5f6f7f8fafbfcfdfe",
    28: "020304050607080b0c0e0f1011121314151718191a1b1c1d1e1f7fdcf9",
    30: "0a0d16",
}
# Appendix A.
_STATIC: tuple[tuple[bytes, bytes], ...] = tuple(
    (name, value)
    for name, _, value in (
        entry.partition(b"=")
        for entry in (
            b":authority|:method=GET|:method=POST|:path=/|:path=/index.html|:scheme=http|:scheme=https|:status=200|"
            b":status=204|:status=206|:status=304|:status=400|:status=404|:status=500|accept-charset|"
            b"accept-encoding=gzip, deflate|accept-language|accept-ranges|accept|access-control-allow-origin|age|"
            b"allow|authorization|cache-control|content-disposition|content-encoding|content-language|"
            b"content-length|content-location|content-range|content-type|cookie|date|etag|expect|expires|from|host|"
            b"if-match|if-modified-since|if-none-match|if-range|if-unmodified-since|last-modified|link|location|"
            b"max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|server|"
            b"set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate"
        ).split(b"|")
    )
)


def _codes() -> dict[tuple[int, int], int]:
    codes: dict[tuple[int, int], int] = {}
    code = previous = 0
    for length, symbols in _SYMBOLS.items():
        code <<= length - previous
        previous = length
        for symbol in bytes.fromhex(symbols):
            codes[length, code] = symbol
            code += 1
    return codes


_CODES = _codes()
_LENGTHS = tuple(_SYMBOLS)


class BadBlockError(Exception):
    """Internal: the block cannot be read further."""


def unhuffman(data: bytes) -> bytes:
    bits = int.from_bytes(data, "big")
    left = len(data) * 8
    out = bytearray()
    while left >= _LENGTHS[0]:
        for length in _LENGTHS:
            if length > left:
                return bytes(out)  # padding: the rest of a byte, all ones
            symbol = _CODES.get((length, bits >> (left - length)))
            if symbol is not None:
                out.append(symbol)
                left -= length
                bits &= (1 << left) - 1
                break
        else:
            raise BadBlockError
    return bytes(out)


def _integer(data: bytes, pos: int, prefix: int) -> tuple[int, int]:
    if pos >= len(data):
        raise BadBlockError
    limit = (1 << prefix) - 1
    value = data[pos] & limit
    pos += 1
    if value < limit:
        return value, pos
    for shift in range(0, 28, 7):
        if pos >= len(data):
            raise BadBlockError
        value += (data[pos] & 0x7F) << shift
        pos += 1
        if not data[pos - 1] & 0x80:
            return value, pos
    raise BadBlockError


def _string(data: bytes, pos: int) -> tuple[bytes, int]:
    if pos >= len(data):
        raise BadBlockError
    coded = data[pos] & 0x80
    length, pos = _integer(data, pos, 7)
    if pos + length > len(data) or length > MAX_STRING:
        raise BadBlockError
    raw = data[pos : pos + length]
    return (unhuffman(raw) if coded else raw), pos + length


@dataclass(slots=True)
class Hpack:
    """The decoder of one direction."""

    limit: int = _DEFAULT_TABLE
    table: deque[tuple[bytes, bytes]] = field(default_factory=deque)
    size: int = 0
    damaged: bool = False
    resized: list[int] = field(default_factory=list)

    def decode(self, block: bytes) -> list[tuple[bytes, bytes]]:
        fields: list[tuple[bytes, bytes]] = []
        self.damaged = False
        self.resized = []
        pos = 0
        try:
            while pos < len(block) and len(fields) < MAX_FIELDS:
                pos = self._field(block, pos, fields)
        except BadBlockError:
            self.damaged = True
        return fields

    def _field(self, block: bytes, pos: int, fields: list[tuple[bytes, bytes]]) -> int:
        first = block[pos]
        if first & 0x80:
            index, pos = _integer(block, pos, 7)
            fields.append(self._entry(index))
            return pos
        if first & 0xE0 == 0x20:
            size, pos = _integer(block, pos, 5)
            self.resized.append(size)
            self.limit = min(size, MAX_TABLE)
            self._evict()
            return pos
        indexed = first & 0xC0 == 0x40
        index, pos = _integer(block, pos, 6 if indexed else 4)
        if index:
            name = self._entry(index)[0]
        else:
            name, pos = _string(block, pos)
        value, pos = _string(block, pos)
        fields.append((name, value))
        if indexed:
            self.table.appendleft((name, value))
            self.size += len(name) + len(value) + _ENTRY_OVERHEAD
            self._evict()
        return pos

    def _entry(self, index: int) -> tuple[bytes, bytes]:
        if 1 <= index <= len(_STATIC):
            return _STATIC[index - 1]
        index -= len(_STATIC) + 1
        if 0 <= index < len(self.table):
            return self.table[index]
        raise BadBlockError

    def _evict(self) -> None:
        while self.size > self.limit and self.table:
            name, value = self.table.pop()
            self.size -= len(name) + len(value) + _ENTRY_OVERHEAD
