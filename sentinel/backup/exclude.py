"""Which paths stay out of a backup, or belong into a restore: restic's patterns, compiled to one bytes regex each.

`*` and `?` stay within a component, `**` spans any number of them, `[...]` as in the shell. A pattern that starts
with a slash is anchored at the root, any other matches at every depth. `!pattern` takes back what an earlier
pattern excluded; the last one that matches decides. What is below an excluded folder is never looked at.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from sentinel.errors import InvalidInputError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

_TOKEN = re.compile(rb"\*|\?|\[(\^|!)?(\]?[^\]]*)\]|\\(.)|.", re.DOTALL)


class PathFilter:
    def __init__(self, patterns: Iterable[str]) -> None:
        problems = []
        self._rules: list[tuple[bool, re.Pattern[bytes]]] = []
        for pattern in patterns:
            if not pattern.strip():
                continue
            negated = pattern.startswith("!")
            try:
                self._rules.append((not negated, compile_pattern(pattern[negated:])))
            except re.error as error:
                problems.append(Problem("exclude", 0, f"{pattern}: {error}"))
        if problems:
            raise InvalidInputError(problems)

    def __bool__(self) -> bool:
        return bool(self._rules)

    def matches(self, path: bytes) -> bool:
        excluded = False
        for exclude, pattern in self._rules:
            if pattern.fullmatch(path):
                excluded = exclude
        return excluded


def compile_pattern(pattern: str) -> re.Pattern[bytes]:
    raw = os.fsencode(pattern.rstrip("/") or "/")
    anchored = raw.startswith(b"/")
    parts = [part for part in raw.split(b"/") if part]
    prefix = b"" if anchored else rb"(?:/[^/]+)*"
    body = b"".join(rb"(?:/[^/]+)*" if part == b"**" else b"/" + _component(part) for part in parts)
    return re.compile(prefix + (body or b"/"), re.DOTALL)


def _component(part: bytes) -> bytes:
    out = []
    for match in _TOKEN.finditer(part):
        token = match[0]
        if token == b"*":
            out.append(rb"[^/]*")
        elif token == b"?":
            out.append(rb"[^/]")
        elif match[2] is not None:
            inside = match[2].replace(b"\\", b"\\\\").replace(b"[", b"\\[")
            out.append(b"[" + (b"^" if match[1] else b"") + inside + b"]")
        else:
            out.append(re.escape(match[3] if match[3] is not None else token))
    return b"".join(out)
