"""Transforms of sticky buffers: bytes in, bytes out; None where a transform has nothing to give."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from sentinel.detect.expression import Expression, compile_expression

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.detect.rule import Check

_SPACE = re.compile(rb"[ \t\n\v\f\r]+")
_HEADER = re.compile(
    rb"([^:]*)(:[^\n]*\n?)?"
)  # a name, which ends at a colon, and a value to the end of its line
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_PSEUDO = re.compile(rb"^:[^\n]*(\n|\Z)", re.MULTILINE)


def transform(data: bytes, steps: tuple[Check, ...]) -> bytes | None:
    current: bytes | None = data
    for step in steps:
        if current is None:
            return None
        current = _TRANSFORMS[step.name](current, *step.args)
    return current


def _dotprefix(data: bytes) -> bytes:
    return b"." + data


def _url_decode(data: bytes) -> bytes:
    return _PERCENT.sub(lambda found: bytes([int(found[1], 16)]), data.replace(b"+", b" "))


def _header_lowercase(data: bytes) -> bytes:
    return _HEADER.sub(lambda found: found[1].lower() + (found[2] or b""), data)


def _xor(data: bytes, key: bytes) -> bytes:
    repeated = key * (len(data) // len(key) + 1)
    size = len(data)
    return (int.from_bytes(data, "big") ^ int.from_bytes(repeated[:size], "big")).to_bytes(size, "big")


@lru_cache(maxsize=256)
def _expression(pattern: bytes) -> Expression:
    return compile_expression(pattern, "")


def _pcrexform(data: bytes, pattern: bytes) -> bytes | None:
    """The first group of the first match; without one the buffer stays as it is, as in Suricata."""
    found = _expression(pattern).search(data)
    if found is None or not found[2] or found[2][0] is None:
        return data
    return found[2][0]


_TRANSFORMS: dict[str, Callable[..., bytes | None]] = {
    "compress_whitespace": lambda data: re.sub(rb"([ \t\n\v\f\r])[ \t\n\v\f\r]+", rb"\1", data),
    "strip_whitespace": lambda data: _SPACE.sub(b"", data),
    "strip_pseudo_headers": lambda data: _PSEUDO.sub(b"", data),
    "to_md5": lambda data: hashlib.md5(data, usedforsecurity=False).digest(),
    "to_sha1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    "to_sha256": lambda data: hashlib.sha256(data).digest(),
    "dotprefix": _dotprefix,
    "url_decode": _url_decode,
    "header_lowercase": _header_lowercase,
    "to_lowercase": bytes.lower,
    "to_uppercase": bytes.upper,
    "xor": _xor,
    "pcrexform": _pcrexform,
}
