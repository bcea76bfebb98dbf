"""What is left of a TCP stream while packets are lost before they reach us: it is looked at behind each hole.

In: a flow that is put aside, and segments of one direction with holes that nobody will fill. Out: whether a rule may match
them. Giving such a flow to the reference path would make every packet of it cost many times as much just when there is
too much already. HTTP is read from the next message on; what lies between a hole and that is only searched as bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.protocol.apps.recognise import possible
from sentinel.protocol.deferred import OVERLAP_LIMIT, TCP
from sentinel.protocol.reorder import FIN, MASK, SYN, Segment, distance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Set as AbstractSet

    from sentinel.protocol.deferred import Deferred
    from sentinel.protocol.grouping import Run

    Stretch = tuple[bytearray, bool, bool]
    Look = Callable[[bytes, AbstractSet[str]], int]

NOTHING: frozenset[str] = frozenset()


def picked_up(flow: Deferred, direction: int, run: Run, look: Look) -> bool:
    """False: a rule may match, or the flow is not to be understood without its reassembly. `look` asks the screen."""
    segments = [*flow.waiting[direction], *_segments(run)]
    if flow.expected[direction] < 0 or any(segment.flags & SYN for segment in segments):
        return False
    http = "http" in flow.apps

    def begins(data: bytes) -> bool:
        return not http or "http" in possible(TCP, (0, 0), direction, data)

    found, follows, astray = stretches(
        flow.expected[direction], segments, begins, astray=flow.astray[direction]
    )
    flow.expected[direction], flow.astray[direction], flow.waiting[direction] = follows, astray, []
    for data, in_step, continues in found:
        joined = flow.tails[direction] + data if continues else bytes(data)
        keep = look(joined, flow.apps if in_step else NOTHING)
        if keep < 0:
            return False
        flow.scanned[direction] += len(data)
        flow.tails[direction] = joined[-min(keep, OVERLAP_LIMIT) :] if keep else b""
    return True


def stretches(
    expected: int, segments: Iterable[Segment], begins: Callable[[bytes], bool], *, astray: bool
) -> tuple[list[Stretch], int, bool]:
    """(bytes, whether they are in step, whether they go on from what came before), what follows, and whether that is astray.

    A segment that `begins` a message brings a stream that went astray back into step.
    """
    found: list[Stretch] = []
    at, fresh = expected, False
    for segment in sorted(segments, key=lambda segment: distance(segment.seq, expected)):
        ahead, data = distance(segment.seq, at), segment.data
        if ahead > 0:
            astray, at, fresh = True, segment.seq, True
        elif ahead < 0:
            data = data[-ahead:]
        if data and astray and begins(data):
            astray, fresh = False, True
        if data and (fresh or not found):
            found.append((bytearray(), not astray, not fresh))
            fresh = False
        if data:
            found[-1][0].extend(data)
        ends = segment.seq + len(segment.data) + bool(segment.flags & FIN)
        at = max(at, at + distance(ends, at)) & MASK
    return found, at, astray


def _segments(run: Run) -> list[Segment]:
    """Piece by piece: a message begins where a packet does."""
    if run.each is not None:
        return run.parts()
    found, at = [], run.seq
    for piece in run.pieces:
        found.append(Segment(at & MASK, piece))
        at += len(piece)
    found[0], found[-1] = (
        found[0]._replace(flags=run.flags & SYN),
        found[-1]._replace(flags=run.flags & FIN),
    )
    return found
