"""Frames -> Packet, one at a time: the reference path with every decoder event of Suricata 7.

In: one row of a Batch (frame, time, link type, tags the kernel took off). Out: a Packet with offsets into its data,
plus the packets found inside it (tunnels), inner first, as Suricata runs them. Nothing here raises on traffic: what
cannot be decoded is an event on the packet and `invalid`. headers.py does the same for whole batches with NumPy
and is held against this file by property tests.

Decoders are `(decoder, packet, start, end) -> None`; the tables below say who comes next, so the layers do not
import each other. Event names are those of the rule keyword decode-event.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sentinel.model import Packet
from sentinel.protocol import ipv4, ipv6, link, transport, tunnel
from sentinel.protocol.events import invalid

if TYPE_CHECKING:
    from collections.abc import Callable

    Decode = Callable[["Decoder", Packet, int, int], None]

MAXIMUM_LAYERS = 16  # Suricata's decoder.max-layers: a packet of only tags and tunnels must end somewhere
ETHERNET, RAW, COOKED, COOKED_2, LOOPBACK, PPP = 1, 101, 113, 276, 0, 9

LINK_TYPES: dict[int, Decode] = {
    ETHERNET: link.ethernet,
    RAW: link.raw,
    COOKED: link.cooked,
    COOKED_2: link.cooked_2,
    LOOPBACK: link.loopback,
    PPP: link.ppp,
}
ETHERTYPES: dict[int, Decode] = {
    0x0800: ipv4.decode,
    0x86DD: ipv6.decode,
    0x8100: link.vlan,
    0x88A8: link.vlan,
    0x9100: link.vlan,
    0x8863: link.pppoe_discovery,
    0x8864: link.pppoe_session,
    0x8847: link.mpls,
    0x8848: link.mpls,
    0x88E7: link.provider_backbone,
    0x8926: link.vn_tag,
    0x8903: link.fabric_path,
    0x0806: link.nothing,
}
IP_PROTOCOLS: dict[tuple[int, int], Decode] = {
    (4, 1): transport.icmp,
    (4, 4): tunnel.ipv4,
    (4, 6): transport.tcp,
    (4, 17): transport.udp,
    (4, 41): tunnel.ipv6,
    (4, 47): tunnel.gre,
    (4, 50): transport.esp,
    (4, 58): ipv4.with_icmpv6,
    (4, 132): transport.sctp,
    (6, 1): ipv6.with_icmpv4,
    (6, 4): ipv6.ipv4_inside,
    (6, 6): transport.tcp,
    (6, 17): transport.udp,
    (6, 41): ipv6.ipv6_inside,
    (6, 47): tunnel.gre,
    (6, 58): transport.icmpv6,
    (6, 132): transport.sctp,
}


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """Ports of UDP tunnels (Suricata's decoder.* settings, stock values)."""

    vxlan_ports: frozenset[int] = frozenset({4789})
    geneve_ports: frozenset[int] = frozenset({6081})
    teredo_ports: frozenset[int] = frozenset({3544})
    checksums: bool = False


@dataclass(slots=True)
class Decoder:
    """Decodes one frame at a time; `inner` collects the packets found inside the current one."""

    options: DecodeOptions = field(default_factory=DecodeOptions)
    inner: list[Packet] = field(default_factory=list)
    layers: int = 0

    def frame(self, packet: Packet, link_type: int, *, tag: int = 0) -> list[Packet]:
        """Decode `packet.data`; the packets to handle in order, the frame itself last."""
        self.inner = []
        self.layers = 0
        packet.link_type = link_type
        if tag:
            packet.vlan = (tag & 0xFFF,)
        decode = LINK_TYPES.get(link_type)
        if decode is None:
            packet.invalid = True
        else:
            decode(self, packet, 0, len(packet.data))
        return self.inner

    def again(self, packet: Packet) -> list[Packet]:
        """Decode a reassembled datagram (`data` starts at its IP header)."""
        return self.frame(packet, RAW)

    def ethertype(self, packet: Packet, kind: int, start: int, end: int) -> bool:
        """Go on with the layer that an ethertype names; False when nobody knows it."""
        decode = ETHERTYPES.get(kind)
        if decode is None:
            return False
        self.layers += 1
        if self.layers > MAXIMUM_LAYERS:
            invalid(packet, "too_many_layers")
            return True
        decode(self, packet, start, end)
        return True

    def ip_protocol(self, packet: Packet, protocol: int, start: int, end: int) -> bool:
        decode = IP_PROTOCOLS.get((packet.version, protocol))
        if decode is None:
            packet.payload_end = (
                packet.payload_start
            )  # of a protocol Suricata does not know, rules see no payload
            return False
        decode(self, packet, start, end)
        return True

    def tunnelled(self, packet: Packet, start: int, end: int, kind: Decode) -> Packet:
        """A packet of its own for what a tunnel carries, decoded and queued before its carrier."""
        found = Packet(packet.number, packet.time, packet.data, tunnel_depth=packet.tunnel_depth + 1)
        found.vlan = packet.vlan
        found.wire_length = end - start
        self.layers += 1
        if self.layers > MAXIMUM_LAYERS:
            invalid(found, "too_many_layers")
        else:
            self.inner.append(found)
            kind(self, found, start, end)
        return found
