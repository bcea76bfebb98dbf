"""TCP, UDP, ICMP, ICMPv6, SCTP and ESP headers -> the packet's ports, flags and payload range.

In: the range an IP header leaves. Out: fields set, `flowable` (the packet belongs to a flow), or an event.
RFC 9293, RFC 768, RFC 792, RFC 4443, RFC 2710 and 3810 (MLD), RFC 9260, RFC 4303.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from sentinel.protocol import tunnel
from sentinel.protocol.events import invalid

if TYPE_CHECKING:
    from sentinel.model import Packet
    from sentinel.protocol.decode import Decoder

TCP_HEADER = Struct(">HHIIBBHHH")
END, NO_OPERATION, MSS, WINDOW_SCALE, SACK_PERMITTED, SACK, TIMESTAMP, MD5, AO, FAST_OPEN = (
    *(0, 1, 2, 3, 4, 5, 8, 19, 29, 34),
)
EXPERIMENTS = (253, 254)
EXPERIMENT_FAST_OPEN = b"\xf9\x89"  # RFC 7413, appendix A: the shared experimental option
FIXED_OPTION_BYTES = {WINDOW_SCALE: 3, MSS: 4, SACK_PERMITTED: 2, TIMESTAMP: 10}

# ICMP type -> the highest code that Suricata knows; with an embedded datagram or an identifier.
ICMP_CODES = {
    0: 0,
    3: 15,
    4: 0,
    5: 3,
    8: 0,
    9: 16,
    10: 0,
    11: 1,
    12: 0,
    13: 0,
    14: 0,
    15: 0,
    16: 0,
    17: 0,
    18: 0,
}
ICMP_EMBEDDED = frozenset({3, 4, 5, 11, 12})
ICMP_IDENTIFIED = frozenset({0, 8, 13, 14, 15, 16, 17, 18})
ICMP_COUNTERPART = {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17, 10: 9, 9: 10}
ICMP6_ERRORS = {1: 7, 2: 0, 3: 1, 4: 2}
ICMP6_COUNTERPART = {128: 129, 129: 128, 133: 134, 134: 133, 135: 136, 136: 135, 130: 131, 131: 130, 139: 140}
ICMP_TIMES, ICMP_TIMES_BYTES = frozenset({13, 14}), 20  # timestamp and its reply, with three times
MLD = frozenset({130, 131, 132})
ICMP6_KNOWN = (128, 159)
ICMP6_CODELESS = frozenset({*range(128, 138), *range(141, 150), 154, *range(156, 160)})


def tcp(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    size = end - start
    if size < 20:
        return invalid(packet, "tcp.pkt_too_small")
    sport, dport, seq, ack, offset, flags, window, _, urgent = TCP_HEADER.unpack_from(packet.data, start)
    header = (offset >> 4) * 4
    if size < header or header < 20:
        return invalid(packet, "tcp.hlen_too_small" if size < header else "tcp.invalid_optlen")
    packet.l4 = start
    packet.sport = sport
    packet.dport = dport
    packet.seq = seq
    packet.ack = ack
    packet.tcp_flags = flags
    packet.window = window
    packet.urgent = urgent
    packet.payload_start = start + header
    packet.payload_end = end
    packet.flowable = True
    if header > 20:
        _tcp_options(packet, start + 20, start + header)
    return None


def _tcp_options(packet: Packet, position: int, end: int) -> None:
    data, found = packet.data, packet.tcp_options
    while position < end:
        kind = data[position]
        if kind == NO_OPERATION:
            position += 1
            continue
        if kind == END or end - position < 2:
            return None
        size = data[position + 1]
        if size > end - position or size < 2:
            return invalid(packet, "tcp.opt_invalid_len")
        body = data[position + 2 : position + size]
        if _wrong_length(kind, size):
            packet.events.append("tcp.opt_invalid_len")
        else:
            key = FAST_OPEN if kind in EXPERIMENTS else kind
            if key in found and kind not in {MD5, AO}:
                packet.events.append("tcp.opt_duplicate")
            elif kind not in EXPERIMENTS or body[:2] == EXPERIMENT_FAST_OPEN:
                found[key] = body
        position += size
    return None


def _wrong_length(kind: int, size: int) -> bool:
    if kind in FIXED_OPTION_BYTES:
        return size != FIXED_OPTION_BYTES[kind]
    if kind == SACK:
        return size != 2 and (size < 10 or size > 34 or (size - 2) % 8 != 0)
    if kind == FAST_OPEN:
        return size != 2 and (size < 6 or size > 18 or size % 2 != 0)
    if kind in EXPERIMENTS:
        return size not in {4, 12}
    if kind == MD5:
        return size != 18
    return kind == AO and size < 4


def udp(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    size = end - start
    if size < 8:
        return invalid(packet, "udp.hlen_too_small")
    data = packet.data
    length = (data[start + 4] << 8) | data[start + 5]
    if size < length:
        return invalid(packet, "udp.pkt_too_small")
    if length < 8:
        return invalid(packet, "udp.len_invalid")
    packet.l4 = start
    packet.sport = (data[start] << 8) | data[start + 1]
    packet.dport = (data[start + 2] << 8) | data[start + 3]
    packet.payload_start = start + 8
    packet.payload_end = start + length
    packet.flowable = True
    _udp_tunnel(decoder, packet)
    return None


def _udp_tunnel(decoder: Decoder, packet: Packet) -> None:
    options, ports = decoder.options, {packet.sport, packet.dport}
    start, end = packet.payload_start, packet.payload_end
    if ports & options.teredo_ports and tunnel.teredo(decoder, packet, start, end):
        return
    if packet.dport in options.geneve_ports and tunnel.geneve(decoder, packet, start, end):
        return
    if packet.dport in options.vxlan_ports:
        tunnel.vxlan(decoder, packet, start, end)


def icmp(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    if end - start < 8:
        return invalid(packet, "icmpv4.pkt_too_small")
    data = packet.data
    kind, code = data[start], data[start + 1]
    packet.l4 = start
    packet.icmp_type = kind
    packet.icmp_code = code
    packet.payload_start = min(start + _icmp_header_bytes(data, start, kind), end)
    packet.payload_end = end
    packet.flowable = True
    if kind in {9, 10}:
        return None
    highest = ICMP_CODES.get(kind)
    if highest is None:
        packet.events.append("icmpv4.unknown_type")
    elif code > highest:
        packet.events.append("icmpv4.unknown_code")
    if kind in ICMP_TIMES and end - start < ICMP_TIMES_BYTES:
        packet.events.append("icmpv4.ipv4_trunc_pkt")
    elif highest is not None and code <= highest and kind in ICMP_EMBEDDED and (end - start > 8 or kind == 4):
        _embedded_ipv4(packet, start + 8, end)
    return None


def _icmp_header_bytes(data: bytes, start: int, kind: int) -> int:
    """RFC 792 (timestamps, masks) and RFC 1256 (router advertisement: entries of 32-bit words)."""
    if kind == 9:
        return 8 + data[start + 4] * data[start + 5] * 4
    return {13: 20, 14: 20, 17: 12, 18: 12}.get(kind, 8)


def _embedded_ipv4(packet: Packet, start: int, end: int) -> None:
    """The datagram that an ICMP error is about: RFC 792 sends its header and 8 bytes."""
    data = packet.data
    if end - start < 20:
        return invalid(packet, "icmpv4.ipv4_trunc_pkt")
    if data[start] >> 4 != 4:
        return invalid(packet, "icmpv4.ipv4_unknown_ver")
    protocol = data[start + 9]
    ports = start + (data[start] & 15) * 4
    source, target = data[start + 12 : start + 16], data[start + 16 : start + 20]
    if protocol in {6, 17} and ports + 4 <= end:
        sport, dport = (data[ports] << 8) | data[ports + 1], (data[ports + 2] << 8) | data[ports + 3]
        packet.embedded = (protocol, source, sport, target, dport)
    elif protocol == 1 and ports + 8 <= end:
        packet.embedded = (protocol, source, data[ports], target, ICMP_COUNTERPART.get(data[ports], 0))
    return None


def icmpv6(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    if end - start < 8:
        return invalid(packet, "icmpv6.pkt_too_small")
    data = packet.data
    kind, code = data[start], data[start + 1]
    packet.l4 = start
    packet.icmp_type = kind
    packet.icmp_code = code
    packet.payload_start = start + 8
    packet.payload_end = end
    packet.flowable = True
    events = _icmpv6_events(packet, kind, code)
    if events:
        packet.events += events
    elif kind in ICMP6_ERRORS:
        _embedded_ipv6(packet, start + 8, end)
    return None


def _icmpv6_events(packet: Packet, kind: int, code: int) -> list[str]:
    found = []
    if _bad_icmpv6_code(kind, code):
        found.append("icmpv6.unknown_code")
    # RFC 2710, section 3: MLD is link-local and sent with a hop limit of 1.
    if kind in MLD and packet.data[packet.l3 + 7] != 1:
        found.append("icmpv6.mld_message_with_invalid_hl")
    if kind not in ICMP6_ERRORS and not ICMP6_KNOWN[0] <= kind <= ICMP6_KNOWN[1]:
        if kind in {100, 101, 200, 201}:  # RFC 4443, section 2.1: private experimentation
            found.append("icmpv6.experimentation_type")
        else:
            found.append("icmpv6.unknown_type" if kind in {0, 127} else "icmpv6.unassigned_type")
    return found


def _bad_icmpv6_code(kind: int, code: int) -> bool:
    if kind in ICMP6_ERRORS:
        return code > ICMP6_ERRORS[kind]
    if kind in {138, 139, 140}:
        return code > 2 and (kind != 138 or code != 255)
    if kind == 155:  # RPL, RFC 6550
        return 3 < code < 128 or code > 132
    return kind in ICMP6_CODELESS and code != 0


def _embedded_ipv6(packet: Packet, start: int, end: int) -> None:
    data = packet.data
    if end - start < 40:
        return invalid(packet, "icmpv6.ipv6_trunc_pkt")
    if data[start] >> 4 != 6:
        return invalid(packet, "icmpv6.ipv6_unknown_version")
    protocol, ports = data[start + 6], start + 40
    if protocol in {6, 17} and ports + 8 <= end:
        sport, dport = (data[ports] << 8) | data[ports + 1], (data[ports + 2] << 8) | data[ports + 3]
        packet.embedded = (
            protocol,
            data[start + 8 : start + 24],
            sport,
            data[start + 24 : start + 40],
            dport,
        )
    return None


def sctp(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    if end - start < 12:
        return invalid(packet, "sctp.pkt_too_small")
    data = packet.data
    packet.l4 = start
    packet.sport = (data[start] << 8) | data[start + 1]
    packet.dport = (data[start + 2] << 8) | data[start + 3]
    packet.payload_start = start + 12
    packet.payload_end = end
    packet.flowable = True
    return None


def esp(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    if end - start < 8:
        return invalid(packet, "esp.pkt_too_small")
    packet.l4 = start
    packet.payload_start = start + 8
    packet.payload_end = end
    packet.flowable = True
    return None
