"""IPv6 headers and extension headers -> the packet's addresses, protocol and the range of its payload.

In: a range of a packet's data. Out: fields set and the transport decoded, or an event. Fragments stop here with
`fragment` set and `Fragment` noted for defrag.py. RFC 8200, RFC 2711 (router alert), RFC 2675 (jumbo), RFC 6275 (home
address), RFC 4302 (AH), RFC 5095 (type 0 routing).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.protocol import tunnel
from sentinel.protocol.events import invalid

if TYPE_CHECKING:
    from sentinel.model import Packet
    from sentinel.protocol.decode import Decoder

HOP_BY_HOP, ROUTING, FRAGMENT, ESP, AUTHENTICATION, NO_NEXT, DESTINATION = 0, 43, 44, 50, 51, 59, 60
MOBILITY, HIP, SHIM6 = 135, 139, 140
EXTENSIONS = frozenset(
    {HOP_BY_HOP, ROUTING, FRAGMENT, ESP, AUTHENTICATION, NO_NEXT, DESTINATION, MOBILITY, HIP, SHIM6}
)
PAD_1, PAD_N, ROUTER_ALERT, JUMBO, HOME_ADDRESS = 0, 1, 0x05, 0xC2, 0xC9
OPTION_MINIMUM = {ROUTER_ALERT: 2, JUMBO: 4, HOME_ADDRESS: 16}
OPTIONS_NAMES = {HOP_BY_HOP: "hopopts", DESTINATION: "dstopts"}
DUPLICATES = {
    HOP_BY_HOP: "hh",
    ROUTING: "rh",
    AUTHENTICATION: "ah",
    ESP: "eh",
    DESTINATION: "dh",
    FRAGMENT: "fh",
}


def decode(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    data = packet.data
    if end - start < 40:
        packet.invalid = True  # Suricata has no event for it
        return None
    if data[start] >> 4 != 6:
        return invalid(packet, "ipv6.wrong_ip_version")
    length = (data[start + 4] << 8) | data[start + 5]
    if end - start < 40 + length:
        return invalid(packet, "ipv6.trunc_pkt")
    packet.version = 6
    packet.l3 = start
    packet.l3_end = end = start + 40 + length
    packet.src = data[start + 8 : start + 24]
    packet.dst = data[start + 24 : start + 40]
    packet.proto = following = data[start + 6]
    packet.payload_start = start + 40
    packet.payload_end = end
    if following in EXTENSIONS:
        _Walk(decoder, packet, start + 40, end).run(following)
    elif not decoder.ip_protocol(packet, following, start + 40, end):
        packet.events.append("ipv6.unknown_next_header")
    return None


def with_icmpv4(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    invalid(packet, "ipv6.icmpv4")


def ipv4_inside(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    if end - start < 20:
        invalid(packet, "ipv6.ipv4_in_ipv6_too_small")
    elif packet.data[start] >> 4 != 4:
        invalid(packet, "ipv6.ipv4_in_ipv6_wrong_version")
    else:
        tunnel.ipv4(decoder, packet, start, end)


def ipv6_inside(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    if end - start < 40:
        invalid(packet, "ipv6.ipv6_in_ipv6_too_small")
    elif packet.data[start] >> 4 != 6:
        invalid(packet, "ipv6.ipv6_in_ipv6_wrong_version")
    else:
        tunnel.ipv6(decoder, packet, start, end)


class _Walk:
    """One walk over the chain of extension headers."""

    __slots__ = ("data", "decoder", "encrypted", "end", "packet", "position", "previous", "seen")

    def __init__(self, decoder: Decoder, packet: Packet, position: int, end: int) -> None:
        self.decoder = decoder
        self.packet = packet
        self.data = packet.data
        self.position = position
        self.end = end
        self.seen: dict[int, int] = {}
        self.encrypted = False  # what follows cannot be read
        self.previous = position - 34  # where the "next header" byte naming the current header stands

    def run(self, following: int) -> None:
        while True:
            packet = self.packet
            packet.proto = following
            packet.payload_start = self.position
            left = self.end - self.position
            if following == NO_NEXT:
                if left > 0 and not self.encrypted:
                    packet.events.append("ipv6.data_after_none_header")
                return None
            if left < 2:
                return invalid(packet, "ipv6.trunc_exthdr")
            if following not in EXTENSIONS:
                if not self.decoder.ip_protocol(packet, following, self.position, self.end):
                    packet.events.append("ipv6.unknown_next_header")
                return None
            size = self._size(following)
            if size > left:
                return invalid(packet, "ipv6.trunc_exthdr")
            if not self._header(following, size):
                return None
            self.previous = self.position
            self.encrypted = following == ESP
            following = NO_NEXT if self.encrypted else self.data[self.position]
            self.position += size

    def _size(self, kind: int) -> int:
        if kind in {FRAGMENT, ESP}:
            return 8
        units = self.data[self.position + 1]
        return (units + 2) * 4 if kind == AUTHENTICATION else (units + 1) * 8

    def _header(self, kind: int, size: int) -> bool:
        """Check one header; False when the walk ends with it (a fragment)."""
        packet, data, position = self.packet, self.data, self.position
        if kind == FRAGMENT and data[position + 1]:
            packet.events.append("ipv6.fh_non_zero_reserved_field")
        if kind == AUTHENTICATION and (data[position + 2] or data[position + 3]):
            packet.events.append("ipv6.exthdr_ah_res_not_null")
        # Destination options may stand twice: before a routing header and last (RFC 8200, 4.1).
        count = self.seen[kind] = self.seen.get(kind, 0) + 1
        if count > (2 if kind == DESTINATION else 1) and kind in DUPLICATES:
            packet.events.append("ipv6.exthdr_dupl_" + DUPLICATES[kind])
            return True
        if kind == ROUTING and data[position + 2] == 0:
            packet.events.append("ipv6.rh_type_0")
        elif kind in OPTIONS_NAMES:
            _options(packet, kind, position + 2, position + size)
        elif kind == FRAGMENT:
            return self._fragment()
        return True

    def _fragment(self) -> bool:
        packet, position = self.packet, self.position
        word = (self.data[position + 2] << 8) | self.data[position + 3]
        if word & 0xFFF9 == 0:
            packet.events.append("ipv6.exthdr_useless_fh")
            return True
        if word & 1 and (self.end - position) % 8:
            packet.events.append("ipv6.frag_invalid_length")
        packet.fragment = True
        packet.l4 = position
        packet.fragment_parent = self.previous
        return False


def _options(packet: Packet, kind: int, position: int, end: int) -> None:
    data, name = packet.data, OPTIONS_NAMES[kind]
    padding = others = 0
    while position < end:
        option = data[position]
        if option == PAD_1:
            padding += 1
            position += 1
            continue
        if position + 1 >= end or position + 1 + data[position + 1] > end:
            invalid(packet, "ipv6.exthdr_invalid_optlen")
            break
        size = data[position + 1]
        if option == PAD_N:
            padding += 1
            if size == 0:
                packet.events.append("ipv6.zero_len_padn")
        elif option in OPTION_MINIMUM:
            if size < OPTION_MINIMUM[option]:
                invalid(packet, "ipv6.exthdr_invalid_optlen")
                break
            others += option != JUMBO
        else:
            packet.events.append(f"ipv6.{name}_unknown_opt")
            others += 1
        position += size + 2
    if padding and not others:
        packet.events.append(f"ipv6.{name}_only_padding")
