"""Numbers in a buffer: byte_test, byte_jump, byte_extract, byte_math, base64_decode, asn1, rpc.

In: the match, the bytes, the position relative matches count from. Out: yes/no, or the new position (None = no
match). Arithmetic is unsigned 64 bit, as in Suricata.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.detect.rule import Base64Decode, ByteExtract, ByteJump, ByteMath, ByteTest, Check, Number
    from sentinel.detect.view import Scope

    Resolve = Callable[[Number], int]

TOP = (1 << 64) - 1
_DIGITS = {
    8: re.compile(rb"\s*[+-]?([0-7]+)"),
    10: re.compile(rb"\s*[+-]?([0-9]+)"),
    16: re.compile(rb"\s*[+-]?(?:0[xX])?([0-9A-Fa-f]+)"),
}
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*={0,2}")


def read(data: bytes, at: int, count: int, base: int, little: bool) -> int | None:
    """The number at a place; None when it is not all there or holds no digit."""
    if at < 0 or at + count > len(data) or at >= len(data) + (count == 0):
        return None
    piece = data[at : at + count]
    if not base:
        return int.from_bytes(piece, "little" if little else "big")
    found = _DIGITS[base].match(piece)
    return int(found[1], base) & TOP if found else None


def masked(value: int, mask: int) -> int:
    if not mask:
        return value
    value &= mask
    return value >> ((mask & -mask).bit_length() - 1)


def test(match: ByteTest, data: bytes, position: int, number: Resolve, scope: Scope) -> bool:
    at = number(match.offset) + (position if match.relative else 0)
    little = match.little or (match.dce and scope.little_endian)
    value = read(data, at, number(match.width), match.base, little)
    if value is None or at >= len(data):
        return False
    return compares(match, value, number(match.value))


def compares(match: ByteTest, value: int, wanted: int) -> bool:
    return _OPERATORS[match.operator](masked(value, match.mask), wanted & TOP) is not match.negated


_OPERATORS: dict[str, Callable[[int, int], bool]] = {
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "=": lambda a, b: a == b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "&": lambda a, b: bool(a & b),
    "^": lambda a, b: bool(a ^ b),
}


def jump(match: ByteJump, data: bytes, position: int, number: Resolve, scope: Scope) -> int | None:
    count = number(match.width)
    at = number(match.offset) + (position if match.relative else 0)
    little = match.little or (match.dce and scope.little_endian)
    value = read(data, at, count, match.base, little)
    if value is None or at >= len(data):
        return None
    value = masked(value, match.mask) * match.multiplier
    if match.align and value % 4:
        value += 4 - value % 4
    value += match.post_offset
    if match.from_beginning:
        target = value
    elif match.from_end:
        target = len(data) + value
    else:
        target = at + count + value
    return max(0, target) if target <= len(data) else None


def extract(match: ByteExtract, data: bytes, position: int, scope: Scope) -> int | None:
    at = match.offset + (position if match.relative else 0)
    little = match.little or (match.dce and scope.little_endian)
    value = read(data, at, match.width, match.base, little)
    if value is None:
        return None
    value *= match.multiplier
    if match.align and value % match.align:
        value += match.align - value % match.align
    scope.values[match.name] = value & TOP
    return at + match.width


def calculate(match: ByteMath, data: bytes, position: int, number: Resolve, scope: Scope) -> int | None:
    count = number(match.width)
    at = match.offset + (position if match.relative else 0)
    little = match.little or (match.dce and scope.little_endian)
    value = read(data, at, count, match.base, little)
    operand = number(match.value)
    if value is None or (match.operator == "/" and operand == 0):
        return None
    result = {
        "+": lambda: value + operand,
        "-": lambda: value - operand,
        "*": lambda: value * operand,
        "/": lambda: value // operand,
        "<<": lambda: value << operand if operand < 64 else 0,
        ">>": lambda: value >> operand if operand < 64 else 0,
    }[match.operator]()
    scope.values[match.name] = masked(result & TOP, match.mask)
    return at + count


def decode64(match: Base64Decode, data: bytes, position: int) -> bytes:
    start = match.offset + (position if match.relative else 0)
    piece = data[start : start + match.width] if match.width else data[start:]
    found = _BASE64.match(piece)
    text = found[0].rstrip(b"=") if found else b""
    text = text[: len(text) - (len(text) % 4 == 1)]
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        return b""


def asn1(match: Check, data: bytes, position: int) -> bool:
    """Malformed BER: a bit string with more than 7 unused bits, a REAL too long, any object too long."""
    bitstring, double, oversize, offset, relative = match.args
    at = offset + (position if relative else 0)
    for _ in range(256):  # Suricata's asn1-max-frames
        header = _tag(data, at)
        if header is None:
            return False
        tag, constructed, start, length = header
        if oversize and length > oversize:
            return True
        if bitstring and tag == 3 and not constructed and start < len(data) and data[start] > 7:
            return True
        if double and tag == 9 and length > 256 and start < len(data) and data[start] & 0xC0 == 0:
            return True
        at = start if constructed else start + length
    return False


def _tag(data: bytes, at: int) -> tuple[int, bool, int, int] | None:
    """(tag, constructed, start of the value, its length) of the object at a place."""
    if at < 0 or at + 2 > len(data):
        return None
    first, length, start = data[at], data[at + 1], at + 2
    if first & 0x1F == 0x1F:
        return None
    if length & 0x80:
        count = length & 0x7F
        if count > 8 or start + count > len(data):
            return None
        length, start = int.from_bytes(data[start : start + count], "big"), start + count
    return first & 0x1F, bool(first & 0x20), start, length


CHECKS: dict[str, Callable[[Check, bytes, int], bool]] = {"asn1": asn1}
