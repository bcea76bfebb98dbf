"""HTTP rules made of expressions alone: no bytes of theirs must stand in a message, so every message is asked.

In: such rules, then the fields of a framed message (see fields). Out: the rules that the message leaves possible. All
expressions on one buffer are one Hyperscan scan of its value (in prefilter mode where they need it), so that a
message costs a scan a buffer, and only an expression that was found is evaluated. It may say yes too often, never no wrongly.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from sentinel.detect.framing import targets
from sentinel.detect.prefilter import Pattern, Prefilter
from sentinel.detect.rule import Pcre
from sentinel.detect.verify import holds
from sentinel.detect.view import View

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from sentinel.detect.rule import Part, Rule

# Values that are the buffer itself, byte for byte, in a message whose raw form is its normal form.
BUFFERS = frozenset(
    {"http.uri", "http.uri.raw", "http.user_agent", "http.request_body", "http.response_body"}
)
_BODIES = frozenset({"http.request_body", "http.response_body"})
# Suricata looks at longer bodies in windows (first at 32 or 40 kB), where ^ and $ stand at other places.
WHOLE_BODY = 30_000
_APPLICATIONS = frozenset({"http", "http2"})  # HTTP/2 is always parsed where it is recognised
_FLAGS = frozenset("ism")  # that Hyperscan has
_ENDS = re.compile(rb"\\[AzZG]")


class _Entry(NamedTuple):
    rule: Rule
    parts: tuple[Part, ...]  # on values that are known


def judged(rule: Rule, direction: int) -> bool:
    """Is it one of those that can be asked here?"""
    return (
        bool(rule.applications) and rule.applications <= _APPLICATIONS and bool(_expressions(rule, direction))
    )


def may_match(rule: Rule, direction: int, found: Mapping[str, bytes]) -> bool:
    """Do the message's fields leave the rule possible?"""
    return all(
        _may_hold(part, _forms(part.buffer, found)) for part in rule.parts[direction] if _readable(part)
    )


def _readable(part: Part) -> bool:
    return part.buffer in BUFFERS and not part.transforms


def _expressions(rule: Rule, direction: int) -> list[tuple[str, Pcre]]:
    """Buffers and the expressions that must be found in them."""
    return [
        (part.buffer, match)
        for part in rule.parts[direction]
        if _readable(part)
        for match in part.matches[:1]
        if isinstance(match, Pcre)
        and not match.negated
        and not match.relative
        and _FLAGS.issuperset(match.flags)
    ]


class Standing:
    def __init__(self, rules: Iterable[Rule], direction: int, cache: Path | None = None) -> None:
        chosen: dict[str, list[tuple[_Entry, Pcre]]] = {}
        for rule in rules:
            buffer, match = _expressions(rule, direction)[0]
            entry = _Entry(rule, tuple(filter(_readable, rule.parts[direction])))
            chosen.setdefault(buffer, []).append((entry, match))
        self._buffers = {buffer: _Buffer(pairs, cache) for buffer, pairs in chosen.items()}

    def __bool__(self) -> bool:
        return bool(self._buffers)

    def suspects(self, values: Sequence[Mapping[str, bytes]]) -> bool:
        """May one of these messages leave a rule possible? A scan a buffer for all of them."""
        return any(buffer.among(values, name) for name, buffer in self._buffers.items())

    def possible(self, found: Mapping[str, bytes]) -> Iterator[Rule]:
        for name, buffer in self._buffers.items():
            for entry in buffer.suspects(_forms(name, found)):
                if all(_may_hold(part, _forms(part.buffer, found)) for part in entry.parts):
                    yield entry.rule


def _forms(buffer: str, found: Mapping[str, bytes]) -> Sequence[bytes] | None:
    """What the buffer may hold; nothing where it is absent, None when only the parser can tell."""
    value = found.get(buffer)
    if value is None:
        return ()
    if buffer == "http.uri":
        return targets(value)
    return None if buffer in _BODIES and len(value) > WHOLE_BODY else (value,)


def _may_hold(part: Part, forms: Sequence[bytes] | None) -> bool:
    return forms is None or any(holds(part.matches, View(form)) for form in forms)


class _Buffer:
    """The rules that have an expression about one buffer."""

    def __init__(self, pairs: Sequence[tuple[_Entry, Pcre]], cache: Path | None) -> None:
        self._entries = [entry for entry, _ in pairs]
        patterns = [
            Pattern(match.pattern, "i" in match.flags, "s" in match.flags, "m" in match.flags, single=True)
            for _, match in pairs
        ]
        self._prefilter = Prefilter.compile(patterns, cache)
        # Of many values in a row, one a line: an expression that looks for the very end cannot be asked of them.
        self._lines: Prefilter | None = None
        if not any(_ENDS.search(pattern.expression) for pattern in patterns):
            lines = [replace(pattern, multiline=True) for pattern in patterns]
            self._lines = Prefilter.compile(lines, cache)

    def among(self, values: Sequence[Mapping[str, bytes]], name: str) -> bool:
        if self._lines is None or self._lines.refused:
            return True
        texts: list[bytes] = []
        for found in values:
            forms = _forms(name, found)
            if forms is None:
                return True
            texts += forms
        return bool(texts and self._lines.scan(b"\n".join(texts) + b"\n")[0])

    def suspects(self, forms: Sequence[bytes] | None) -> Iterator[_Entry]:
        numbers: set[int] = set()
        for form in (b"",) if forms is None else forms:
            hits = self._prefilter.scan(form)[0] if form else range(len(self._entries))
            numbers.update(hits, self._prefilter.refused)
        return (self._entries[number] for number in numbers)
