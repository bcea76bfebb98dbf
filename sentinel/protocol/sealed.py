"""Flows of the real parser that are encrypted from here on: their packets go by in columns again.

In: what NetworkParser made of each frame of such a flow, then the flow's later rows. Out: whether a row may be passed
over. Nobody looks at bytes of a sealed flow any more, so all that is left to see is its header fields and its end: a row that a
rule wants, and the first FIN or RST, go to the real parser, which then ends the flow, since it no longer knows the numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.protocol.grouping import RST, TCP, URG
from sentinel.protocol.reorder import FIN, SYN
from sentinel.protocol.session import State

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sentinel.model import Flow, Packet
    from sentinel.protocol.deferred import Frame
    from sentinel.protocol.flow import FlowTable
    from sentinel.protocol.grouping import Group
    from sentinel.protocol.headers import Headers

TELLING = SYN | FIN | RST | URG
_BOTH, _ENDING = 3, 4


class Sealed:
    def __init__(self, bound: int, table: FlowTable) -> None:
        self._bound, self._table = bound, table
        self._seen: dict[int, int] = {}  # directions in which a packet was inspected since the flow is sealed
        self._flows: dict[int, Flow] = {}

    def __len__(self) -> int:
        return len(self._flows)

    def __contains__(self, frame: Frame) -> bool:
        """May the frame be passed over?"""
        return not frame.must and frame.key in self._flows

    def goes_by(self, group: Group, now: int) -> Flow | None:
        """The flow, if all of the group may be passed over."""
        flow = self._flows.get(group.key)
        if flow is None or group.odd or group.flags & TELLING:
            return None
        flow.last = max(flow.last, now)
        return flow

    def note(self, key: int, packet: Packet) -> None:
        """After the real parser and detection had the packet."""
        flow = packet.flow
        if flow is None or flow.app_state is None or not flow.app_state.sealed:
            self._seen.pop(key, None)
            return
        if packet.tcp_flags & TELLING:
            if self._flows.get(key) is flow:
                self._end(key, flow)
            self._seen[key] = _ENDING  # how it ends, the real parser sees in full
        elif packet.no_payload_inspect and key not in self._flows:
            seen = self._seen[key] = self._seen.pop(key, 0) | (1 if packet.to_server else 2)
            if seen == _BOTH:
                self._add(key, flow)
        if len(self._seen) > self._bound:
            del self._seen[next(iter(self._seen))]

    def _end(self, key: int, flow: Flow) -> None:
        self.forget(key)
        flow.stream_state.state = State.CLOSED
        self._table.end(flow)

    def _add(self, key: int, flow: Flow) -> None:
        del self._seen[key]
        if len(self._flows) >= self._bound:
            del self._flows[next(iter(self._flows))]
        self._flows[key] = flow

    def forget(self, key: int) -> None:
        self._seen.pop(key, None)
        self._flows.pop(key, None)


def needed(found: Headers, wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Rows that have to be seen even of a sealed flow."""
    rows: NDArray[np.bool_] = ((found.tcp_flags & TELLING) != 0) | wanted | (found.proto != TCP)
    return rows
