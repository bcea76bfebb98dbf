"""content, its modifiers, pcre, and the sticky buffers they look at (rule manual, "Payload Keywords")."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sentinel.detect.arguments import integer, negatable, nothing, required
from sentinel.detect.buffers import ALIASES, BUFFERS, MODIFIERS, PCRE_BUFFERS
from sentinel.detect.draft import PAYLOAD
from sentinel.detect.rule import Content, Pcre

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.detect.draft import Draft
    from sentinel.detect.rule import Number

PATTERN_LIMIT = 4096  # bytes; no rule in the wild comes near
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_PCRE = re.compile(r"/(.*)/([A-Za-z]*)((?:\s*,\s*(?:flow|pkt|alert|http):\S+)*)", re.DOTALL)
_PCRE_FLAGS = set("ismxAEGROBS") | set(PCRE_BUFFERS)


def pattern_bytes(text: str) -> bytes:
    """The text between the quotes of a content: |41 42| is hexadecimal, a backslash takes the next character."""
    if text and "|" not in text and "\\" not in text and len(text) <= PATTERN_LIMIT:
        return text.encode("latin-1")
    if text.count("|") % 2:
        raise ValueError("a hexadecimal part is not closed with |")
    out = bytearray()
    for i, piece in enumerate(text.split("|")):
        if i % 2:
            try:
                out += bytes.fromhex(piece.strip())
            except ValueError:
                raise ValueError(f"|{piece}| is not hexadecimal") from None
        else:
            out += (_ESCAPED.sub(r"\1", piece) if "\\" in piece else piece).encode("latin-1")
    if not 0 < len(out) <= PATTERN_LIMIT:
        raise ValueError("the pattern is empty" if not out else "the pattern is too long")
    return bytes(out)


def _quoted(value: str | None) -> tuple[bool, str]:
    negated, text = negatable(value)
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        raise ValueError("the value must stand in double quotes")
    return negated, text[1:-1]


def _content(draft: Draft, value: str | None) -> None:
    negated, text = _quoted(value)
    draft.add(Content(pattern_bytes(text), negated=negated))


def _uricontent(draft: Draft, value: str | None) -> None:
    draft.current = None
    _content(draft, value)
    draft.move("http.uri")


def _nocase(draft: Draft, value: str | None) -> None:
    matches, i = draft.newest
    content = matches[i]
    assert isinstance(content, Content)
    draft.modify(nocase=True, pattern=content.pattern.lower(), written=content.pattern)


def _position(name: str) -> Callable[[Draft, str | None], None]:
    def parse(draft: Draft, value: str | None) -> None:
        matches, i = draft.newest
        content = matches[i]
        assert isinstance(content, Content)
        number: Number = required(value)
        if not (isinstance(number, str) and number in draft.variables):
            number = integer(str(number))
        if isinstance(number, int) and number < 0 and name in {"depth", "offset", "within"}:
            raise ValueError("is negative")
        if isinstance(number, int) and name in {"depth", "within"} and number < len(content.pattern):
            raise ValueError(f"{number} is less than the length of the content")
        if content.placed if name in {"distance", "within"} else content.relative:
            raise ValueError("mixes a place in the buffer with one relative to the last match")
        before = next((m for m in reversed(matches[:i]) if isinstance(m, Content | Pcre)), None)
        relative = name in {"distance", "within"}
        if content.only or (relative and isinstance(before, Content) and before.only):
            raise ValueError("a content with fast_pattern:only has no place, and nothing is relative to it")
        if name == "depth" and isinstance(number, int) and isinstance(content.offset, int):
            number += content.offset
        if name == "offset" and isinstance(number, int) and isinstance(content.depth, int):
            draft.modify(depth=content.depth + number)
        draft.modify(**{name: number}, placed=content.placed or name in {"depth", "offset"})

    return parse


def _startswith(draft: Draft, value: str | None) -> None:
    nothing(value)
    matches, i = draft.newest
    content = matches[i]
    assert isinstance(content, Content)
    if content.depth is not None or content.offset or content.relative:
        raise ValueError("cannot be mixed with depth, offset, distance or within")
    draft.modify(depth=len(content.pattern), offset=0, startswith=True, placed=True)


def _endswith(draft: Draft, value: str | None) -> None:
    nothing(value)
    draft.modify(endswith=True)


def _fast_pattern(draft: Draft, value: str | None) -> None:
    matches, i = draft.newest
    content = matches[i]
    assert isinstance(content, Content)
    if draft.fast_seen:
        raise ValueError("is used twice")
    draft.fast_seen = True
    if value == "only" and (content.relative or content.placed or content.negated):
        raise ValueError(
            "only cannot be used with a place in the buffer, one after the last match or a negation"
        )
    draft.modify(fast=not content.negated, only=value == "only")


def _rawbytes(draft: Draft, value: str | None) -> None:
    nothing(value)
    _ = draft.newest


def _modifier(buffer: str) -> Callable[[Draft, str | None], None]:
    def parse(draft: Draft, value: str | None) -> None:
        nothing(value)
        draft.move(buffer)

    return parse


def _sticky(buffer: str) -> Callable[[Draft, str | None], None]:
    def parse(draft: Draft, value: str | None) -> None:
        nothing(value)
        draft.select(buffer)

    return parse


def _pcre(draft: Draft, value: str | None) -> None:
    negated, text = negatable(value)
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
    found = _PCRE.fullmatch(text.strip())
    if not found:
        raise ValueError("is not /expression/flags")
    expression, letters, captures = found.groups()
    if unknown := set(letters) - _PCRE_FLAGS:
        raise ValueError(f"unknown flag {''.join(sorted(unknown))}")
    names = tuple(
        (scope.strip(), name.strip())
        for scope, _, name in (part.partition(":") for part in captures.split(",") if part.strip())
    )
    buffer = next((PCRE_BUFFERS[letter] for letter in letters if letter in PCRE_BUFFERS), None)
    flags = "".join(letter for letter in letters if letter in "ismxAEG")
    match = Pcre(expression.encode("latin-1"), flags, negated, "R" in letters, captures=names)
    if buffer is None:
        draft.add(match)
    elif draft.current is not None and draft.current.buffer != buffer:
        raise ValueError("a buffer letter cannot be used after a sticky buffer")
    else:
        section = draft.current or draft.section(buffer)
        section.matches.append(match)
        draft.last = section


CONTENT: dict[str, Callable[[Draft, str | None], None]] = {
    "content": _content,
    "uricontent": _uricontent,
    "nocase": _nocase,
    "depth": _position("depth"),
    "offset": _position("offset"),
    "distance": _position("distance"),
    "within": _position("within"),
    "startswith": _startswith,
    "endswith": _endswith,
    "fast_pattern": _fast_pattern,
    "rawbytes": _rawbytes,
    "pcre": _pcre,
    "pkt_data": _sticky(PAYLOAD),
    **{name: _sticky(name) for name in BUFFERS},
    **{alias: _sticky(name) for alias, name in ALIASES.items()},
    **{alias: _modifier(name) for alias, name in MODIFIERS.items()},
}
