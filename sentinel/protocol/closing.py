"""TCP from the first FIN or reset to the end: FIN wait 1 and 2, closing, close wait, last ACK, time wait, closed.

Each function is `(engine, packet, session) -> bool`; False = the packet does not fit, the event on it says why.
`me` is the side that sent the packet, `peer` the other one. RFC 9293 section 3.6; behaviour follows Suricata's,
including where its bookkeeping differs by direction (a FIN counts in next_seq only from the server).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.protocol.checks import (
    length,
    note_timestamp,
    retransmitted,
    set_state,
    timestamp_fits,
    valid_ack,
    valid_reset,
)
from sentinel.protocol.events import stream as event
from sentinel.protocol.session import ACK, FIN, MASK, RST, SYN, Session, Side, State, after
from sentinel.protocol.transport import SACK

if TYPE_CHECKING:
    from sentinel.model import Packet
    from sentinel.protocol.stream import Streams


def sides(packet: Packet, session: Session) -> tuple[Side, Side]:
    """(sender, receiver) of the packet."""
    if packet.to_server:
        return session.client, session.server
    return session.server, session.client


def close_by_reset(packet: Packet, session: Session) -> None:
    session.closed_by_rst = True
    set_state(packet, session, State.CLOSED)


def reset(engine: Streams, packet: Packet, session: Session) -> bool:
    """A reset in any state after the first FIN."""
    if not valid_reset(packet, session):
        return False
    close_by_reset(packet, session)
    _after_reset(engine, packet, session)
    return True


def _after_reset(engine: Streams, packet: Packet, session: Session) -> None:
    me, peer = sides(packet, session)
    if packet.tcp_flags & ACK and valid_ack(packet, session, peer):
        peer.advance_ack(packet.ack)
    me.advance_ack(packet.seq)
    note_timestamp(packet, session)
    engine.segment(session, me, packet)


def reset_established(engine: Streams, packet: Packet, session: Session) -> bool:
    if not valid_reset(packet, session):
        return False
    close_by_reset(packet, session)
    me, peer = sides(packet, session)
    me.next_seq = (packet.seq + length(packet) + (not packet.to_server)) & MASK
    peer.next_seq = packet.ack
    me.window = packet.window << me.wscale
    _after_reset(engine, packet, session)
    return True


def first_fin(engine: Streams, packet: Packet, session: Session) -> bool:
    """FIN while the handshake is not complete or the session is established."""
    me, peer = sides(packet, session)
    if not valid_ack(packet, session, peer):
        event(packet, "fin_invalid_ack")
        return False
    end = (packet.seq + length(packet)) & MASK
    if after(packet.seq, me.last_ack) < 0 or after(end, me.next_win) > 0:
        event(packet, "fin_out_of_window")
        return False
    if packet.to_server and packet.tcp_flags & SYN:
        event(packet, "fin_syn")
        return False
    set_state(packet, session, State.CLOSE_WAIT if packet.to_server else State.FIN_WAIT1)
    me.next_seq = end if packet.to_server else (end + 1) & MASK
    peer.window = packet.window << peer.wscale
    note_timestamp(packet, session)
    _finish(engine, packet, session, slack=0)
    return True


def _finish(engine: Streams, packet: Packet, session: Session, *, slack: int) -> None:
    """What every accepted packet of a closing session does. `slack` 1: the peer's FIN is in its next_seq."""
    me, peer = sides(packet, session)
    # We may have missed data that this host received and acknowledges.
    if after((peer.next_seq - slack) & MASK, packet.ack) < 0:
        peer.next_seq = packet.ack
    if packet.tcp_flags & ACK:
        peer.advance_ack(packet.ack)
    engine.segment(session, me, packet)


def fin_wait_1(engine: Streams, packet: Packet, session: Session) -> bool:
    flags = packet.tcp_flags
    if flags & RST:
        return reset(engine, packet, session)
    if flags & FIN:
        return timestamp_fits(packet, session) and _fin_in_fin_wait_1(engine, packet, session)
    if flags & SYN:
        return _refused(packet, "shutdown_syn_resend")
    if not flags & ACK:
        return True
    return timestamp_fits(packet, session) and _ack_in_fin_wait_1(engine, packet, session)


