"""Sessions that have become large: now and then one packet of each direction for rules that ask for sizes.

In: one batch's rows of a session that nobody looks into. Out: frames to look at, with how far both streams have come, and
the packets made of them. The session itself stays where it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sentinel.protocol.reorder import MASK

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from sentinel.model import Flow, Packet
    from sentinel.protocol.deferred import Deferred, Frame, Rows
    from sentinel.protocol.grouping import Group
    from sentinel.protocol.headers import Headers


def of_deferred(  # noqa: PLR0917 - what is known of a batch
    flow: Deferred, group: Group, found: Headers, rows: Rows, wanted: NDArray[np.bool_], least: int
) -> Iterator[Frame]:
    if max(flow.sizes) > least:
        yield from _last(group, found, rows, wanted, flow.sizes, forward=flow.forward)


def of_sealed(  # noqa: PLR0917 - what is known of a batch
    flow: Flow, group: Group, found: Headers, rows: Rows, wanted: NDArray[np.bool_], least: int
) -> Iterator[Frame]:
    """The real parser's flow, whose later packets it did not see."""
    begun = flow.stream_state.client.isn, flow.stream_state.server.isn
    came = flow.stream_size
    for run in group.runs:
        side = int(int(found.sport[run.row]) != flow.sport)
        came[side] = (run.follows - begun[side]) & MASK
    if max(came) > least:
        first = group.rows[0]
        forward = bool(found.forward[first]) is (int(found.sport[first]) == flow.sport)
        yield from _last(group, found, rows, wanted, (came[0], came[1]), forward=forward)


def _last(
    group: Group,
    found: Headers,
    rows: Rows,
    wanted: NDArray[np.bool_],
    came: tuple[int, int],
    *,
    forward: bool,
) -> Iterator[Frame]:
    """The last packet of each direction. `forward`: of the client's rows."""
    sides = found.forward[group.rows].tolist()
    for side, row in dict(zip(sides, group.rows, strict=True)).items():
        if wanted[row]:
            (frame,) = rows.keep([row]).frames()
            yield replace(frame, look=True, sizes=came, to_server=side == forward)


def shown(packet: Packet, flow: Flow, frame: Frame) -> Packet:
    """`flow`: a stand-in, as if the packet had begun it."""
    if not frame.to_server:
        flow.src, flow.sport, flow.dst, flow.dport = flow.dst, flow.dport, flow.src, flow.sport
        packet.to_server = False
    packet.established = flow.established = True
    flow.stream_size[:] = frame.sizes or (0, 0)
    return packet
