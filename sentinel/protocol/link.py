"""Link layers down to IP: Ethernet, VLAN and QinQ, cooked, loopback, PPP, PPPoE, MPLS, 802.1ah, VN-Tag, FabricPath.

In: a packet and the range of its data a layer may use. Out: the next layer decoded, or an event.
IEEE 802.1Q, RFC 2516 (PPPoE), RFC 3032 (MPLS), linktypes LINUX_SLL and LINUX_SLL2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.protocol.events import invalid

if TYPE_CHECKING:
    from sentinel.model import Packet
    from sentinel.protocol.decode import Decoder

VLAN_LAYERS = 3
PPP_IPV4, PPP_IPV6, PPP_VJ_UNCOMPRESSED = 0x0021, 0x0057, 0x002F
# Valid PPP protocol numbers that we know and do not decode; anything else is a "wrong type".
PPP_OTHER = frozenset(
    {
        *(0x0023, 0x0025, 0x0027, 0x0029, 0x002B, 0x002D, 0x0031, 0x0033, 0x0035, 0x003B, 0x003D, 0x003F),
        *(0x0041, 0x0201, 0x0203, 0x0205, 0x0207, 0x0231, 0x0281, 0x0283, 0x8021, 0x8023, 0x8025, 0x8027),
        *(0x8029, 0x802B, 0x802D, 0x802F, 0x8031, 0x8033, 0x8035, 0x803B, 0x803D, 0x803F, 0x8041, 0x8057),
        *(0x80FD, 0x8281, 0x8283, 0xC021, 0xC023, 0xC025, 0xC027, 0xC223),
    }
)
LOOPBACK_FAMILIES = {2: 0x0800, 10: 0x86DD, 24: 0x86DD, 28: 0x86DD, 30: 0x86DD}
PPPOE_CODES = frozenset({0x09, 0x07, 0x19, 0x65, 0xA7})
MPLS_LABEL_EVENTS = {1: "mpls.bad_label_router_alert", 3: "mpls.bad_label_implicit_null"}


def nothing(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    """A known protocol that is not for us (ARP)."""


def ethernet(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    if end - start < 14:
        invalid(packet, "ethernet.pkt_too_small")
        return
    data = packet.data
    decoder.ethertype(packet, (data[start + 12] << 8) | data[start + 13], start + 14, end)


def vlan(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    if len(packet.vlan) >= VLAN_LAYERS:
        packet.events.append("vlan.too_many_layers")
        return
    if end - start < 4:
        invalid(packet, "vlan.header_too_small")
        return
    data = packet.data
    packet.vlan = (*packet.vlan, ((data[start] << 8) | data[start + 1]) & 0xFFF)
    if not decoder.ethertype(packet, (data[start + 2] << 8) | data[start + 3], start + 4, end):
        invalid(packet, "vlan.unknown_type")


def raw(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    """LINKTYPE_RAW, IPV4 and IPV6: the version nibble decides."""
    version = packet.data[start] >> 4 if end > start else 0
    kind = {4: 0x0800, 6: 0x86DD}.get(version)
    if end - start < 20:
        invalid(packet, "ipv4.pkt_too_small")
    elif kind is None:
        packet.events.append("ipraw.invalid_ip_version")
    else:
        decoder.ethertype(packet, kind, start, end)


def cooked(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    if end - start < 16:
        invalid(packet, "sll.pkt_too_small")
        return
    data = packet.data
    decoder.ethertype(packet, (data[start + 14] << 8) | data[start + 15], start + 16, end)


def cooked_2(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    if end - start < 20:
        invalid(packet, "sll.pkt_too_small")
        return
    data = packet.data
    decoder.ethertype(packet, (data[start] << 8) | data[start + 1], start + 20, end)


def loopback(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    """BSD loopback: the address family in the byte order of the host that captured."""
    if end - start < 4:
        invalid(packet, "ltnull.pkt_too_small")
        return
    data = packet.data
    family = int.from_bytes(data[start : start + 4], "little")
    kind = LOOPBACK_FAMILIES.get(family) or LOOPBACK_FAMILIES.get(
        int.from_bytes(data[start : start + 4], "big")
    )
    if kind is None:
        packet.events.append("ltnull.unsupported_type")
    else:
        decoder.ethertype(packet, kind, start + 4, end)


def ppp(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    """RFC 1662 framing with or without the address and control bytes and protocol field compression."""
    data = packet.data
    if end - start < 1:
        invalid(packet, "ppp.pkt_too_small")
        return
    if data[start] == 0xFF and end - start > 1 and data[start + 1] == 0x03:
        start += 2
    if end > start and data[start] & 1:
        _ppp_payload(decoder, packet, data[start], start + 1, end)
    elif end - start < 2:
        invalid(packet, "ppp.pkt_too_small")
    else:
        _ppp_payload(decoder, packet, (data[start] << 8) | data[start + 1], start + 2, end)


def _ppp_payload(decoder: Decoder, packet: Packet, protocol: int, start: int, end: int) -> None:
    if protocol == PPP_IPV4:
        if end - start < 20:
            invalid(packet, "ppp.ip4_pkt_too_small")
        elif packet.data[start] >> 4 == 4:
            decoder.ethertype(packet, 0x0800, start, end)
    elif protocol == PPP_IPV6:
        if end - start < 40:
            invalid(packet, "ppp.ip6_pkt_too_small")
        else:
            decoder.ethertype(packet, 0x86DD, start, end)
    elif protocol == PPP_VJ_UNCOMPRESSED:
        if end - start < 20:
            invalid(packet, "ppp.vju_pkt_too_small")
        elif packet.data[start] >> 4 == 4:
            decoder.ethertype(packet, 0x0800, start, end)
    elif protocol in PPP_OTHER:
        invalid(packet, "ppp.unsup_proto")
    else:
        invalid(packet, "ppp.wrong_type")


def pppoe_session(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    if end - start < 7:
        invalid(packet, "pppoe.pkt_too_small")
        return
    data = packet.data
    length = (data[start + 4] << 8) | data[start + 5]
    if length > end - start - 6:
        packet.events.append("pppoe.pkt_too_small")
    start += 6
    if data[start] & 1:  # RFC 1661 protocol field compression
        _ppp_payload(decoder, packet, data[start], start + 1, end)
    elif end - start < 2:
        invalid(packet, "pppoe.pkt_too_small")
    else:
        _ppp_payload(decoder, packet, (data[start] << 8) | data[start + 1], start + 2, end)


def pppoe_discovery(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    if end - start < 6:
        invalid(packet, "pppoe.pkt_too_small")
        return
    data = packet.data
    if data[start + 1] not in PPPOE_CODES:
        packet.events.append("pppoe.wrong_code")
    length = (data[start + 4] << 8) | data[start + 5]
    if length > end - start - 6:
        invalid(packet, "pppoe.malformed_tags")
        return
    position, left = start + 6, length
    while left >= 4:
        tag = (data[position + 2] << 8) | data[position + 3]
        if left < 4 + tag:
            invalid(packet, "pppoe.malformed_tags")
            return
        left -= 4 + tag
        position += 4 + tag


def mpls(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    data = packet.data
    while True:
        if end - start < 4:
            invalid(packet, "mpls.header_too_small")
            return
        shim = int.from_bytes(data[start : start + 4], "big")
        start += 4
        if shim & 0x100:
            break
    label = shim >> 12
    if label in MPLS_LABEL_EVENTS:
        invalid(packet, MPLS_LABEL_EVENTS[label])
    elif 4 <= label <= 15:
        invalid(packet, "mpls.bad_label_reserved")
    elif label in {0, 2}:
        decoder.ethertype(packet, 0x0800 if label == 0 else 0x86DD, start, end)
    else:
        _mpls_payload(decoder, packet, start, end)


def _mpls_payload(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    """Nothing in MPLS names the payload: the first nibble does (RFC 4385, section 1)."""
    if end - start < 4:
        invalid(packet, "mpls.pkt_too_small")
        return
    nibble = packet.data[start] >> 4
    if nibble == 4:
        decoder.ethertype(packet, 0x0800, start, end)
    elif nibble == 6:
        decoder.ethertype(packet, 0x86DD, start, end)
    elif nibble == 0:  # pseudowire control word, then Ethernet
        ethernet(decoder, packet, start + 4, end)
    elif nibble != 1:
        invalid(packet, "mpls.unknown_payload_type")


def provider_backbone(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    """802.1ah: a service tag, customer addresses and the customer's ethertype."""
    if end - start < 18:
        invalid(packet, "ieee8021ah.header_too_small")
        return
    data = packet.data
    decoder.ethertype(packet, (data[start + 16] << 8) | data[start + 17], start + 18, end)


def vn_tag(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    if end - start < 6:
        invalid(packet, "vntag.header_too_small")
        return
    data = packet.data
    if not decoder.ethertype(packet, (data[start + 4] << 8) | data[start + 5], start + 6, end):
        invalid(packet, "vntag.unknown_type")


def fabric_path(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    """Cisco's DCE: two bytes, then a whole Ethernet header again."""
    if end - start < 16:
        invalid(packet, "dce.pkt_too_small")
    else:
        ethernet(decoder, packet, start + 2, end)
