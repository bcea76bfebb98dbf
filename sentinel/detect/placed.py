"""Rules with a content at a fixed offset, judged at every place of a stream where their payload might begin.

In: the payload matches of such a rule; then bytes of a stream, of which nobody knows yet in what portions they will be
inspected. Out: may the rule match a portion that begins anywhere in them, and if not, how many of the last bytes may
still be the beginning of one. Only rules are judged that match a longer portion whenever they match a shorter one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from sentinel.detect.rule import ByteExtract, ByteJump, ByteMath, ByteTest, Content, IsDataAt, Pcre
from sentinel.detect.templates import placed_group
from sentinel.detect.verify import holds
from sentinel.detect.view import View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentinel.detect.rule import Match

POSSIBLE = -1
WINDOW = 65_536  # as far as a rule may reach; a stream is inspected in smaller portions
TRIED = 64  # beginnings in one scan; more are for whoever sees the packets
# What may stop matching when more bytes follow.
_SHRINKING = re.compile(rb"\$|\(\?[!>(]|\(\?<!|\\[zZbBG]|[*+?}]\+")


class Placed(NamedTuple):
    beginning: re.Pattern[bytes]
    first: int  # from the portion's begin to the first byte of `beginning`
    reach: int  # bytes that decide
    matches: tuple[Match, ...]

    def judge(self, data: bytes, *, whole: bool) -> int:
        """POSSIBLE, or how many of the last bytes to show again."""
        kept = 0
        for tried, found in enumerate(self.beginning.finditer(data)):
            begin = found.start() - self.first
            if begin < 0 and whole:
                continue
            if begin < 0 or tried >= TRIED or holds(self.matches, View(data[begin : begin + WINDOW])):
                return POSSIBLE
            if len(data) - begin < self.reach:
                kept = max(kept, len(data) - begin)
        return kept


def placed(matches: tuple[Match, ...]) -> Placed | None:
    group, lasting = placed_group(matches), _lasting(matches)
    if group is None or lasting is None:
        return None
    expression, first = group
    return Placed(re.compile(b"(?si)(?=" + expression + b")"), first, _reach(lasting), lasting)


def _lasting(matches: tuple[Match, ...]) -> tuple[Match, ...] | None:
    """Of the matches those that go on to hold whatever follows; without the others the rule says yes more often."""
    found: list[Match] = []
    for before, match in zip((None, *matches), matches, strict=False):
        if isinstance(match, Content | IsDataAt | Pcre) and match.negated:
            if isinstance(match, Content) and isinstance(before, IsDataAt) and _covers(before, match):
                found.append(match)
            continue  # moves nothing
        if not _lasts(match):
            return None
        found.append(match._replace(endswith=False) if isinstance(match, Content) else match)
    return tuple(found)


def _covers(data: IsDataAt, content: Content) -> bool:
    """Is all of the window there, in which the content must not be?"""
    within, distance = content.within, content.distance or 0
    known = isinstance(within, int) and isinstance(distance, int) and isinstance(data.position, int)
    return (
        known
        and data.relative
        and not data.negated
        and int(within or 0) + int(distance) <= int(data.position)
    )


def _lasts(match: Match) -> bool:
    if isinstance(match, Content | IsDataAt):
        return True
    if isinstance(match, Pcre):
        return _SHRINKING.search(match.pattern) is None
    if isinstance(match, ByteTest | ByteMath | ByteExtract):
        return not match.base
    return isinstance(match, ByteJump) and not (match.base or match.from_end)


def _reach(matches: Sequence[Match]) -> int:
    reach = position = 0
    for match in matches:
        if isinstance(match, Content):
            far = match.within if match.relative else match.depth
            if not isinstance(far, int) or not isinstance(match.distance or 0, int):
                return WINDOW
            position = far + (position + int(match.distance or 0) if match.relative else 0)
            reach = max(reach, position)
        elif isinstance(match, ByteTest) and isinstance(match.offset, int) and isinstance(match.width, int):
            reach = max(reach, match.offset + match.width + (position if match.relative else 0))
        else:
            return WINDOW
    return min(reach, WINDOW)
