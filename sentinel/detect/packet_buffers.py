"""Sticky buffers that are parts of one packet: headers and addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.detect.transforms import transform
from sentinel.detect.view import View

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.detect.rule import Part
    from sentinel.model import Packet


def _ipv4(packet: Packet) -> bytes | None:
    if packet.version != 4:
        return None
    return packet.data[packet.l3 : packet.l3 + (packet.data[packet.l3] & 15) * 4]


def _ipv6(packet: Packet) -> bytes | None:
    """The fixed header and the extension headers."""
    if packet.version != 6:
        return None
    return packet.data[packet.l3 : packet.l4 or packet.l3 + 40]


def _transport(number: int) -> Callable[[Packet], bytes | None]:
    def header(packet: Packet) -> bytes | None:
        if packet.proto != number or not packet.l4:
            return None
        return packet.data[packet.l4 : packet.payload_start]

    return header


def _icmp4(packet: Packet) -> bytes | None:
    """Eight bytes; router advertisements and time stamps have more (RFC 1256, RFC 792)."""
    if packet.proto != 1 or not packet.l4:
        return None
    data, at, size = packet.data, packet.l4, 8
    if packet.icmp_type == 9:
        size += data[at + 4] * data[at + 5] * 4
    elif packet.icmp_type in {13, 14}:
        size += 12
    return data[at : min(at + size, packet.payload_end)]


def _udp(packet: Packet) -> bytes | None:
    return packet.data[packet.l4 : packet.l4 + 8] if packet.proto == 17 and packet.l4 else None


def _icmp6(packet: Packet) -> bytes | None:
    return packet.data[packet.l4 : packet.payload_start] if packet.proto == 58 and packet.l4 else None


_BUFFERS: dict[str, Callable[[Packet], bytes | None]] = {
    "ipv4.hdr": _ipv4,
    "ipv6.hdr": _ipv6,
    "tcp.hdr": _transport(6),
    "udp.hdr": _udp,
    "icmpv4.hdr": _icmp4,
    "icmpv6.hdr": _icmp6,
    "ip.src": lambda packet: packet.src or None,
    "ip.dst": lambda packet: packet.dst or None,
}


def packet_view(packet: Packet, part: Part) -> View | None:
    if packet.pseudo and not part.buffer.startswith("ip."):
        return None
    data = _BUFFERS[part.buffer](packet)
    if data is not None and part.transforms:
        data = transform(data, part.transforms)
    return None if data is None else View(data)
