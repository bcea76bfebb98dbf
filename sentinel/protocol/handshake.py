"""TCP up to the SYN-ACK: no session, SYN sent (three- and four-way, fast open, midstream). Then comes `handshake_end`.

Each function is `(engine, packet, session) -> bool`; False = the packet does not fit and changes nothing more, the
event on it says why. Behaviour follows Suricata's, with which alerts must agree; RFC 9293 section 3.5, RFC 7413
(fast open), RFC 7323 (timestamps, window scale).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.protocol import closing
from sentinel.protocol.checks import (
    length,
    set_state,
    valid_reset,
)
from sentinel.protocol.events import stream as event
from sentinel.protocol.session import ACK, FIN, MASK, RST, SYN, Offer, State
from sentinel.protocol.transport import FAST_OPEN, SACK_PERMITTED, TIMESTAMP, WINDOW_SCALE

if TYPE_CHECKING:
    from sentinel.model import Packet
    from sentinel.protocol.session import Session, Side
    from sentinel.protocol.stream import Streams

SECOND = 1_000_000_000
WINDOW_SCALE_MAXIMUM = 14  # RFC 7323, section 2.3; also what is assumed where the handshake was not seen
QUEUE_MAXIMUM = 5  # Suricata's max-syn-queued and max-synack-queued


def window_scale(packet: Packet) -> int | None:
    option = packet.tcp_options.get(WINDOW_SCALE)
    if option is None:
        return None
    return option[0] if option[0] <= WINDOW_SCALE_MAXIMUM else 0


def stamps(packet: Packet) -> tuple[int, int] | None:
    """(value, echo) of the timestamp option."""
    option = packet.tcp_options.get(TIMESTAMP)
    if option is None:
        return None
    return int.from_bytes(option[:4], "big"), int.from_bytes(option[4:8], "big")


def offer_of(packet: Packet, *, numbers: bool) -> Offer:
    found = stamps(packet)
    return Offer(
        seq=packet.seq if numbers else 0,
        ack=packet.ack if numbers else 0,
        window=packet.window,
        wscale=window_scale(packet),
        timestamp=found[0] if found else None,
        sack=SACK_PERMITTED in packet.tcp_options,
        seconds=packet.time // SECOND,
    )


# --- no session yet -----------------------------------------------------------------------------------------------


def no_session(engine: Streams, packet: Packet, session: Session | None) -> bool:
    flags = packet.tcp_flags
    if flags & RST:
        event(packet, "rst_but_no_session")
        return False
    if flags & FIN:
        if not engine.options.midstream or not length(packet):
            event(packet, "fin_but_no_session")
            return False
        _midstream(engine, packet, State.FIN_WAIT1, extra=1)
    elif flags & (SYN | ACK) == SYN | ACK:
        if engine.options.midstream or engine.options.async_oneside:
            _midstream_syn_ack(engine, packet)
    elif flags & SYN:
        _first_syn(engine, packet, session)
    elif flags & ACK and engine.options.midstream:
        _midstream(engine, packet, State.ESTABLISHED, extra=0)
    return True


def _first_syn(engine: Streams, packet: Packet, session: Session | None) -> None:
    session = session or engine.open(packet)
    set_state(packet, session, State.SYN_SENT)
    session.async_ = session.async_ or engine.options.async_oneside
    client, server = session.client, session.server
    client.begin(packet.seq)
    _note_syn_options(packet, session, client, server)
    if FAST_OPEN in packet.tcp_options:
        session.fast_open = True
        if length(packet):
            client.advance_next(client.next_seq + length(packet))
            engine.segment(session, client, packet)


def _note_syn_options(packet: Packet, session: Session, sender: Side, receiver: Side) -> None:
    found = stamps(packet)
    if found:
        sender.last_timestamp = found[0]
        sender.zero_timestamp = sender.zero_timestamp or found[0] == 0
        sender.last_packet_time = packet.time // SECOND
        sender.timestamps = True
    receiver.window = packet.window
    scale = window_scale(packet)
    session.server_wscale = scale is not None
    receiver.wscale = scale or 0
    session.client_sack = SACK_PERMITTED in packet.tcp_options


def _midstream(engine: Streams, packet: Packet, state: State, *, extra: int) -> None:
    """Pick up a session of which the handshake was not seen; whoever speaks first counts as the client."""
    session = engine.open(packet)
    set_state(packet, session, state)
    session.midstream = session.midstream_established = True
    session.async_ = engine.options.async_oneside
    client, server = session.client, session.server
    client.wscale = server.wscale = WINDOW_SCALE_MAXIMUM
    client.begin((packet.seq - 1) & MASK)
    client.next_seq = (packet.seq + length(packet) + extra) & MASK
    client.window = packet.window << WINDOW_SCALE_MAXIMUM
    client.last_ack = packet.seq
    client.open_window()
    server.begin((packet.ack - 1) & MASK)
    server.last_ack = server.next_win = packet.ack
    _midstream_stamps(packet, session, client, server)
    engine.segment(session, client, packet)
    session.sack = True


def _midstream_stamps(packet: Packet, session: Session, sender: Side, receiver: Side) -> None:
    found = stamps(packet)
    if found:
        sender.last_timestamp, receiver.last_timestamp = found
        session.timestamps = True
        sender.last_packet_time = packet.time // SECOND
        sender.zero_timestamp = found[0] == 0
        receiver.zero_timestamp = found[1] == 0


def _midstream_syn_ack(engine: Streams, packet: Packet) -> None:
    engine.turn_around(packet)
    session = engine.open(packet)
    set_state(packet, session, State.SYN_RECV)
    session.midstream = session.midstream_syn_ack = True
    session.async_ = engine.options.async_oneside
    client, server = session.client, session.server
    server.begin(packet.seq)
    server.window = packet.window
    client.begin((packet.ack - 1) & MASK)
    client.last_ack = packet.ack
    server.last_ack = packet.seq
    server.open_window()
    scale = window_scale(packet)
    if scale is not None:
        client.wscale, server.wscale = scale, WINDOW_SCALE_MAXIMUM
    _midstream_stamps(packet, session, server, client)
    session.sack = SACK_PERMITTED in packet.tcp_options


# --- SYN sent -------------------------------------------------------------------------------------------------------


def syn_sent(engine: Streams, packet: Packet, session: Session) -> bool:
    flags = packet.tcp_flags
    if flags & (SYN | ACK) == SYN | ACK:
        return _syn_ack(packet, session) if not packet.to_server else _four_way_syn_ack(packet, session)
    if not _echo_fits(packet, session):
        event(packet, "pkt_invalid_timestamp")
        return False
    if flags & RST:
        return _reset_of_syn(packet, session)
    if flags & FIN:
        return True
    if flags & SYN:
        _syn_again(packet, session)
    elif flags & ACK and engine.options.async_oneside:
        return _one_sided(engine, packet, session)
    return True


def _syn_ack(packet: Packet, session: Session) -> bool:
    client = session.client
    if not (FAST_OPEN in packet.tcp_options or session.fast_open):
        if packet.ack != (client.isn + 1) & MASK:
            event(packet, "3whs_synack_with_wrong_ack")
            return False
    elif not _fast_open_ack(packet, session):
        return False
    if not _echo_fits(packet, session):
        echo = (stamps(packet) or (0, 0))[1]
        for offer in reversed(session.syn_queue):
            if offer.timestamp == echo:
                _apply_syn(session, offer)
                break
        else:
            event(packet, "pkt_invalid_timestamp")
            return False
    session.syn_queue = []
    session.queue = []
    accept_syn_ack(packet, session, offer_of(packet, numbers=True))
    return True


def _fast_open_ack(packet: Packet, session: Session) -> bool:
    client = session.client
    if packet.ack != client.next_seq:
        if packet.ack != (client.isn + 1) & MASK:
            event(packet, "3whs_synack_with_wrong_ack")
            return False
        client.next_seq = client.isn
        session.tfo_ignored = True
        event(packet, "3whs_synack_tfo_data_ignored")
    session.fast_open = True
    set_state(packet, session, State.ESTABLISHED)
    return True


def accept_syn_ack(packet: Packet, session: Session, offer: Offer) -> None:
    """The server's side is known from now on (also from a queued SYN/ACK that an ACK chose)."""
    client, server = session.client, session.server
    if session.state != State.SYN_RECV:
        set_state(packet, session, State.SYN_RECV)
    server.begin(offer.seq)
    client.window = offer.window
    if offer.timestamp is not None and client.timestamps:
        server.last_timestamp = offer.timestamp
        session.timestamps = True
        server.last_packet_time = offer.seconds
        server.zero_timestamp = server.zero_timestamp or offer.timestamp == 0
    else:
        client.last_timestamp = server.last_timestamp = 0
        client.zero_timestamp = False
    client.last_ack = offer.ack
    server.last_ack = (server.isn + 1) & MASK
    client.wscale = offer.wscale or 0 if session.server_wscale else 0
    session.sack = session.client_sack and offer.sack
    server.open_window()
    client.open_window()
    session.four_way = False


