"""Transforms: change a sticky buffer's bytes before anything looks at them (rule manual, "Transformations")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.detect.arguments import nothing, required, unquoted
from sentinel.detect.expression import compile_expression
from sentinel.detect.rule import Check

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.detect.draft import Draft

_PLAIN = (
    "compress_whitespace", "strip_whitespace", "strip_pseudo_headers", "to_md5", "to_sha1", "to_sha256", "dotprefix",
    "url_decode", "header_lowercase", "to_lowercase", "to_uppercase",
)  # fmt: skip


def _plain(name: str) -> Callable[[Draft, str | None], None]:
    def parse(draft: Draft, value: str | None) -> None:
        nothing(value)
        draft.transform(Check(name))

    return parse


def _pcrexform(draft: Draft, value: str | None) -> None:
    pattern = unquoted(value).encode("latin-1")
    if not compile_expression(pattern, "").compiled.groups:
        raise ValueError("the expression needs a group to take")
    draft.transform(Check("pcrexform", (pattern,)))


def _xor(draft: Draft, value: str | None) -> None:
    try:
        key = bytes.fromhex(unquoted(required(value)))
    except ValueError:
        raise ValueError("the key is not hexadecimal") from None
    if not 0 < len(key) <= 255:
        raise ValueError("the key has 1 to 255 bytes")
    draft.transform(Check("xor", (key,)))


TRANSFORMS: dict[str, Callable[[Draft, str | None], None]] = {
    **{name: _plain(name) for name in _PLAIN},
    "pcrexform": _pcrexform,
    "xor": _xor,
}
