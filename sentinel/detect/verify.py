"""Do all matches of one buffer hold? With backtracking over occurrences, exactly as Suricata searches.

In: the matches of a Part (or a payload) and a View. Out: yes or no. A content that the next match is relative to is
tried at each of its occurrences; one that nothing depends on is tried once, and its failure ends the search. The
number of steps is bounded (Suricata's inspection-recursion-limit), so a hostile payload costs a bounded time.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from sentinel.detect import verify_bytes
from sentinel.detect.expression import Expression, compile_expression
from sentinel.detect.rule import (
    Base64Decode,
    ByteExtract,
    ByteJump,
    ByteMath,
    ByteTest,
    Check,
    Content,
    InSet,
    IsDataAt,
    Pcre,
    Size,
)
from sentinel.detect.view import Scope, View

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.detect.rule import Match, Number

STEP_LIMIT = 3000
FOUND, MISSED, HOPELESS = 1, 0, -1  # HOPELESS: no other occurrence can help


def holds(matches: tuple[Match, ...], view: View, scope: Scope | None = None) -> bool:
    if len(matches) == 1 and type(matches[0]) is Content and not matches[0].endswith:
        found = _lone(matches[0], view)
        if found is not None:
            return found
    return _Search(matches, view, scope or Scope()).run(0, 0) == FOUND


def _lone(content: Content, view: View) -> bool | None:
    """The commonest case without ceremony; None when it is not that simple."""
    if content.relative or view.offset or isinstance(content.offset, str) or isinstance(content.depth, str):
        return None
    data = view.lower if content.nocase else view.data
    depth = len(data) if content.depth is None else content.depth
    return (data.find(content.pattern, content.offset, depth) >= 0) is not content.negated


@lru_cache(maxsize=20_000)
def expression_of(match: Pcre) -> Expression:
    return compile_expression(match.pattern, match.flags)


class _Search:
    __slots__ = ("matches", "position", "scope", "steps", "view")

    def __init__(self, matches: tuple[Match, ...], view: View, scope: Scope) -> None:
        self.matches = matches
        self.view = view
        self.scope = scope
        self.steps = 0
        self.position = 0  # end of the last match: what relative matches count from

    def run(self, i: int, position: int) -> int:
        """Matches from number i on, counting relative ones from `position`."""
        self.position = position
        while i < len(self.matches):
            self.steps += 1
            if self.steps >= STEP_LIMIT:
                return HOPELESS
            match = self.matches[i]
            if type(match) is Content:
                return self._content(i, match)
            if type(match) is Pcre:
                return self._pcre(i, match)
            result = _STEPS[type(match)](self, match)
            if result != FOUND:
                return result
            if type(match) is Base64Decode:
                return FOUND  # what follows it is in its own list
            i += 1
        return FOUND

    def number(self, value: Number) -> int:
        return self.scope.values.get(value, 0) if isinstance(value, str) else value

    # --- content ---------------------------------------------------------------------------------------------
    def _content(self, i: int, content: Content) -> int:  # noqa: PLR0912 - Suricata's cases, side by side
        before = self.position
        window = self._window(content, before)
        if window is None:
            return MISSED
        offset, depth = window
        data = self.view.lower if content.nocase else self.view.data
        size = len(data)
        while True:
            if offset > depth or depth <= 0:
                return self.run(i + 1, before) if content.negated else MISSED
            at = -1
            if not (content.endswith and depth < size):
                at = data.find(content.pattern, offset, depth)
            if at < 0:
                if content.negated:
                    return self.run(i + 1, before)
                return MISSED if content.relative else HOPELESS
            end = at + len(content.pattern)
            if content.negated:
                if (
                    content.endswith and end != depth - offset
                ):  # a quirk of Suricata's where there is an offset
                    return self.run(i + 1, before)
                return HOPELESS if len(self.matches) == 1 else MISSED
            if not content.endswith or end == size:
                if i + 1 == len(self.matches):
                    return FOUND
                result = self.run(i + 1, end)
                if result == FOUND:
                    return FOUND
                if result == HOPELESS or not content.chained:
                    return HOPELESS
            self.steps += 1
            if self.steps >= STEP_LIMIT:
                return HOPELESS
            offset = at + 1

    def _window(self, content: Content, before: int) -> tuple[int, int] | None:
        """From where to where the content may lie; None when a stream has gone past its depth."""
        size, start = len(self.view.data), self.view.offset
        offset, depth = self.number(content.offset), size
        if content.relative:
            distance = self.number(content.distance or 0)
            if isinstance(content.distance, str):
                distance = (distance + (1 << 31)) % (1 << 32) - (1 << 31)  # kept in 32 bits
            place = max(0, before + distance)
            if content.within is not None:
                depth = min(depth, before + self.number(content.within) + distance)
                if depth < 0:  # an unsigned number in Suricata: far beyond the end
                    depth = size
                if start and before == 0:
                    if depth <= start:
                        return None
                    depth = depth if depth >= start + size else depth - start
            if content.depth is not None:
                depth = min(depth, before + self.number(content.depth))
            offset = max(offset, place)
        else:
            if content.depth is not None:
                depth = self.number(content.depth)
                if start:
                    if depth <= start:
                        return None
                    depth = depth if depth >= start + size else depth - start
            if isinstance(content.depth, str) or (
                isinstance(content.offset, str) and content.depth is not None
            ):
                depth += offset
        return offset, min(depth, size)

    # --- expressions -----------------------------------------------------------------------------------------
    def _pcre(self, i: int, match: Pcre) -> int:
        before = self.position
        base = before if match.relative else 0
        data = self.view.data[base:] if base else self.view.data
        expression = expression_of(match)
        start = 0
        while True:
            found = expression.search(data, start)
            if match.negated:
                return MISSED if found else self.run(i + 1, before)
            if found is None:
                return MISSED
            first, last, groups = found
            self._capture(match, groups)
            if i + 1 == len(self.matches):
                return FOUND
            result = self.run(i + 1, base + last)
            if result != MISSED or not match.chained:
                return result
            start = first + 1
            self.steps += 1
            if start > len(data) or self.steps >= STEP_LIMIT:
                return MISSED

    def _capture(self, match: Pcre, groups: tuple[bytes | None, ...]) -> None:
        if self.scope.captured is not None:
            for (kind, name), value in zip(match.captures, groups, strict=False):
                self.scope.captured(kind, name, value or b"")

    # --- numbers, sizes, sets --------------------------------------------------------------------------------
    def is_data_at(self, match: IsDataAt) -> int:
        wanted, size = self.number(match.position), len(self.view.data)
        there = self.position + wanted <= size if match.relative else wanted < size
        if there is not match.negated:
            return FOUND
        fixed = isinstance(match.position, int)
        # A fixed place that has no data will have none for another occurrence further on.
        return HOPELESS if fixed and (not match.negated or not match.relative) else MISSED

    def size(self, match: Size) -> int:
        within = match.low <= len(self.view.data) + self.view.offset <= match.high
        return FOUND if within is not match.negated else HOPELESS

    def byte_test(self, match: ByteTest) -> int:
        return (
            FOUND
            if verify_bytes.test(match, self.view.data, self.position, self.number, self.scope)
            else MISSED
        )

    def byte_jump(self, match: ByteJump) -> int:
        return self._moved(verify_bytes.jump(match, self.view.data, self.position, self.number, self.scope))

    def byte_extract(self, match: ByteExtract) -> int:
        return self._moved(verify_bytes.extract(match, self.view.data, self.position, self.scope))

    def byte_math(self, match: ByteMath) -> int:
        return self._moved(
            verify_bytes.calculate(match, self.view.data, self.position, self.number, self.scope)
        )

    def _moved(self, position: int | None) -> int:
        if position is None:
            return MISSED
        self.position = position
        return FOUND

    def base64(self, match: Base64Decode) -> int:
        decoded = verify_bytes.decode64(match, self.view.data, self.position)
        if not decoded or not match.inner:
            return MISSED
        return FOUND if holds(match.inner, View(decoded), self.scope) else MISSED

    def in_set(self, match: InSet) -> int:
        return (
            FOUND if self.scope.in_set is not None and self.scope.in_set(match, self.view.data) else HOPELESS
        )

    def check(self, match: Check) -> int:
        return FOUND if verify_bytes.CHECKS[match.name](match, self.view.data, self.position) else MISSED


_STEPS: dict[type, Callable[[_Search, object], int]] = {
    IsDataAt: _Search.is_data_at,  # type: ignore[dict-item]
    Size: _Search.size,  # type: ignore[dict-item]
    ByteTest: _Search.byte_test,  # type: ignore[dict-item]
    ByteJump: _Search.byte_jump,  # type: ignore[dict-item]
    ByteExtract: _Search.byte_extract,  # type: ignore[dict-item]
    ByteMath: _Search.byte_math,  # type: ignore[dict-item]
    Base64Decode: _Search.base64,  # type: ignore[dict-item]
    InSet: _Search.in_set,  # type: ignore[dict-item]
    Check: _Search.check,  # type: ignore[dict-item]
}
