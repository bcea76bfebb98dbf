"""The state of one TCP session, as Suricata keeps it: two sides, their windows, and what was handed to whom.

A Side describes the stream that one host sends: its sequence numbers, the window the other host grants it, and its
reassembly. Sequence numbers are compared modulo 2**32 (RFC 1982, RFC 9293 section 3.4). The transitions live in
tcpstates.py, the hand-over of data in stream.py; nothing here decides anything.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from sentinel.protocol.reassembly import Reassembly

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.model import Packet

MASK = 0xFFFFFFFF
FIN, SYN, RST, PUSH, ACK, URG = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20


class State(IntEnum):
    """Suricata's order: several checks compare with < and >."""

    NONE = 0
    SYN_SENT = 1
    SYN_RECV = 2
    ESTABLISHED = 3
    FIN_WAIT1 = 4
    FIN_WAIT2 = 5
    TIME_WAIT = 6
    LAST_ACK = 7
    CLOSE_WAIT = 8
    CLOSING = 9
    CLOSED = 10


def after(a: int, b: int) -> int:
    """How far sequence number `a` lies behind `b`: positive = later, modulo 2**32."""
    difference = (a - b) & MASK
    return difference - 0x100000000 if difference & 0x80000000 else difference


class Side:
    """What one host sends. `window` and `wscale` are what the other host granted it."""

    __slots__ = (
        *(
            "app_progress",
            "base_offset",
            "base_seq",
            "data",
            "depth_reached",
            "eof_sent",
            "gap_at_start",
            "isn",
            "keepalive",
        ),
        *("last_ack", "last_packet_time", "last_timestamp", "minimum_inspect", "next_seq", "next_win"),
        *(
            "no_reassembly",
            "policy",
            "raw_disabled",
            "raw_progress",
            "receiver",
            "rst_received",
            "sacked",
            "stop_raw",
        ),
        *("tcp_flags", "timestamps", "to_server", "trigger_raw", "window", "wscale", "zero_timestamp"),
    )

    def __init__(self, *, to_server: bool) -> None:
        self.to_server = to_server
        self.isn = self.next_seq = self.last_ack = self.window = self.next_win = self.wscale = 0
        self.last_timestamp = self.last_packet_time = 0
        self.timestamps = self.zero_timestamp = False
        self.policy = ""  # of the host that sends this side
        self.receiver = ""  # of the host that receives it: decides about overlaps
        self.rst_received = self.keepalive = False
        self.tcp_flags = 0
        self.sacked: list[tuple[int, int]] = []
        self.base_seq = self.base_offset = 0
        self.data = Reassembly()
        self.app_progress = self.raw_progress = self.minimum_inspect = 0
        self.no_reassembly = self.depth_reached = self.trigger_raw = False
        self.raw_disabled = self.stop_raw = self.eof_sent = self.gap_at_start = False

    def begin(self, isn: int) -> None:
        """The stream's data begin after `isn`."""
        self.isn = isn
        self.base_seq = (isn + 1) & MASK
        self.next_seq = self.base_seq

    def offset(self, seq: int) -> int:
        """Absolute stream offset of a sequence number (negative: before what is kept)."""
        return self.base_offset + after(seq, self.base_seq)

    @property
    def acked(self) -> int:
        """Absolute stream offset up to which the other host acknowledged."""
        if self.base_offset == 0 and self.last_ack == 0:
            return 0  # nothing was acknowledged yet: zero is no sequence number here
        return self.base_offset + max(0, after(self.last_ack, self.base_seq))

    def advance_ack(self, ack: int) -> None:
        if after(ack, self.last_ack) > 0:
            self.last_ack = ack
            if self.sacked:
                self.sacked = [(low, high) for low, high in self.sacked if after(high, ack) > 0]

    def advance_next(self, seq: int) -> None:
        seq &= MASK
        if after(seq, self.next_seq) > 0:
            self.next_seq = seq

    def advance_window(self) -> None:
        edge = (self.last_ack + self.window + self.sacked_bytes()) & MASK
        if after(edge, self.next_win) > 0:
            self.next_win = edge

    def open_window(self) -> None:
        """Set the edge of the window without looking back."""
        self.next_win = (self.last_ack + self.window) & MASK

    def sacked_bytes(self) -> int:
        return sum(after(high, low) for low, high in self.sacked)

    def note_sack(self, option: bytes | None) -> None:
        """RFC 2018: what arrived beyond the ACK widens the window that we accept."""
        if not option:
            return
        for position in range(0, len(option) - 7, 8):
            low = int.from_bytes(option[position : position + 4], "big")
            high = int.from_bytes(option[position + 4 : position + 8], "big")
            if after(high, low) > 0 and after(high, self.last_ack) > 0 and after(low, self.next_win) <= 0:
                self.sacked.append((low, high))
        self.sacked = _merge(self.sacked)[:64]  # a host sends at most 4 ranges; more is an attack


