"""TCP between the SYN-ACK and the established session: the last step of the handshake, however it is taken.

Same contract as `handshake`: `(engine, packet, session) -> bool`; False = the packet does not fit, its event says why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.protocol import closing
from sentinel.protocol.checks import (
    length,
    note_timestamp,
    set_state,
    timestamp_fits,
    valid_ack,
    valid_reset,
)
from sentinel.protocol.events import stream as event
from sentinel.protocol.handshake import QUEUE_MAXIMUM, WINDOW_SCALE_MAXIMUM, accept_syn_ack, offer_of
from sentinel.protocol.reassembly import LINUX, OLD_LINUX, SOLARIS
from sentinel.protocol.session import ACK, FIN, MASK, RST, SYN, State, after

if TYPE_CHECKING:
    from sentinel.model import Packet
    from sentinel.protocol.session import Session
    from sentinel.protocol.stream import Streams


def syn_received(engine: Streams, packet: Packet, session: Session) -> bool:
    flags = packet.tcp_flags
    if flags & RST:
        return _reset_in_handshake(packet, session)
    if flags & FIN:
        return timestamp_fits(packet, session) and closing.first_fin(engine, packet, session)
    if flags & (SYN | ACK) == SYN | ACK:
        return _syn_ack_again(packet, session)
    if flags & SYN:
        if not packet.to_server:
            event(packet, "3whs_syn_toclient_on_syn_recv")
            return False
        if packet.seq != session.client.isn:
            event(packet, "3whs_syn_resend_diff_seq_on_syn_recv")
            return False
        return True
    return _handshake_ack(engine, packet, session) if flags & ACK else True


def _reset_in_handshake(packet: Packet, session: Session) -> bool:
    if not valid_reset(packet, session):
        return False
    receiver = session.side(to_server=not packet.to_server)
    # After an evasion attempt these systems take the reset for a stray packet of another session.
    if not (session.evasion and receiver.policy in {LINUX, OLD_LINUX, SOLARIS}):
        closing.close_by_reset(packet, session)
        note_timestamp(packet, session)
    return True


def _syn_ack_again(packet: Packet, session: Session) -> bool:
    if packet.to_server:
        event(packet, "3whs_synack_toserver_on_syn_recv")
        return False
    if packet.ack != session.client.last_ack:
        event(packet, "3whs_synack_resend_with_different_ack")
        return False
    if packet.seq == session.server.isn:
        return True
    offer = offer_of(packet, numbers=True)
    if any(offer.same(known) for known in session.queue):
        return True
    if len(session.queue) >= QUEUE_MAXIMUM:
        event(packet, "3whs_synack_flood")
        return False
    session.queue.insert(0, offer)
    return True


def _handshake_ack(engine: Streams, packet: Packet, session: Session) -> bool:
    for offer in session.queue:
        if (packet.ack - 1) & MASK == offer.seq and packet.seq == offer.ack:
            accept_syn_ack(packet, session, offer)
            break
    if not timestamp_fits(packet, session):
        return False
    if session.four_way and not packet.to_server:
        return _four_way_ack(engine, packet, session)
    lost_ack = not packet.to_server and not (session.midstream_syn_ack or session.fast_open)
    client, server = session.client, session.server
    if packet.seq == client.next_seq and packet.ack == server.next_seq:
        _normal_ack(engine, packet, session)
    elif engine.options.async_oneside and packet.seq == server.next_seq:
        _one_sided_ack(engine, packet, session)
    elif packet.seq == client.next_seq:
        # Right number, wrong acknowledgement: makes most hosts reset, but not Linux and Solaris.
        session.evasion = True
        event(packet, "3whs_right_seq_wrong_ack_evasion")
        return False
    elif (
        not packet.to_server
        and after(packet.seq, client.next_seq) > 0
        and after(packet.ack, client.last_ack) > 0
    ):
        _lost_to_client(engine, packet, session)
    elif (
        after(packet.seq, client.next_seq) > 0
        and after(packet.seq, client.next_win) <= 0
        and packet.ack == server.next_seq
    ):
        _lost_to_server(engine, packet, session)
    elif (lost_ack or session.fast_open) and packet.ack == client.last_ack and packet.seq == server.next_seq:
        server.advance_next(packet.seq + length(packet))
        server.window = packet.window << server.wscale
        server.open_window()
        set_state(packet, session, State.ESTABLISHED)
        engine.segment(session, server, packet)
    else:
        event(packet, "3whs_wrong_seq_wrong_ack")
        return False
    return True


def _four_way_ack(engine: Streams, packet: Packet, session: Session) -> bool:
    client, server = session.client, session.server
    if packet.seq != server.next_seq:
        event(packet, "4whs_wrong_seq")
        return False
    if not valid_ack(packet, session, client):
        event(packet, "4whs_invalid_ack")
        return False
    note_timestamp(packet, session)
    client.advance_ack(packet.ack)
    server.advance_next(server.next_seq + length(packet))
    client.window = packet.window << client.wscale
    client.open_window()
    set_state(packet, session, State.ESTABLISHED)
    engine.segment(session, server, packet)
    return True


def _normal_ack(engine: Streams, packet: Packet, session: Session) -> None:
    client, server = session.client, session.server
    note_timestamp(packet, session)
    server.advance_ack(packet.ack)
    client.advance_next(client.next_seq + length(packet))
    server.window = packet.window << server.wscale
    server.open_window()
    if session.midstream:
        client.window = packet.window << client.wscale
        client.open_window()
        if not session.midstream_syn_ack:
            _assume_options(session)
    set_state(packet, session, State.ESTABLISHED)
    # Data with the handshake's last ACK: that ACK itself may have been lost, so this is established already.
    if length(packet):
        packet.established = True
    engine.segment(session, client, packet)


def _assume_options(session: Session) -> None:
    session.server.wscale = session.client.wscale = WINDOW_SCALE_MAXIMUM
    session.sack = True


def _one_sided_ack(engine: Streams, packet: Packet, session: Session) -> None:
    client, server = session.client, session.server
    session.async_ = True
    server.next_seq = (server.next_seq + length(packet)) & MASK
    server.last_ack = packet.seq
    client.window = packet.window << client.wscale
    client.last_ack = packet.ack
    note_timestamp(packet, session)
    if session.midstream:
        server.window = packet.window
        server.open_window()
        _assume_options(session)
    set_state(packet, session, State.ESTABLISHED)
    engine.segment(session, server, packet)


def _lost_to_client(engine: Streams, packet: Packet, session: Session) -> None:
    """SYN/ACK followed by more from the server: packets of the client were lost on the way to us."""
    client, server = session.client, session.server
    note_timestamp(packet, session)
    client.advance_ack(packet.ack)
    server.next_seq = (packet.seq + length(packet)) & MASK
    client.window = packet.window << client.wscale
    client.open_window()
    server.open_window()
    set_state(packet, session, State.ESTABLISHED)
    engine.segment(session, server, packet)


def _lost_to_server(engine: Streams, packet: Packet, session: Session) -> None:
    client, server = session.client, session.server
    note_timestamp(packet, session)
    client.next_seq = (packet.seq + length(packet)) & MASK
    server.advance_ack(packet.ack)
    server.window = packet.window << server.wscale
    server.open_window()
    if session.midstream:
        client.window = packet.window
        _assume_options(session)
    set_state(packet, session, State.ESTABLISHED)
    engine.segment(session, client, packet)
