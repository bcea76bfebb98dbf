"""TCP while established: windows, acknowledgements, keep-alives, zero window probes, odd resends.

Functions are `(engine, packet, session) -> bool` as in closing.py; those named `is_...` recognise packets that need no
state at all. RFC 9293 section 3.10.7.4 and 3.8.4 (keep-alive), RFC 5961; behaviour follows Suricata's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.protocol import closing
from sentinel.protocol.checks import length, note_timestamp, timestamp_fits, valid_ack
from sentinel.protocol.closing import sides
from sentinel.protocol.events import stream as event
from sentinel.protocol.session import ACK, FIN, MASK, RST, SYN, State, after
from sentinel.protocol.transport import SACK

if TYPE_CHECKING:
    from sentinel.model import Packet
    from sentinel.protocol.session import Session, Side
    from sentinel.protocol.stream import Streams

CONTROL = SYN | FIN | RST
WINDOW_SLACK = 32  # Suricata's margin for window updates that overrun a little


def established(engine: Streams, packet: Packet, session: Session) -> bool:
    flags = packet.tcp_flags
    if flags & RST:
        return closing.reset_established(engine, packet, session)
    if flags & FIN:
        return timestamp_fits(packet, session) and closing.first_fin(engine, packet, session)
    if flags & SYN:
        problem = _syn_ack_problem(packet, session) if flags & ACK else _syn_problem(packet, session)
        if problem:
            event(packet, problem)
        return not problem
    if not flags & ACK:
        return True
    if not timestamp_fits(packet, session):
        return False
    if not packet.to_server:
        session.confirmed = True
    _data(engine, packet, session)
    return True


def _syn_ack_problem(packet: Packet, session: Session) -> str:
    if packet.to_server:
        return "est_synack_toserver"
    if packet.ack != session.client.last_ack:
        return "est_synack_resend_with_different_ack"
    if packet.seq != session.server.isn:
        return "est_synack_resend_with_diff_seq"
    return "est_synack_resend" if session.confirmed else ""


def _syn_problem(packet: Packet, session: Session) -> str:
    if not packet.to_server:
        return "est_syn_toclient"
    return "est_syn_resend" if packet.seq == session.client.isn else "est_syn_resend_diff_seq"


def _data(engine: Streams, packet: Packet, session: Session) -> None:
    """An ordinary segment: check it against the windows, then move them."""
    me, peer = sides(packet, session)
    seq, size = packet.seq, packet.payload_end - packet.payload_start
    probed = session.zero_probe_client if packet.to_server else session.zero_probe_server
    if probed and packet.ack == (peer.next_seq + 1) & MASK:
        event(packet, "est_ack_zwp_data")
    elif not valid_ack(packet, session, peer):
        event(packet, "est_invalid_ack")
        return
    if session.midstream_established and not packet.to_server:
        me.window = packet.window << me.wscale
        me.open_window()
        session.midstream_established = False
    end = (seq + size) & MASK
    keep_alive = size <= 1 and seq == (me.next_seq - 1) & MASK
    if not keep_alive and after(end, me.last_ack) < 0 and not _late(engine, packet, session, me, end):
        event(packet, "est_pkt_before_last_ack")
        return
    if size == 1 and seq == me.next_seq and me.window == 0:
        if packet.to_server:
            session.zero_probe_server = True
        else:
            session.zero_probe_client = True
        engine.segment(session, me, packet)
        return
    me.advance_next(end)
    if after(end, me.next_win) > 0 and not (session.midstream or session.async_):
        event(packet, "est_packet_out_of_window")
        return
    peer.window = packet.window << peer.wscale
    peer.advance_ack(packet.ack)
    if session.timestamps:
        note_timestamp(packet, session)
    if session.sack and packet.tcp_options:
        peer.note_sack(packet.tcp_options.get(SACK))
    peer.advance_window()
    engine.segment(session, me, packet)


def _late(engine: Streams, packet: Packet, session: Session, me: Side, end: int) -> bool:
    """A segment before the last ACK that is still welcome."""
    if session.async_:
        if packet.to_server:
            me.advance_ack(packet.seq)
        else:
            me.last_ack = packet.seq
        return True
    one_sided = packet.to_server and engine.options.async_oneside and session.midstream
    if one_sided and (packet.seq == me.next_seq or me.last_ack == (me.isn + 1) & MASK):
        me.advance_ack(packet.seq)
        session.async_ = True
        return True
    # An ACK was taken for data that we had not seen; here they come.
    return after(me.last_ack, me.next_seq) > 0 and after(end, me.next_seq) > 0


def is_keep_alive(packet: Packet, session: Session) -> bool:
    me, peer = sides(packet, session)
    if packet.tcp_flags & CONTROL or length(packet) > 1:
        return False
    if packet.ack == peer.last_ack and packet.seq == (me.next_seq - 1) & MASK:
        me.keepalive = True
        return True
    return False


def is_keep_alive_answer(packet: Packet, session: Session) -> bool:
    me, peer = sides(packet, session)
    if not peer.keepalive or packet.tcp_flags & CONTROL or length(packet) or packet.window == 0:
        return False
    if packet.window << peer.wscale != peer.window:
        return False
    if packet.ack == peer.last_ack and packet.seq == me.next_seq:
        peer.keepalive = False
        return True
    return False


def is_zero_probe_answer(packet: Packet, session: Session) -> bool:
    me, peer = sides(packet, session)
    probed = session.zero_probe_client if packet.to_server else session.zero_probe_server
    if not probed or session.state < State.ESTABLISHED or length(packet):
        return False
    if packet.tcp_flags & (ACK | CONTROL) != ACK or packet.window or peer.window:
        return False
    return packet.seq == me.next_seq and packet.ack == peer.last_ack


def is_noise(packet: Packet, session: Session) -> bool:
    """A window update that must be ignored, or an ACK that newer ones made obsolete."""
    me, peer = sides(packet, session)
    state, flags, size = session.state, packet.tcp_flags, length(packet)
    if flags & CONTROL or state < State.ESTABLISHED:
        return False
    if state in {State.TIME_WAIT, State.CLOSE_WAIT, State.LAST_ACK} and flags == ACK and not size:
        last = packet.seq == (me.next_seq + 1) & MASK and packet.ack == (peer.next_seq + 1) & MASK
        if last:
            return False
    window = packet.window << peer.wscale
    changed = not size and packet.window and window != peer.window
    if changed and packet.ack == peer.last_ack and packet.seq == me.next_seq:
        return False  # an honest window update
    if state != State.CLOSED and window < peer.window and _shrinks(packet, me, peer, window):
        event(packet, "pkt_bad_window_update")
        return True
    if size or not flags & ACK or packet.seq != me.next_seq or after(packet.ack, peer.last_ack) >= 0:
        return False
    return SACK not in packet.tcp_options or _sack_is_old(packet, peer)


def _shrinks(packet: Packet, me: Side, peer: Side, window: int) -> bool:
    """Closes the window by more than what arrived, to have later packets rejected (Suricata's bug 1238)."""
    lost = peer.window - window
    if lost <= length(packet) or after(packet.ack, peer.next_seq) <= 0 or after(packet.seq, me.next_seq) <= 0:
        return False
    allowed = after(packet.ack, peer.last_ack)
    return lost > allowed + WINDOW_SLACK if window > 1024 else lost > allowed


def _sack_is_old(packet: Packet, peer: Side) -> bool:
    option = packet.tcp_options.get(SACK, b"")
    for position in range(0, len(option) - 7, 8):
        low = int.from_bytes(option[position : position + 4], "big")
        high = int.from_bytes(option[position + 4 : position + 8], "big")
        if after(high, peer.last_ack) <= 0:
            continue
        if not any(after(low, a) >= 0 and after(high, b) <= 0 for a, b in peer.sacked):
            return False
    return True