def _merge(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    if len(ranges) < 2:
        return ranges
    anchor = ranges[0][0]
    ordered = sorted((after(low, anchor), after(high, anchor)) for low, high in ranges)
    merged = [ordered[0]]
    for low, high in ordered[1:]:
        if low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return [((low + anchor) & MASK, (high + anchor) & MASK) for low, high in merged]


class Session:
    """Both sides. `flush` is set by stream.py for the application layer, which may ask for the other side's data."""

    __slots__ = (
        *(
            "app_disabled",
            "async_",
            "before",
            "client",
            "client_sack",
            "closed_by_rst",
            "confirmed",
            "evasion",
        ),
        *("fast_open", "flags", "flush", "four_way", "midstream", "midstream_established"),
        *("midstream_syn_ack", "queue", "sack", "server", "server_wscale", "state"),
        *("syn_queue", "tfo_ignored", "timestamps", "zero_probe_client", "zero_probe_server"),
    )

    def __init__(self) -> None:
        self.client = Side(to_server=True)
        self.server = Side(to_server=False)
        self.state = self.before = State.NONE
        self.flags = 0
        self.queue: list[Offer] = []
        self.syn_queue: list[Offer] = []
        self.app_disabled = self.async_ = self.client_sack = self.closed_by_rst = self.confirmed = False
        self.evasion = self.fast_open = self.four_way = self.midstream = False
        self.midstream_established = self.midstream_syn_ack = self.sack = self.server_wscale = False
        self.tfo_ignored = self.timestamps = self.zero_probe_client = self.zero_probe_server = False
        self.flush: Callable[[bool], None] | None = None

    def side(self, *, to_server: bool) -> Side:
        return self.client if to_server else self.server

    def turn_around(self) -> None:
        """What was taken for the client is the server."""
        self.client, self.server = self.server, self.client
        self.client.to_server, self.server.to_server = True, False

    def trigger_raw(self, to_server: bool) -> None:
        """Let raw stream inspection of that direction run with the next packet, however little data there is."""
        self.side(to_server=to_server).trigger_raw = True

    def stop_app(self) -> None:
        """No data to the application layer any more."""
        self.app_disabled = True

    def stop_raw(self, to_server: bool) -> None:
        """No reassembly of that direction from here on (encrypted)."""
        side = self.side(to_server=to_server)
        side.no_reassembly = side.raw_disabled = True


def held(packet: Packet, limit: int = 4096) -> bytes:
    """The first bytes that reassembly still holds of the packet's direction: evidence for an alert."""
    session = packet.flow.stream_state if packet.flow is not None else None
    if not isinstance(session, Session):
        return b""
    blocks = session.side(to_server=packet.to_server).data.blocks
    return b"".join(bytes(data[:limit]) for _, data in blocks)[:limit]


class Offer:
    """A SYN or SYN/ACK that may turn out to be the one that counts."""

    __slots__ = ("ack", "sack", "seconds", "seq", "timestamp", "window", "wscale")

    def __init__(
        self,
        *,
        seq: int = 0,
        ack: int = 0,
        window: int,
        wscale: int | None,
        timestamp: int | None,
        sack: bool,
        seconds: int,
    ) -> None:
        self.seq = seq
        self.ack = ack
        self.window = window
        self.wscale = wscale
        self.timestamp = timestamp
        self.sack = sack
        self.seconds = seconds

    def same(self, other: Offer) -> bool:
        """Equal but for the time it was seen."""
        names = ("seq", "ack", "window", "wscale", "timestamp", "sack")
        return all(getattr(self, name) == getattr(other, name) for name in names)
