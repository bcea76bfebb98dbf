"""TCP packets -> application data in order, and the raw stream windows that content rules look at.

In: decoded TCP packets with their flow. Out: calls to the application layer with new in-order bytes, and on the packet
what detection needs (`stream_added`, `stream_data` ...). As Suricata in IDS mode, data are handed over when the other
host acknowledged them, on resets and at the end of a flow; so alerts come with the same packets.

The transitions live in handshake.py, established.py and closing.py; the table below joins them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from sentinel.protocol import checks, closing, established, handshake, handshake_end
from sentinel.protocol.checks import length
from sentinel.protocol.closing import sides
from sentinel.protocol.events import stream as event
from sentinel.protocol.reassembly import MAXIMUM_SEGMENTS, WINDOWS
from sentinel.protocol.session import ACK, FIN, MASK, RST, SYN, Session, Side, State, after
from sentinel.protocol.transport import FAST_OPEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.model import Flow, Packet, Transaction


class Applications(Protocol):
    """What this layer needs of the application layer (sentinel.protocol.apps)."""

    def feed(
        self, flow: Flow, to_server: bool, data: bytes, *, eof: bool = ..., gap: int = ..., time: int = ...
    ) -> list[Transaction]: ...


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """Suricata's `stream.*`, stock values."""

    midstream: bool = False
    async_oneside: bool = False
    depth: int = 1 << 20
    chunk_to_server: int = 2560
    chunk_to_client: int = 2560
    memory_bytes: int = 256 << 20
    policy: Callable[[bytes], str] = field(default=lambda _address: WINDOWS)


# Suricata reassembles these to the end, whatever the depth (smb.stream-depth: 0)
UNLIMITED = frozenset({"smb"})
# The end of a message is no occasion to show stream rules the bytes; the end of a file in it is
UNTRIGGERED = frozenset({"smtp", "ftp"})

STATES: dict[State, Callable[[Streams, Packet, Session], bool]] = {
    State.SYN_SENT: handshake.syn_sent,
    State.SYN_RECV: handshake_end.syn_received,
    State.ESTABLISHED: established.established,
    State.FIN_WAIT1: closing.fin_wait_1,
    State.FIN_WAIT2: closing.fin_wait_2,
    State.CLOSING: closing.closing,
    State.CLOSE_WAIT: closing.close_wait,
    State.LAST_ACK: closing.last_ack,
    State.TIME_WAIT: closing.time_wait,
    State.CLOSED: closing.closed,
}