def _fin_in_fin_wait_1(engine: Streams, packet: Packet, session: Session) -> bool:
    me, peer = sides(packet, session)
    has_ack = bool(packet.tcp_flags & ACK)
    again = retransmitted(packet, me)
    if not again and not packet.to_server and has_ack:
        again = packet.seq == (me.next_seq - 1) & MASK and packet.ack == peer.last_ack
    if not again and _outside(packet, me, (me.next_seq - 1) & MASK):
        return _refused(packet, "fin1_fin_wrong_seq")
    if not valid_ack(packet, session, peer):
        return _refused(packet, "fin1_invalid_ack")
    if not again:
        set_state(packet, session, State.TIME_WAIT if has_ack else State.CLOSING)
        peer.window = packet.window << peer.wscale
    note_timestamp(packet, session)
    if again and not packet.to_server and has_ack:
        engine.segment(session, me, packet)
        return True
    expected = me.next_seq if packet.to_server and has_ack else (me.next_seq - 1) & MASK
    if packet.seq == expected:
        me.advance_next(packet.seq + length(packet))
    _finish(engine, packet, session, slack=1)
    return True


def _ack_in_fin_wait_1(engine: Streams, packet: Packet, session: Session) -> bool:
    me, peer = sides(packet, session)
    again = retransmitted(packet, me)
    if not valid_ack(packet, session, peer):
        return _refused(packet, "fin1_invalid_ack")
    considered = not again
    if packet.to_server:
        considered = not again and packet.ack == peer.next_seq
    if considered:
        if not _in_window(packet, session, me):
            return _refused(packet, "fin1_ack_wrong_seq")
        if packet.seq == (me.next_seq if packet.to_server else (me.next_seq - 1) & MASK):
            set_state(packet, session, State.FIN_WAIT2)
        peer.window = packet.window << peer.wscale
    note_timestamp(packet, session)
    expected = me.next_seq if packet.to_server else (me.next_seq - 1) & MASK
    if after((peer.next_seq - 1) & MASK, packet.ack) < 0:
        peer.next_seq = packet.ack
    if packet.seq == expected:
        me.advance_next(packet.seq + length(packet))
    _acknowledge(engine, packet, session)
    return True


def _acknowledge(engine: Streams, packet: Packet, session: Session) -> None:
    me, peer = sides(packet, session)
    peer.advance_ack(packet.ack)
    if session.sack:
        peer.note_sack(packet.tcp_options.get(SACK))
    peer.advance_window()
    engine.segment(session, me, packet)


def fin_wait_2(engine: Streams, packet: Packet, session: Session) -> bool:
    flags = packet.tcp_flags
    if flags & RST:
        return reset(engine, packet, session)
    if flags & FIN:
        return timestamp_fits(packet, session) and _fin_in_fin_wait_2(engine, packet, session)
    if flags & SYN:
        return _refused(packet, "shutdown_syn_resend")
    if not flags & ACK:
        return True
    if not timestamp_fits(packet, session):
        return False
    me, peer = sides(packet, session)
    again = retransmitted(packet, me)
    if not valid_ack(packet, session, peer):
        return _refused(packet, "fin2_invalid_ack")
    if not again:
        if not _in_window(packet, session, me):
            return _refused(packet, "fin2_ack_wrong_seq")
        peer.window = packet.window << peer.wscale
    note_timestamp(packet, session)
    if packet.seq == me.next_seq:
        me.advance_next(me.next_seq + length(packet))
    _acknowledge(engine, packet, session)
    return True


def _fin_in_fin_wait_2(engine: Streams, packet: Packet, session: Session) -> bool:
    me, peer = sides(packet, session)
    again = (packet.seq == (me.next_seq - 1) & MASK and packet.ack == peer.last_ack) or retransmitted(
        packet, me
    )
    if not again and _outside(packet, me, me.next_seq):
        return _refused(packet, "fin2_fin_wrong_seq")
    if not valid_ack(packet, session, peer):
        return _refused(packet, "fin2_invalid_ack")
    if not again:
        set_state(packet, session, State.TIME_WAIT)
        if packet.to_server and packet.seq == me.next_seq:
            me.advance_next(me.next_seq + length(packet))
        peer.window = packet.window << peer.wscale
    note_timestamp(packet, session)
    _finish(engine, packet, session, slack=0)
    return True


def closing(engine: Streams, packet: Packet, session: Session) -> bool:
    flags = packet.tcp_flags
    if flags & RST:
        return reset(engine, packet, session)
    if flags & SYN:
        return _refused(packet, "shutdown_syn_resend")
    if not flags & ACK:
        return True
    if not timestamp_fits(packet, session):
        return False
    me, peer = sides(packet, session)
    again = retransmitted(packet, me)
    if packet.seq != me.next_seq:
        return _refused(packet, "closing_ack_wrong_seq")
    if not valid_ack(packet, session, peer):
        return _refused(packet, "closing_invalid_ack")
    if not again:
        set_state(packet, session, State.TIME_WAIT)
        session.client.window = packet.window << session.client.wscale
    note_timestamp(packet, session)
    _finish(engine, packet, session, slack=0)
    return True


