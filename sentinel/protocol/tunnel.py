"""Packets inside packets: IP in IP, GRE, VXLAN, Geneve, Teredo -> Packets of their own.

In: the range that a carrier's header leaves. Out: the inner packet queued at the decoder before its carrier, so that
rules see it first, as in Suricata. RFC 2784 and 2890 (GRE), RFC 2637 (PPTP's GRE 1), RFC 7348, RFC 8926, RFC 4380.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.protocol import link
from sentinel.protocol.events import invalid

if TYPE_CHECKING:
    from sentinel.model import Packet
    from sentinel.protocol.decode import Decoder

TRANSPARENT_ETHERNET, PPP, ARP, ERSPAN = 0x6558, 0x880B, 0x0806, 0x88BE
CHECKSUM, ROUTE, KEY, SEQUENCE, STRICT, ACKNOWLEDGE = 0x80, 0x40, 0x20, 0x10, 0x08, 0x80
GRE_INNER = frozenset({0x0800, 0x86DD, 0x8100, 0x8847, 0x8848})


def ipv4(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    packet.tunnel = True
    decoder.tunnelled(packet, start, end, lambda d, p, s, e: _ethertype(d, p, 0x0800, s, e))


def ipv6(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    packet.tunnel = True
    decoder.tunnelled(packet, start, end, lambda d, p, s, e: _ethertype(d, p, 0x86DD, s, e))


def _ethertype(decoder: Decoder, packet: Packet, kind: int, start: int, end: int) -> None:
    decoder.ethertype(packet, kind, start, end)


def gre(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    if end - start < 4:
        return invalid(packet, "gre.pkt_too_small")
    data = packet.data
    flags, second = data[start], data[start + 1]
    protocol = (data[start + 2] << 8) | data[start + 3]
    version = second & 7
    if version == 0:
        position = _gre_0(packet, flags, second, start, end)
    elif version == 1:
        position = _gre_1(packet, protocol, start, end)
    else:
        return invalid(packet, "gre.wrong_version")
    if position < 0:
        return None
    packet.tunnel = True
    if protocol == PPP:
        decoder.tunnelled(packet, position, end, link.ppp)
    elif protocol == TRANSPARENT_ETHERNET:
        decoder.tunnelled(packet, position, end, link.ethernet)
    elif protocol in GRE_INNER:
        decoder.tunnelled(packet, position, end, lambda d, p, s, e: _ethertype(d, p, protocol, s, e))
    return None


def _gre_0(packet: Packet, flags: int, second: int, start: int, end: int) -> int:
    """Where the payload of a version 0 header begins, or -1 with an event."""
    if flags & 7:
        return _fail(packet, "gre.version0_recur")
    if second & 0xF8:
        return _fail(packet, "gre.version0_flags")
    size = 4 + 4 * bool(flags & KEY) + 4 * bool(flags & SEQUENCE) + 4 * bool(flags & (CHECKSUM | ROUTE))
    if size > end - start:
        return _fail(packet, "gre.version0_hdr_too_big")
    position = start + size
    while flags & ROUTE:
        if position + 4 > end:
            return _fail(packet, "gre.version0_hdr_too_big")
        family = (packet.data[position] << 8) | packet.data[position + 1]
        length = packet.data[position + 3]
        position += 4
        if family == 0 and length == 0:
            break
        position += length
        if position > end:
            return _fail(packet, "gre.version0_hdr_too_big")
    return position


def _gre_1(packet: Packet, protocol: int, start: int, end: int) -> int:
    flags, second = packet.data[start], packet.data[start + 1]
    refused = (
        (flags & CHECKSUM, "gre.version1_chksum"),
        (flags & ROUTE, "gre.version1_route"),
        (flags & STRICT, "gre.version1_ssr"),
        (flags & 7, "gre.version1_recur"),
        (second & 0x78, "gre.version1_flags"),
        (protocol != PPP, "gre.version1_wrong_protocol"),
        (not flags & KEY, "gre.version1_no_key"),
    )
    for bad, event in refused:
        if bad:
            return _fail(packet, event)
    size = 8 + 4 * bool(flags & SEQUENCE) + 4 * bool(second & ACKNOWLEDGE)
    if size > end - start:
        return _fail(packet, "gre.version1_hdr_too_big")
    return start + size


def vxlan(decoder: Decoder, packet: Packet, start: int, end: int) -> bool:
    """RFC 7348: eight bytes with the I flag, then Ethernet. False when it does not look like that."""
    if end - start < 8 + 14 or not packet.data[start] & 0x08 or packet.data[start + 7]:
        return False
    kind = (packet.data[start + 8 + 12] << 8) | packet.data[start + 8 + 13]
    return _overlay(decoder, packet, kind, start + 8, end)


def geneve(decoder: Decoder, packet: Packet, start: int, end: int) -> bool:
    if end - start < 8:
        return False
    first = packet.data[start]
    options = (first & 0x3F) * 4
    if first >> 6 or packet.data[start + 1] & 0x3F or packet.data[start + 7] or end - start < 8 + options:
        return False
    kind = (packet.data[start + 2] << 8) | packet.data[start + 3]
    inside = start + 8 + options
    if kind != TRANSPARENT_ETHERNET:
        return _inner_ip(decoder, packet, kind, inside, end)
    if end - inside < 14:
        return False
    return _overlay(decoder, packet, (packet.data[inside + 12] << 8) | packet.data[inside + 13], inside, end)


def _overlay(decoder: Decoder, packet: Packet, kind: int, start: int, end: int) -> bool:
    if kind not in {0x0800, 0x86DD, 0x8100, 0x88A8, ARP}:
        return False
    packet.tunnel = True
    decoder.tunnelled(packet, start, end, link.ethernet)
    return True


def _inner_ip(decoder: Decoder, packet: Packet, kind: int, start: int, end: int) -> bool:
    if kind == 0x0800:
        ipv4(decoder, packet, start, end)
    elif kind == 0x86DD:
        ipv6(decoder, packet, start, end)
    else:
        return False
    return True


def teredo(decoder: Decoder, packet: Packet, start: int, end: int) -> bool:
    """RFC 4380, section 5.1.1: optional authentication and origin indications, then IPv6."""
    data = packet.data
    if end - start < 40:
        return False
    if data[start] == 0 and data[start + 1] == 1:
        size = 13 + data[start + 2] + data[start + 3]
        if end - start < size + 40:
            return False
        start += size
    if data[start] == 0 and data[start + 1] == 0:
        start += 8
    if end - start < 40 or data[start] >> 4 != 6:
        return False
    length = (data[start + 4] << 8) | data[start + 5]
    # An exact fit, or a bubble: anything else is some other protocol that happens to start with a 6.
    if 40 + length != end - start and data[start + 6] != 59:
        return False
    ipv6(decoder, packet, start, end)
    return True


def _fail(packet: Packet, event: str) -> int:
    invalid(packet, event)
    return -1
