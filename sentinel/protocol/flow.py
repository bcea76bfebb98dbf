"""The table of conversations: both directions of a 5-tuple (with VLAN tags and tunnel depth) -> one Flow.

In: decoded packets. Out: the packet with `flow`, `to_server` and `established` set, and flows that ended (timed out,
replaced by a new session on the same ports, evicted at the bound) for the caller to flush. Time is event time.
ICMP errors join the flow they are about. Timeouts are those of Suricata's stock suricata.yaml; the table never grows
beyond its bound, evictions are counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.model import Flow
from sentinel.protocol.oldest import Oldest
from sentinel.protocol.transport import ICMP6_COUNTERPART, ICMP_COUNTERPART

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sentinel.model import Packet

    Key = tuple[bytes, bytes, int, int, int, int, tuple[int, ...]]

SECOND = 1_000_000_000
TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
# protocol -> seconds without a packet while (new, established, closed); flow-timeouts of suricata.yaml
TIMEOUTS = {TCP: (60, 600, 60), UDP: (30, 300, 0), ICMP: (30, 300, 0), ICMPV6: (30, 300, 0)}
DEFAULT_TIMEOUTS = (30, 300, 0)
PASSED_OVER = 8
SWEEP_SECONDS = 10  # how often all flows are looked at; a flow that is looked up is checked at once


def icmp_ports(packet: Packet) -> tuple[int, int]:
    """ICMP has no ports; Suricata keys a query and its answer by their two types."""
    table = ICMP_COUNTERPART if packet.proto == ICMP else ICMP6_COUNTERPART
    return packet.icmp_type, table.get(packet.icmp_type, 0)


# Types that report on another conversation and never begin one (RFC 792, RFC 4443 section 2.1).
ERRORS = {ICMP: frozenset({3, 4, 5, 11, 12}), ICMPV6: frozenset(range(128))}


class FlowTable:
    """At most `bound` flows; `reusable(flow, packet)` says that a SYN starts a new session on old ports."""

    def __init__(
        self, bound: int, reusable: Callable[[Flow, Packet], bool], *, use_vlan: bool = True
    ) -> None:
        self.bound = bound
        self.reusable = reusable
        self.use_vlan = use_vlan
        self.flows: dict[Key, Flow] = {}
        self._oldest = Oldest(self.flows)
        self.ended: list[Flow] = []
        self.evicted = 0
        self.created = 0
        self._swept = 0

    def find(self, packet: Packet) -> Flow | None:
        """The packet's flow, made if it is new; None for an ICMP error about an unknown conversation."""
        if packet.embedded is not None:
            return self._find_embedded(packet)
        if packet.icmp_type in ERRORS.get(packet.proto, ()):
            return None
        sport, dport = packet.sport, packet.dport
        if packet.proto in {ICMP, ICMPV6}:
            sport, dport = icmp_ports(packet)
        vlan = packet.vlan if self.use_vlan else ()
        key = _key(packet.src, sport, packet.dst, dport, packet.proto, packet.tunnel_depth, vlan)
        flow = self.flows.get(key)
        if flow is not None:
            if not self._timed_out(flow, packet.time) and not self.reusable(flow, packet):
                packet.to_server = flow.src == packet.src and flow.sport == sport
                return flow
            del self.flows[key]
            self.ended.append(flow)
        elif len(self.flows) >= self.bound:
            self._evict()
        flow = self.flows[key] = self.imagine(packet, sport, dport)
        return flow

    def imagine(self, packet: Packet, sport: int, dport: int) -> Flow:
        """The flow that this packet begins; it is not in the table."""
        self.created += 1
        flow = Flow(
            id=_flow_id(packet.time, self.created),
            proto=packet.proto,
            src=packet.src,
            dst=packet.dst,
            sport=sport,
            dport=dport,
            start=packet.time,
            last=packet.time,
            vlan=packet.vlan,
        )
        packet.to_server = True
        return flow

    def _find_embedded(self, packet: Packet) -> Flow | None:
        assert packet.embedded is not None
        proto, src, sport, dst, dport = packet.embedded
        vlan = packet.vlan if self.use_vlan else ()
        flow = self.flows.get(_key(src, sport, dst, dport, proto, packet.tunnel_depth, vlan))
        if flow is not None:
            # The error travels against the datagram it quotes.
            packet.to_server = not (flow.src == src and flow.sport == sport)
        return flow

    def swap(self, flow: Flow) -> None:
        """The first packet seen came from the server: turn the flow around (the key has no direction)."""
        flow.src, flow.dst = flow.dst, flow.src
        flow.sport, flow.dport = flow.dport, flow.sport
        flow.packets.reverse()
        flow.bytes.reverse()

    def end(self, flow: Flow) -> None:
        """The caller knows that the flow is over. Flows in tunnels have other keys and are not found."""
        vlan = flow.vlan if self.use_vlan else ()
        key = _key(flow.src, flow.sport, flow.dst, flow.dport, flow.proto, 0, vlan)
        if self.flows.get(key) is flow:
            del self.flows[key]
            self.ended.append(flow)

    def sweep(self, now: int) -> None:
        """Move flows that timed out by event time to `ended`."""
        if now - self._swept < SWEEP_SECONDS * SECOND:
            return
        self._swept = now
        for key in [key for key, flow in self.flows.items() if self._timed_out(flow, now)]:
            self.ended.append(self.flows.pop(key))

    def drain(self) -> Iterator[Flow]:
        """All flows left, oldest first; the table is empty afterwards."""
        while self.flows:
            yield self.flows.pop(self._oldest.pop())

    def _evict(self) -> None:
        """The flow that was created first goes, but a conversation is worth more than an attempt at one.

        A flood of SYNs must not drive out the session that it is meant to hide: a flow that saw both sides is passed
        over and put to the end, a few at a time, so that this costs the same however many there are.
        """
        for _ in range(PASSED_OVER):
            key = self._oldest.pop()
            flow = self.flows.pop(key)
            if not flow.established:
                break
            self.flows[key] = flow
        else:
            flow = self.flows.pop(self._oldest.pop())
        self.ended.append(flow)
        self.evicted += 1

    def _timed_out(self, flow: Flow, now: int) -> bool:
        age = now // SECOND - flow.last // SECOND
        if age < 30:  # below the smallest timeout there is
            return False
        new, established, closed = TIMEOUTS.get(flow.proto, DEFAULT_TIMEOUTS)
        return age >= (closed if flow.closed else established if flow.established else new)


def _key(  # noqa: PLR0917 - called for every packet; positional is measurably faster
    src: bytes, sport: int, dst: bytes, dport: int, proto: int, depth: int, vlan: tuple[int, ...]
) -> Key:
    if src < dst or (src == dst and sport <= dport):
        return (src, dst, sport, dport, proto, depth, vlan)
    return (dst, src, dport, sport, proto, depth, vlan)


def _flow_id(time: int, number: int) -> int:
    """53 bits, so that JSON readers keep it whole; the same in every replay of a capture."""
    mixed = (time ^ (number * 0x9E3779B97F4A7C15)) & 0xFFFFFFFFFFFFFFFF
    return ((mixed ^ (mixed >> 29)) & 0x1FFFFFFFFFFFFF) or 1