def _four_way_syn_ack(packet: Packet, session: Session) -> bool:
    """Simultaneous open: both sent SYN, now the first sender acknowledges the second's."""
    client, server = session.client, session.server
    if not session.four_way:
        event(packet, "3whs_synack_in_wrong_direction")
        return False
    if packet.ack != (server.isn + 1) & MASK:
        event(packet, "4whs_synack_with_wrong_ack")
        return False
    if packet.seq != client.isn:
        event(packet, "4whs_synack_with_wrong_syn")
        return False
    set_state(packet, session, State.SYN_RECV)
    client.begin(packet.seq)
    server.window = packet.window
    found = stamps(packet)
    if found and server.timestamps:
        client.last_timestamp = found[0]
        session.timestamps = True
        client.last_packet_time = packet.time // SECOND
        client.zero_timestamp = client.zero_timestamp or found[0] == 0
    else:
        server.last_timestamp = client.last_timestamp = 0
        server.zero_timestamp = False
    server.last_ack = packet.ack
    client.last_ack = (client.isn + 1) & MASK
    server.wscale = (window_scale(packet) or 0) if session.server_wscale else 0
    session.sack = session.sack or (session.client_sack and SACK_PERMITTED in packet.tcp_options)
    client.open_window()
    server.open_window()
    return True