def close_wait(engine: Streams, packet: Packet, session: Session) -> bool:
    flags = packet.tcp_flags
    if flags & RST:
        return reset(engine, packet, session)
    if flags & SYN and not flags & FIN:
        return _refused(packet, "shutdown_syn_resend")
    if not flags & (FIN | ACK):
        return True
    if not timestamp_fits(packet, session):
        return False
    me, peer = sides(packet, session)
    again = retransmitted(packet, me)
    beyond = after(packet.seq, (me.last_ack + me.window) & MASK) > 0
    if flags & FIN:
        if not again and (beyond or after(packet.seq, me.next_seq) < 0):
            return _refused(packet, "closewait_fin_out_of_window")
    elif length(packet) and after((packet.seq + length(packet)) & MASK, me.last_ack) <= 0:
        return _refused(packet, "closewait_pkt_before_last_ack")
    elif beyond:
        return _refused(packet, "closewait_ack_out_of_window")
    if not valid_ack(packet, session, peer):
        return _refused(packet, "closewait_invalid_ack")
    if not again:
        if flags & FIN and not packet.to_server:
            set_state(packet, session, State.LAST_ACK)
        peer.window = packet.window << peer.wscale
    note_timestamp(packet, session)
    if not flags & FIN and packet.seq == me.next_seq:
        me.advance_next(me.next_seq + length(packet))
    _finish(engine, packet, session, slack=0)
    return True


def last_ack(engine: Streams, packet: Packet, session: Session) -> bool:
    flags = packet.tcp_flags
    if flags & RST:
        return reset(engine, packet, session)
    if flags & FIN:
        return True
    if flags & SYN:
        return _refused(packet, "shutdown_syn_resend")
    if not flags & ACK:
        return True
    if not timestamp_fits(packet, session):
        return False
    if not packet.to_server:
        return True
    me, peer = session.client, session.server
    again = retransmitted(packet, me)
    if not valid_ack(packet, session, peer):
        return _refused(packet, "lastack_invalid_ack")
    if not again:
        ahead = after(packet.seq, me.next_seq)
        if ahead >= 0:
            if ahead > 1:
                return _refused(packet, "lastack_ack_wrong_seq")
            set_state(packet, session, State.CLOSED)
        peer.window = packet.window << peer.wscale
    note_timestamp(packet, session)
    _finish(engine, packet, session, slack=0)
    return True


def time_wait(engine: Streams, packet: Packet, session: Session) -> bool:
    flags = packet.tcp_flags
    if flags & RST:
        return reset(engine, packet, session)
    if flags & FIN:
        return True
    if flags & SYN:
        return _refused(packet, "shutdown_syn_resend")
    if not flags & ACK:
        return True
    if not timestamp_fits(packet, session):
        return False
    me, peer = sides(packet, session)
    again = retransmitted(packet, me)
    if not again:
        ahead = after(packet.seq, me.next_seq)
        if ahead not in ({0, 1} if packet.to_server else {0, -1}):
            if not packet.to_server and length(packet) and packet.seq == me.last_ack:
                return True
            return _refused(packet, "timewait_ack_wrong_seq")
    if not valid_ack(packet, session, peer):
        return _refused(packet, "timewait_invalid_ack")
    if not again:
        set_state(packet, session, State.CLOSED)
        peer.window = packet.window << peer.wscale
    note_timestamp(packet, session)
    _finish(engine, packet, session, slack=0)
    return True


def closed(engine: Streams, packet: Packet, session: Session) -> bool:
    """Packets after the end: if only the other side was reset, this one may be going on."""
    if packet.tcp_flags & RST:
        return True
    me, peer = sides(packet, session)
    if not me.rst_received and peer.rst_received:
        if not engine.dispatch(packet, session, session.before):
            return False
        if session.state == State.CLOSED:
            session.state = session.before
    return True


def _outside(packet: Packet, me: Side, low: int) -> bool:
    """Before `low`, or beyond what the other host allows."""
    return after(packet.seq, low) < 0 or after(packet.seq, (me.last_ack + me.window) & MASK) > 0


def _in_window(packet: Packet, session: Session, me: Side) -> bool:
    end = (packet.seq + length(packet)) & MASK
    return after(end, me.next_win) <= 0 or session.midstream or session.async_


def _refused(packet: Packet, name: str) -> bool:
    event(packet, name)
    return False
