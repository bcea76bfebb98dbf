"""Checks that all TCP states share: is this ACK, reset or timestamp one that the receiving host would accept?

In: a packet and its session. Out: a verdict, with the stream event set where it is bad. RFC 9293 section 3.10.7,
RFC 7323 section 5 (PAWS), RFC 5961; where hosts differ, by the receiver's policy, as Suricata does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.protocol.events import stream as event
from sentinel.protocol.reassembly import HPUX11, LINUX, OLD_LINUX, SOLARIS, VISTA, WINDOWS, WINDOWS2K3
from sentinel.protocol.session import ACK, State, after
from sentinel.protocol.transport import AO, MD5, TIMESTAMP

if TYPE_CHECKING:
    from sentinel.model import Packet
    from sentinel.protocol.session import Session, Side

SECOND = 1_000_000_000
PAWS_SECONDS = 24 * 24 * 3600  # RFC 7323, section 5.5: after 24 days of silence a timestamp says nothing
ESTABLISHED_STATES = frozenset(
    {State.ESTABLISHED, State.FIN_WAIT1, State.FIN_WAIT2, State.CLOSE_WAIT, State.CLOSING}
)
CLOSED_STATES = frozenset({State.LAST_ACK, State.TIME_WAIT, State.CLOSED})


def length(packet: Packet) -> int:
    return packet.payload_end - packet.payload_start


def set_state(packet: Packet, session: Session, state: State) -> None:
    if state == session.state:
        return
    session.before = session.state
    session.state = state
    flow = packet.flow
    if flow is not None:
        if state in ESTABLISHED_STATES:
            flow.established = True
        elif state in CLOSED_STATES:
            flow.closed = True


def valid_ack(packet: Packet, session: Session, side: Side) -> bool:
    """Does the packet acknowledge something that `side` can have sent?"""
    ack = packet.ack
    ahead = after(ack, side.last_ack)
    if ahead == 0 or (ahead > 0 and after(ack, side.next_win) <= 0):
        return True
    if ahead < 0:
        # Without a window there is no left edge to hold an old ACK against.
        if side.window == 0 or after(ack, (side.last_ack - side.window) & 0xFFFFFFFF) >= 0:
            return True
    elif session.async_:
        return True
    event(packet, "pkt_invalid_ack")
    return False


def valid_reset(packet: Packet, session: Session) -> bool:
    if not timestamp_fits(packet, session):
        return False
    if length(packet):
        event(packet, "rst_with_data")
    sender, receiver = session.side(to_server=packet.to_server), session.side(to_server=not packet.to_server)
    if packet.tcp_flags & ACK and packet.ack and not valid_ack(packet, session, receiver):
        event(packet, "rst_invalid_ack")
        return False
    # Signed segments (RFC 2385, RFC 5925): the key is out of band, so wait whether the sender goes on talking.
    if MD5 in packet.tcp_options or AO in packet.tcp_options:
        receiver.rst_received = True
    if session.async_ or receiver.policy == HPUX11:
        return after(packet.seq, sender.next_seq) >= 0
    if receiver.policy in {LINUX, OLD_LINUX, SOLARIS}:
        beyond = (sender.next_seq + sender.window) & 0xFFFFFFFF
        end = (packet.seq + length(packet)) & 0xFFFFFFFF
        return after(end, sender.last_ack) >= 0 and after(packet.seq, beyond) < 0
    return packet.seq == sender.next_seq


def timestamp_fits(packet: Packet, session: Session) -> bool:
    """PAWS, if both hosts use timestamps; sets the event when it does not fit."""
    if not session.timestamps:
        return True
    option = packet.tcp_options.get(TIMESTAMP)
    if option is None or _compare(packet, session, int.from_bytes(option[:4], "big")):
        return True
    event(packet, "pkt_invalid_timestamp")
    return False


def note_timestamp(packet: Packet, session: Session) -> None:
    """Remember the sender's clock after its packet was accepted."""
    option = packet.tcp_options.get(TIMESTAMP) if session.timestamps else None
    if option is None:
        return
    value = int.from_bytes(option[:4], "big")
    sender = session.side(to_server=packet.to_server)
    if _compare(packet, session, value):
        if sender.zero_timestamp:
            sender.last_timestamp = value
            sender.zero_timestamp = False
        if sender.next_seq == packet.seq:
            sender.last_timestamp = value
        sender.last_packet_time = packet.time // SECOND


def _compare(packet: Packet, session: Session, value: int) -> bool:
    sender, receiver = session.side(to_server=packet.to_server), session.side(to_server=not packet.to_server)
    policy, last = receiver.policy, sender.last_timestamp
    if sender.zero_timestamp:
        if policy in {LINUX, WINDOWS2K3}:
            return True
        if policy in {OLD_LINUX, WINDOWS, VISTA} and sender.next_seq == packet.seq:
            return True
    if policy == HPUX11 and sender.next_seq != packet.seq:
        return True
    if value == 0 and policy not in {OLD_LINUX, WINDOWS, WINDOWS2K3, VISTA, SOLARIS}:
        return False
    seconds = packet.time // SECOND
    before = sender.last_packet_time
    if before == 0 and session.midstream:
        before = seconds
    fits = after(value, last) + (policy == LINUX) >= 0
    if last != 0 and seconds > before + PAWS_SECONDS:
        fits = False
    return fits or (sender.next_seq == packet.seq and seconds > before + PAWS_SECONDS)


def retransmitted(packet: Packet, side: Side) -> bool:
    """Data that were acknowledged (in part) or are in flight already."""
    size = length(packet)
    if size == 0:
        return False
    end = (packet.seq + size) & 0xFFFFFFFF
    if after(packet.seq, side.last_ack) < 0 or after(end, side.next_seq) <= 0:
        event(packet, "pkt_retransmission")
        return True
    return False
