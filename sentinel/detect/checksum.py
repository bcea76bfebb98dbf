"""Are the checksums in a packet's headers right? For the *-csum keywords; True, False, or None without such a header."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentinel.model import Packet

_HEADERS = {
    "tcpv4": (4, 6),
    "tcpv6": (6, 6),
    "udpv4": (4, 17),
    "udpv6": (6, 17),
    "icmpv4": (4, 1),
    "icmpv6": (6, 58),
}


def ones_sum(data: bytes) -> int:
    """RFC 1071: 16-bit one's complement sum."""
    if len(data) % 2:
        data += b"\0"
    total = sum(memoryview(data).cast("H")) if len(data) else 0
    return int.from_bytes((total % 65535).to_bytes(2, "little"), "big") or (65535 if total else 0)


def verdict(packet: Packet, protocol: str) -> bool | None:
    if protocol == "ipv4":
        if packet.version != 4:
            return None
        header = packet.data[packet.l3 : packet.l3 + (packet.data[packet.l3] & 15) * 4]
        return ones_sum(header) == 65535
    version, number = _HEADERS[protocol]
    if packet.version != version or packet.proto != number or not packet.l4:
        return None
    segment = packet.data[packet.l4 : packet.payload_end]
    if protocol == "udpv4" and segment[6:8] == b"\0\0":
        return True  # no checksum was computed; with IPv6 there must be one
    pseudo = b""
    if protocol != "icmpv4":
        pseudo = packet.src + packet.dst + len(segment).to_bytes(4, "big") + bytes((0, 0, 0, number))
    return ones_sum(pseudo + segment) == 65535
