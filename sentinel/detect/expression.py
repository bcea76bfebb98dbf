"""PCRE on hostile bytes in bounded time; the only importer of `regex`.

In: a rule's expression and flags. Out: an object whose `search` gives (start, end, groups) or None. `regex` knows what
rules use of PCRE (possessive and atomic groups, branch reset, POSIX classes, recursion) and gives up after a time
limit, so that no pattern and no payload hangs a worker; giving up counts as no match, as Suricata's match limit does.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import regex

from sentinel import metrics

# One search; a sane one takes microseconds. Each time it is not enough, the expression gets half as much, so that traffic
# made to hit it again and again costs tens of milliseconds in all and not each time; searches that end win it back.
TIME_LIMIT_SECONDS = 0.02
LEAST_SECONDS = 0.0002
WON_BACK = 1.05
# A quantifier, or what must not be taken for one: escapes, classes, the '?' of a group.
_QUANTIFIER = regex.compile(
    rb"\\.|\[\^?\]?(?:\\.|[^\]])*\]|\(\?|(?P<q>[*+?]|\{\d+(?:,\d*)?\})(?P<lazy>\?)?", regex.DOTALL
)
_FLAGS = {"i": regex.IGNORECASE, "s": regex.DOTALL, "m": regex.MULTILINE, "x": regex.VERBOSE}


@dataclass(slots=True)
class Expression:
    compiled: Any
    anchored: bool = False
    limit_seconds: float = TIME_LIMIT_SECONDS

    def search(self, data: bytes, start: int = 0) -> tuple[int, int, tuple[bytes | None, ...]] | None:
        method = self.compiled.match if self.anchored else self.compiled.search
        try:
            found = method(data, start, timeout=self.limit_seconds)
        except TimeoutError:
            metrics.expression_timeouts.inc()
            self.limit_seconds = max(LEAST_SECONDS, self.limit_seconds / 2)
            return None
        except RecursionError:
            return None
        if self.limit_seconds < TIME_LIMIT_SECONDS:
            self.limit_seconds = min(TIME_LIMIT_SECONDS, self.limit_seconds * WON_BACK)
        return (found.start(), found.end(), found.groups()) if found else None


def compile_expression(pattern: bytes, flags: str) -> Expression:
    """ValueError when the expression is not one."""
    if "E" in flags:  # $ matches at the very end only
        pattern = _dollar_end(pattern)
    if "G" in flags:
        pattern = _ungreedy(pattern)
    combined = sum(_FLAGS[letter] for letter in set(flags) if letter in _FLAGS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # "possible nested set" and its like: PCRE reads them as literals too
            compiled = regex.compile(pattern, combined | regex.VERSION0)
    except (regex.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{error}") from None
    return Expression(compiled, anchored="A" in flags)


def _ungreedy(pattern: bytes) -> bytes:
    """PCRE's U: quantifiers are lazy, and greedy with a '?' after them."""
    swapped: bytes = _QUANTIFIER.sub(
        lambda found: found[0] if not found["q"] else found["q"] + (b"" if found["lazy"] else b"?"), pattern
    )
    return swapped


def _dollar_end(pattern: bytes) -> bytes:
    out, escaped, in_class = bytearray(), False, False
    for byte in pattern:
        if byte == 0x24 and not escaped and not in_class:
            out += rb"\Z"
            continue
        if not escaped and byte in b"[]":
            in_class = byte == 0x5B
        escaped = byte == 0x5C and not escaped
        out.append(byte)
    return bytes(out)