class Streams:
    """All TCP sessions; `turn_around(packet)` swaps packet and flow when the server was seen first."""

    def __init__(
        self, options: StreamOptions, apps: Applications, turn_around: Callable[[Packet], None]
    ) -> None:
        self.options = options
        self.apps = apps
        self.turn_around = turn_around
        self.held_bytes = 0
        self.refused_segments = 0
        self.gaps = 0

    # --- one packet -------------------------------------------------------------------------------------------------

    def packet(self, packet: Packet) -> None:
        flow = packet.flow
        assert flow is not None
        session: Session | None = flow.stream_state
        if session is not None:
            self._note_flags(packet, session)
        if not packet.tcp_flags & ACK and packet.ack:
            event(packet, "pkt_broken_ack")
        if session is None or session.state == State.NONE:
            handshake.no_session(self, packet, session)
            return
        if self._needs_state(packet, session) and not self.dispatch(packet, session, session.state):
            return
        self._suspect_reset(packet, session)
        packet.stream_established = session.state >= State.ESTABLISHED

    def dispatch(self, packet: Packet, session: Session, state: State) -> bool:
        handle = STATES.get(state)
        return handle is None or handle(self, packet, session)

    def _note_flags(self, packet: Packet, session: Session) -> None:
        side = session.client if packet.to_server else session.server
        side.tcp_flags |= packet.tcp_flags
        if session.async_ and session.client.tcp_flags and session.server.tcp_flags:
            session.async_ = False

    def _needs_state(self, packet: Packet, session: Session) -> bool:
        """False for packets that say nothing new."""
        if established.is_keep_alive(packet, session):
            return False
        answer = established.is_keep_alive_answer(packet, session)
        me, _ = sides(packet, session)
        me.keepalive = False
        if answer:
            return False
        probe_answer = established.is_zero_probe_answer(packet, session)
        if packet.to_server:
            session.zero_probe_client = False
        else:
            session.zero_probe_server = False
        if probe_answer or established.is_noise(packet, session):
            return False
        return not self._spurious(packet, me)

    def _spurious(self, packet: Packet, me: Side) -> bool:
        """A resend of what was acknowledged long ago: an event, and skipped if it was used up already."""
        size = packet.payload_end - packet.payload_start
        if size == 0:
            return False
        end = (packet.seq + size) & MASK
        used = not me.no_reassembly and after(end, me.base_seq) <= 0
        if used or after(end, me.last_ack) <= 0:
            event(packet, "pkt_spurious_retransmission")
        return used

    def _suspect_reset(self, packet: Packet, session: Session) -> None:
        if packet.tcp_flags & RST:
            return
        _, peer = sides(packet, session)
        if peer.rst_received:
            peer.rst_received = session.closed_by_rst = False
            event(packet, "suspected_rst_inject")

    def open(self, packet: Packet) -> Session:
        """A new session on the packet's flow."""
        flow = packet.flow
        assert flow is not None
        session = Session()
        session.client.policy = self.options.policy(flow.src)
        session.server.policy = self.options.policy(flow.dst)
        # The overlap policy of a stream is that of the host which receives it.
        session.client.receiver, session.server.receiver = session.server.policy, session.client.policy
        me, _ = sides(packet, session)
        me.tcp_flags = packet.tcp_flags
        flow.stream_state = session
        return session

    def adopt(self, packet: Packet, expected: tuple[int, int]) -> None:
        """An established session at these sequence numbers (-1: that side has not spoken)."""
        session = self.open(packet)
        checks.set_state(packet, session, State.ESTABLISHED)
        session.midstream = session.confirmed = session.sack = True
        for side, number in zip((session.client, session.server), expected, strict=True):
            side.begin((max(number, 0) - 1) & MASK)
            side.last_ack = side.next_seq
            side.wscale = handshake.WINDOW_SCALE_MAXIMUM
            side.window = 65_535 << side.wscale
            side.open_window()

    # --- data -------------------------------------------------------------------------------------------------------

    def segment(self, session: Session, side: Side, packet: Packet) -> None:
        """Take the packet's data and acknowledgement; hand over what became available."""
        flags = packet.tcp_flags
        other = session.server if side is session.client else session.client
        mine = theirs = False
        if (
            side.depth_reached and not side.no_reassembly
        ):  # by an earlier packet: from here on packets stand alone
            side.no_reassembly = side.raw_disabled = True
        if packet.pseudo or flags & RST:
            mine = True
        elif flags & FIN and session.state > State.TIME_WAIT:
            mine, theirs = True, bool(flags & ACK)
        elif session.state == State.CLOSED:
            mine = theirs = True
        else:
            theirs = True
        if theirs:
            self.hand_over(session, other, packet)
        # What a reset carries is a message to people (RFC 9293, section 3.5.2), not stream data.
        if packet.payload_end > packet.payload_start and not side.no_reassembly and not flags & RST:
            self._insert(session, side, packet)
            packet.stream_added = True
        if side.depth_reached and not side.no_reassembly:
            mine = True
        if mine:
            self.hand_over(session, side, packet)

    def _insert(self, session: Session, side: Side, packet: Packet) -> None:
        if session.app_disabled and side.stop_raw:
            return
        size = self._within_depth(side, packet)
        if size == 0:
            return
        held, blocks = side.data.held_bytes, len(side.data.blocks)
        if self.held_bytes + size > self.options.memory_bytes or blocks >= MAXIMUM_SEGMENTS:
            self.refused_segments += 1
            event(packet, "reassembly_no_segment")
            return
        seq = packet.seq
        if FAST_OPEN in packet.tcp_options and packet.tcp_flags == SYN:
            seq += 1  # data of a fast open SYN begin after it
        start = side.offset(seq & MASK)
        payload = packet.data[packet.payload_start : packet.payload_start + size]
        if start + size <= side.data.base:
            event(packet, "reassembly_segment_before_base_seq")
            return
        if side.data.insert(start, payload, side.receiver):
            event(packet, "reassembly_overlap_different_data")
        self.held_bytes += side.data.held_bytes - held

    def _within_depth(self, side: Side, packet: Packet) -> int:
        """How much of the payload lies within the depth that is reassembled at all."""
        size, depth = length(packet), self.options.depth
        assert packet.flow is not None
        if packet.flow.app_proto in UNLIMITED:
            return size
        if depth == 0:
            return size
        if side.depth_reached:
            return 0
        start = side.offset(packet.seq)
        if start + size <= depth:
            return size
        side.depth_reached = True
        event(packet, "reassembly_depth_reached")
        return max(0, depth - max(start, 0)) if start < depth else 0

    def hand_over(self, session: Session, side: Side, packet: Packet) -> None:
        """Give the application layer what is in order and acknowledged."""
        if session.app_disabled or side.no_reassembly:
            return
        data, closed = side.data, session.state == State.CLOSED
        eof = closed or packet.pseudo
        if data.edge <= side.app_progress and (session.state >= State.CLOSING or packet.pseudo):
            self._feed(session, side, packet, b"", eof=True, gap=0)
            return
        gap = 0
        while True:
            found, hole = data.contiguous(side.app_progress)
            if hole:
                if not self._is_gap(session, side) or self._undecided(side, packet):
                    return
                gap += hole
                side.app_progress += hole
                self.gaps += 1
                event(packet, "reassembly_seq_gap")
                continue
            found = found[: self._available(session, side, packet, len(found))]
            if not found and not gap and not eof and not side.depth_reached:
                return
            side.app_progress += len(found)
            done = (data.edge <= side.app_progress and eof) or side.depth_reached
            self._feed(session, side, packet, found, eof=done, gap=gap)
            if not found or done or session.app_disabled:
                return
            gap = 0

    def _undecided(self, side: Side, packet: Packet) -> bool:
        """While the protocol is unknown, Suricata waits at a gap, or at the stream's start tells it twice."""
        assert packet.flow is not None
        if packet.flow.app_proto:
            return False
        if side.app_progress:
            return True
        if side.gap_at_start:
            return False
        side.gap_at_start = True
        event(packet, "reassembly_seq_gap")
        return True

    def _available(self, session: Session, side: Side, packet: Packet, size: int) -> int:
        open_or_reset = session.state < State.CLOSED or session.closed_by_rst
        if packet.pseudo and open_or_reset:
            return size
        return min(size, max(0, side.acked - side.app_progress))

    def _is_gap(self, session: Session, side: Side) -> bool:
        """The other host acknowledged bytes that we never saw."""
        return side.acked - (session.state >= State.FIN_WAIT1) > side.app_progress

    def _feed(
        self, session: Session, side: Side, packet: Packet, data: bytes, *, eof: bool, gap: int
    ) -> None:
        if eof and not data and not gap and side.eof_sent:
            return
        flow = packet.flow
        assert flow is not None
        side.eof_sent = side.eof_sent or eof
        if session.flush is None:
            session.flush = lambda to_server: self._flush(session, to_server, packet)
        touched = self.apps.feed(flow, side.to_server, data, eof=eof, gap=gap, time=packet.time)
        if flow.app_proto == "failed":
            session.app_disabled = True
        direction = 0 if side.to_server else 1
        if flow.app_proto not in UNTRIGGERED and any(tx.done[direction] for tx in touched):
            side.trigger_raw = True
        packet.app_updated = True

    def _flush(self, session: Session, to_server: bool, packet: Packet) -> None:
        """The application layer asks for the other direction's data, acknowledged or not."""
        side = session.side(to_server=to_server)
        found, hole = side.data.contiguous(side.app_progress)
        if found and not hole:
            side.app_progress += len(found)
            self._feed(session, side, packet, found, eof=False, gap=0)

    # --- raw inspection ---------------------------------------------------------------------------------------------

    def expose_raw(self, packet: Packet) -> int:
        """Put on the packet what content rules may look at in its direction; the progress after inspection."""
        flow = packet.flow
        assert flow is not None
        session: Session = flow.stream_state
        side, _ = sides(packet, session)
        if side.no_reassembly or side.raw_disabled or not self._raw_ready(session, side, packet):
            return side.raw_progress
        progress = side.raw_progress
        if side.trigger_raw and side.minimum_inspect:
            progress = min(progress, max(0, side.app_progress - side.minimum_inspect))
        acked = side.acked
        chunks: list[tuple[int, bytes]] = []
        for start, data in side.data.blocks:
            end = start + len(data) if packet.pseudo else min(start + len(data), acked)
            low = max(start, progress)
            if low < end:
                chunks.append((low, bytes(data[low - start : end - start])))
                progress = end
        packet.stream_data = b""  # looked at, with nothing acknowledged yet
        if chunks:
            packet.stream_offset, packet.stream_data = chunks[0]
            packet.stream_more = chunks[1:]
        return progress

    def _raw_ready(self, session: Session, side: Side, packet: Packet) -> bool:
        if side.data.edge <= side.raw_progress and not side.trigger_raw:
            return False
        if side.depth_reached or side.trigger_raw or side.stop_raw:
            return True
        if session.state > State.TIME_WAIT or packet.pseudo:
            return True
        chunk = self.options.chunk_to_server if side.to_server else self.options.chunk_to_client
        return side.acked - side.raw_progress >= chunk

    def inspected(self, packet: Packet, progress: int) -> None:
        """Detection ran on the packet: move on, and forget what nobody needs any more."""
        flow = packet.flow
        assert flow is not None
        session: Session = flow.stream_state
        side, _ = sides(packet, session)
        if packet.stream_established:
            self._advance_raw(session, side, progress)
        self._prune(session, side)

    def _advance_raw(self, session: Session, side: Side, progress: int) -> None:
        if progress > side.raw_progress:
            side.raw_progress = progress
            side.trigger_raw = False
        elif progress == 0 and side.app_progress > side.raw_progress and not session.app_disabled:
            if side.trigger_raw:
                side.raw_progress = side.app_progress
                side.trigger_raw = False
            elif side.window:
                side.raw_progress = max(side.raw_progress, side.app_progress - side.window)
        elif progress == 0:
            side.raw_progress = max(side.raw_progress, side.data.edge - side.window)
            side.trigger_raw = False
        if side.stop_raw:
            side.raw_disabled = True

    def _prune(self, session: Session, side: Side) -> None:
        left = side.raw_progress
        if side.minimum_inspect and not session.app_disabled and session.state < State.CLOSED:
            left -= side.minimum_inspect
        if session.app_disabled:
            left = side.data.edge if side.raw_disabled else left
        else:
            left = side.app_progress if side.raw_disabled else min(left, side.app_progress)
        left = min(left, side.acked)
        if left > side.base_offset:
            before = side.data.held_bytes
            side.data.slide(left)
            self.held_bytes -= before - side.data.held_bytes
            side.base_seq = (side.base_seq + left - side.base_offset) & MASK
            side.base_offset = left

    def forget(self, flow: Flow) -> None:
        """The flow leaves the table."""
        session: Session | None = flow.stream_state
        if session is not None:
            self.held_bytes -= session.client.data.held_bytes + session.server.data.held_bytes
            session.flush = None

    def unfinished(self, flow: Flow, session: Session) -> tuple[bool, bool]:
        """Which directions need a last look: (to server, to client)."""
        if State.ESTABLISHED <= session.state < State.CLOSED:
            return True, True
        sides = session.client, session.server
        one_sided = any(side.data.edge for side in sides) and not all(side.data.edge for side in sides)
        unknown = not flow.app_proto
        return tuple(self._has_more(session, side, one_sided=one_sided, unknown=unknown) for side in sides)  # type: ignore[return-value]

    def _has_more(self, session: Session, side: Side, *, one_sided: bool, unknown: bool) -> bool:
        """A side that stayed silent, or whose protocol is not known, counts as not looked at in Suricata."""
        edge = side.data.edge
        if not side.raw_disabled and (edge > side.raw_progress or (one_sided and not edge)):
            return True
        return not session.app_disabled and (edge > side.app_progress or (unknown and edge > 0))