def _echo_fits(packet: Packet, session: Session) -> bool:
    """Does the server echo the timestamp of a SYN we saw?"""
    found = stamps(packet)
    if packet.to_server or not found:
        return True
    client, echo = session.client, found[1]
    if client.timestamps:
        return client.last_timestamp in {0, echo} or echo == 0
    return not (client.last_timestamp == 0 and echo != 0)


def _reset_of_syn(packet: Packet, session: Session) -> bool:
    if not valid_reset(packet, session):
        return False
    client = session.client
    if not packet.to_server:
        client.rst_received = True
    elif packet.seq == client.isn and packet.window == 0 and packet.ack == (client.isn + 1) & MASK:
        session.server.rst_received = True
    else:
        return True
    closing.close_by_reset(packet, session)
    session.syn_queue = []
    return True


def _syn_again(packet: Packet, session: Session) -> None:
    if not packet.to_server:  # a SYN against a SYN: simultaneous open
        session.four_way = True
        session.server.begin(packet.seq)
        _note_syn_options(packet, session, session.server, session.server)
        return
    new, old = offer_of(packet, numbers=False), _current_syn(session)
    if not new.same(old) or new.seconds != old.seconds:
        if any(offer.timestamp == old.timestamp for offer in session.syn_queue):
            pass
        elif len(session.syn_queue) >= QUEUE_MAXIMUM:
            event(packet, "3whs_syn_flood")
        else:
            session.syn_queue.append(old)
    _apply_syn(session, new)


def _current_syn(session: Session) -> Offer:
    client, server = session.client, session.server
    return Offer(
        window=server.window,
        wscale=server.wscale if session.server_wscale else None,
        timestamp=client.last_timestamp if client.timestamps else None,
        sack=session.client_sack,
        seconds=client.last_packet_time,
    )


def _apply_syn(session: Session, offer: Offer) -> None:
    client, server = session.client, session.server
    if offer.timestamp is not None:
        client.last_packet_time = offer.seconds
        client.last_timestamp = offer.timestamp
        client.timestamps = True
    session.server_wscale = offer.wscale is not None
    server.wscale = offer.wscale or 0
    server.window = offer.window
    session.client_sack = offer.sack


def _one_sided(engine: Streams, packet: Packet, session: Session) -> bool:
    """An ACK instead of a SYN/ACK: we see one direction of the connection only."""
    client, server = session.client, session.server
    if packet.seq != client.next_seq:
        event(packet, "3whs_async_wrong_seq")
        return False
    session.async_ = True
    set_state(packet, session, State.ESTABLISHED)
    client.window = packet.window
    client.last_ack = packet.seq
    client.open_window()
    server.begin((packet.ack - 1) & MASK)
    server.last_ack = server.next_win = server.next_seq
    if session.server_wscale:
        client.wscale = WINDOW_SCALE_MAXIMUM
    if stamps(packet) and client.timestamps:
        session.timestamps = True
        client.timestamps = False
        client.last_packet_time = packet.time // SECOND
    else:
        client.last_timestamp = 0
        client.zero_timestamp = False
    session.sack = session.sack or session.client_sack
    engine.segment(session, client, packet)
    return True
