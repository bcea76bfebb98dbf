"""Segments of one direction that came late, twice or out of order, put in a row again for the screen.

In: where the stream goes on, segments, and a way to look up what was sent before. Out: the new bytes in order, where
the stream goes on then, and segments that wait for missing ones; or None when bytes were sent again with other
content, or anything else came that only the real reassembly can judge. Sequence numbers are compared modulo 2**32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MASK = 0xFFFFFFFF
SYN, FIN = 0x02, 0x01
WAITING = 256  # segments beyond a hole; more is not an ordinary loss


class Segment(NamedTuple):
    seq: int
    data: bytes
    flags: int = 0


class Joined(NamedTuple):
    data: bytes
    follows: int
    waiting: list[Segment]


def distance(a: int, b: int) -> int:
    """How far `a` lies behind `b`; negative = before it."""
    ahead = (a - b) & MASK
    return ahead - 0x100000000 if ahead & 0x80000000 else ahead


def join(
    expected: int, segments: Sequence[Segment], sent: Callable[[int, int], bytes | None]
) -> Joined | None:
    """`expected` is -1 at the beginning; `sent(seq, size)` says what was sent there before, None if not known."""
    if any(segment.flags & SYN for segment in segments):
        return None
    if expected < 0:
        expected = min(segments, key=lambda segment: distance(segment.seq, segments[0].seq)).seq
    whole, finished, waiting = bytearray(), False, []
    for segment in sorted(segments, key=lambda segment: distance(segment.seq, expected)):
        offset, size = distance(segment.seq, expected), len(segment.data)
        if offset > len(whole):
            waiting.append(segment)
            continue
        if not _repeats(segment, offset, whole, sent):
            return None
        new = segment.data[len(whole) - offset :]
        if finished and new:
            return None
        whole += new
        finished = finished or (bool(segment.flags & FIN) and offset + size == len(whole))
    if len(waiting) > WAITING or (finished and waiting):
        return None
    return Joined(bytes(whole), (expected + len(whole) + finished) & MASK, waiting)


def _repeats(
    segment: Segment, offset: int, whole: bytearray, sent: Callable[[int, int], bytes | None]
) -> bool:
    """Does the part that is known already say the same as before?"""
    before = min(max(-offset, 0), len(segment.data))
    if before and sent(segment.seq, before) != segment.data[:before]:
        return False
    known = segment.data[before : max(len(whole) - offset, before)]
    return whole.startswith(known, max(offset, 0))
