r"""What an application sees of a request: escapes undone until nothing changes, at most PASSES times.

Percent (also twice and thrice encoded, %uXXXX, overlong UTF-8), plus as space (first pass, where queries are), HTML entities,
backslash escapes (\xHH as nginx writes bytes, \uXXXX, octal), full-width letters. In: a column. Out: a column that is
present in the rows where decoding changed something, so plain rows cost one look at their bytes. RFC 3986, 2.1.
"""

from __future__ import annotations

import html
import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import numpy as np

from sentinel.model import Column

if TYPE_CHECKING:
    from numpy.typing import NDArray

PASSES = 4  # nobody decodes more often than a proxy, a framework and an application do
LONGEST = 64 * 1024  # bytes of one value that are decoded
WITH_PLUS = {
    "url.original",
    "url.query",
    "http.request.cookie",
    "http.request.referrer",
    "http.request.body.content",
}
DECODED = WITH_PLUS | {"user_agent.original", "url.domain"}

_WIDE_PERCENT = re.compile(rb"%[uU]([0-9A-Fa-f]{4})")
_ESCAPE = re.compile(
    rb"\\(?:x\{?([0-9A-Fa-f]{2})\}?|u\{?00([0-9A-Fa-f]{2})\}?|u\{([0-9A-Fa-f]{1,2})\}|([0-3][0-7]{2}))"
)
_ENTITY = re.compile(rb"&(?:#[0-9]{1,7};?|#[xX][0-9A-Fa-f]{1,6};?|[A-Za-z]{2,12};)")
# RFC 3629, 3: the first bytes of two- and three-byte forms of characters that need one or two
_OVERLONG = re.compile(rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f][\x80-\xbf]|\xf0[\x80-\x8f][\x80-\xbf]{2}")
# What one pass over percent signs does not undo: seen before it, and after it.
_NOT_ONCE = re.compile(rb"\\|%[uU]")
_AGAIN = re.compile(rb"[\\%\xc0\xc1]|&#|&[A-Za-z]{2,12};|\xe0[\x80-\x9f]|\xef[\xbc\xbd]|\xf0[\x80-\x8f]")
_WIDE = re.compile(rb"\xef\xbc[\x81-\xbf]|\xef\xbd[\x80-\x9e]")  # U+FF01..U+FF5E


def decoded(column: Column, *, plus: bool) -> Column | None:
    """The decoded form; None where no row changes."""
    packed = column.packed()
    rows = _suspects(packed, plus=plus)
    if packed.present is not None:
        rows = rows[packed.present[rows]]
    if not len(rows):
        return None
    old = [value or b"" for value in packed.take(rows).values()]
    new = _decode_all(old, plus=plus)
    changed = [number for number, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
    if not changed:
        return None
    return _sparse([new[number] for number in changed], rows[changed], packed)


def _decode_all(values: list[bytes], *, plus: bool) -> list[bytes]:
    """Each as `decode` does it. Most need one pass alone, which is made over all of them at once."""
    once = b"\n".join(values)
    if plus:
        once = once.replace(b"+", b" ")
    once = _percent(once)
    passed = once.split(b"\n")
    if len(passed) != len(values) or max(map(len, values)) > LONGEST:
        return [decode(value, plus=plus) for value in values]
    return [
        decode(old, plus=plus) if _NOT_ONCE.search(old) or _AGAIN.search(new) else new
        for old, new in zip(values, passed, strict=True)
    ]


@lru_cache(16_384)  # a page's address comes back as referrer of all it loads
def decode(value: bytes, *, plus: bool) -> bytes:
    if len(value) > LONGEST:
        value = value[:LONGEST]
    if plus and b"+" in value:
        value = value.replace(b"+", b" ")
    for _ in range(PASSES):
        before = value
        if b"\\" in value:
            value = _ESCAPE.sub(_escape, value)
        if b"%" in value:
            value = _percent(value)
        if b"&" in value and (b";" in value or b"#" in value):
            value = _ENTITY.sub(_entity, value)
        if value == before:
            break
    if not value.isascii():
        value = _WIDE.sub(_narrow, _OVERLONG.sub(_shortest, value))
    return value


def _suspects(column: Column, *, plus: bool) -> NDArray[np.int64]:
    """Rows with a byte that some step undoes."""
    marks = np.flatnonzero(np.frombuffer(column.data.translate(_MARKS[plus]), np.bool_))
    if not len(marks):
        return marks
    return np.unique(np.searchsorted(column.offsets, marks, "right") - 1)


def _table(marks: bytes) -> bytes:
    return bytes(byte in marks for byte in range(256))


_HIGH = bytes([0xC0, 0xC1, 0xE0, 0xEF, 0xF0])
# An entity shows by its semicolon or number sign: both are rare in targets, and not in user agents.
_MARKS = {False: _table(b"%\\" + _HIGH), True: _table(b"%\\+;#" + _HIGH)}


def _sparse(values: list[bytes], where: NDArray[np.int64], like: Column) -> Column:
    rows = len(like.offsets) - (1 if like.ends is None else 0)
    packed = Column.of(values)
    present = np.zeros(rows, np.bool_)
    present[where] = True
    lengths = np.zeros(rows, np.int64)
    lengths[where] = np.diff(packed.offsets)
    offsets = np.zeros(rows + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return Column(packed.data, offsets, present)


def _percent(value: bytes) -> bytes:
    if b"%u" in value or b"%U" in value:
        value = _WIDE_PERCENT.sub(_wide_percent, value)
    try:  # where all escapes are whole, a codec does it in one go
        text = value.replace(b"\\", b"\\\\").replace(b"%", b"\\x").decode("unicode_escape")
        return text.encode("latin-1")
    except UnicodeDecodeError:
        return unquote_to_bytes(value)


def _wide_percent(match: re.Match[bytes]) -> bytes:
    code = int(match[1], 16)
    return bytes((code,)) if code < 128 else chr(code).encode("utf-8", "replace")


def _escape(match: re.Match[bytes]) -> bytes:
    if match[4] is not None:
        return bytes((int(match[4], 8),))
    return bytes((int(match[1] or match[2] or match[3], 16),))


def _entity(match: re.Match[bytes]) -> bytes:
    return html.unescape(match[0].decode("ascii")).encode("utf-8", "replace")


def _shortest(match: re.Match[bytes]) -> bytes:
    code = 0
    for byte in match[0][1:]:
        code = code << 6 | byte & 0x3F
    code |= (match[0][0] & (0x1F, 0x0F, 0x07)[len(match[0]) - 2]) << 6 * (len(match[0]) - 1)
    return chr(code).encode("utf-8", "replace")


def _narrow(match: re.Match[bytes]) -> bytes:
    return bytes((ord(match[0].decode("utf-8")) - 0xFEE0,))
