"""Batches of captured frames -> Packets with flow, stream and application state, in the order Suricata inspects them.

In: Batch (pcap or ring). Out: a generator of Packets; when one is yielded, its flow, streams and transactions are
exactly as they are after it, and what runs until the next one is asked for is its inspection. Inner packets of tunnels
and reassembled datagrams come before their carrier; `finish` flushes what a capture's end leaves open.

    frame -> decode -> defragment -> flow -> stream -> application layer -> yield -> move on, prune
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sentinel import metrics
from sentinel.model import Packet
from sentinel.protocol.checksum import Automatic
from sentinel.protocol.decode import Decoder
from sentinel.protocol.defrag import Defragmenter
from sentinel.protocol.flow import TCP, UDP, FlowTable
from sentinel.protocol.options import read_options
from sentinel.protocol.session import ACK, FIN, RST, SYN, Session, State
from sentinel.protocol.stream import Streams

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sentinel.model import Batch, Flow
    from sentinel.protocol.settings import ProtocolSettings


class NetworkParser:
    """One worker's protocol state. `apps` is the application layer (default: sentinel.protocol.apps)."""

    def __init__(
        self, settings: ProtocolSettings, options: Mapping[str, str] | None = None, apps: Any = None
    ) -> None:
        if apps is None:
            from sentinel.protocol.apps import AppLayer

            apps = AppLayer(options or {})
        found = read_options(settings, options or {})
        self.found = found
        self.apps = apps
        self.decoder = Decoder(found.decode)
        self.defrag = Defragmenter(settings.fragments, found.stream.policy)
        self.checksums = Automatic(enabled=found.checksums)
        self.flows = FlowTable(settings.flows, self._reusable, use_vlan=found.use_vlan)
        self.streams = Streams(found.stream, apps, self._turn_around)
        self.midstream = found.stream.midstream or found.stream.async_oneside
        self.packets = 0
        self.last_time = 0
        self._exported = (0, 0, 0, 0, 0)

    def feed(self, batch: Batch) -> Iterator[Packet]:
        times = batch.times.tolist() if batch.times is not None else None
        tags = batch.vlan.tolist() if batch.vlan is not None else None
        lengths = batch.original.tolist() if batch.original is not None else None
        for number, row in enumerate(batch.rows()):
            packet = Packet(batch.first + number, times[number] if times else 0, row)
            packet.wire_length = lengths[number] if lengths else len(row)
            yield from self.frame(packet, batch.link_type, tags[number] if tags else 0)
        yield from self.settle(self.last_time)

    def settle(self, now: int) -> Iterator[Packet]:
        """Between batches: flows that are silent for too long end."""
        self.last_time = max(self.last_time, now)
        self.flows.sweep(self.last_time)
        yield from self._flush_ended()

    def frame(self, packet: Packet, link_type: int, tag: int) -> Iterator[Packet]:
        self.packets += 1
        self.last_time = max(self.last_time, packet.time)
        self.checksums.count()
        for inner in self.decoder.frame(packet, link_type, tag=tag):
            yield from self._packet(inner)
        yield from self._packet(packet)

    def _packet(self, packet: Packet) -> Iterator[Packet]:
        if packet.fragment:
            whole = self.defrag.add(packet)
            if whole is not None:
                for inner in self.decoder.again(whole):
                    yield from self._packet(inner)
                yield from self._packet(whole)
        if not packet.flowable:
            yield packet
            return
        flow = self.flows.find(packet)
        if flow is None:
            yield packet
            return
        self._count(packet, flow)
        if packet.proto == TCP:
            yield from self._tcp(packet, flow)
        else:
            if packet.proto == UDP and packet.payload_end > packet.payload_start and not packet.tunnel:
                payload = packet.data[packet.payload_start : packet.payload_end]
                self.apps.datagram(flow, packet.to_server, payload, time=packet.time)
                packet.app_updated = True
                if self.apps.take_reversed(flow):
                    self._turn_around(packet)
                packet.recognised = packet.recognised or flow.recognised[packet.direction]
                self._take_events(packet, flow)
            yield packet
            self._prune(flow)
        if self.flows.ended:
            yield from self._flush_ended()

    def _count(self, packet: Packet, flow: Flow) -> None:
        packet.flow = flow
        flow.last = max(flow.last, packet.time)
        direction = 0 if packet.to_server else 1
        flow.packets[direction] += 1
        flow.bytes[direction] += packet.wire_length
        packet.recognised, flow.recognised[direction] = flow.recognised[direction], False
        if flow.established:
            packet.established = True
        elif packet.proto != TCP and packet.embedded is None and flow.packets[0] and flow.packets[1]:
            packet.established = flow.established = True

    def _tcp(self, packet: Packet, flow: Flow) -> Iterator[Packet]:
        session: Session | None = flow.stream_state
        if session is not None and session.state >= State.ESTABLISHED:
            packet.established = True
        packet.no_payload_inspect = flow.app_state is not None and flow.app_state.sealed
        if not self.checksums.accepts(packet):
            yield packet
            return
        self.streams.packet(packet)
        session = flow.stream_state
        if session is not None and self.apps.take_reversed(flow):
            session.turn_around()
            self._turn_around(packet)
        self._take_events(packet, flow)
        if session is None:
            yield packet
            return
        flow.stream_size[0] = (session.client.next_seq - session.client.isn) & 0xFFFFFFFF
        flow.stream_size[1] = (session.server.next_seq - session.server.isn) & 0xFFFFFFFF
        progress = self.streams.expose_raw(packet)
        yield packet
        self.streams.inspected(packet, progress)
        self._prune(flow)

    def _take_events(self, packet: Packet, flow: Flow) -> None:
        if flow.app_state is not None:
            packet.events += self.apps.take_events(flow)

    def _prune(self, flow: Flow) -> None:
        if flow.transactions:
            self.apps.prune(flow)

    def export(self) -> None:
        """Set the metrics; about once a second."""
        streams, defrag, flows = self.streams, self.defrag, self.flows
        metrics.network_flows.set(len(flows.flows))
        metrics.network_stream_bytes.set(streams.held_bytes)
        now = (flows.evicted, streams.refused_segments, streams.gaps, defrag.timed_out, defrag.evicted)
        before, self._exported = self._exported, now
        evicted, refused, gaps, timed_out, pushed_out = (a - b for a, b in zip(now, before, strict=True))
        metrics.network_flows_evicted.inc(evicted)
        metrics.network_segments_refused.inc(refused)
        metrics.network_stream_gaps.inc(gaps)
        metrics.network_datagrams_lost.inc(timed_out, reason="timeout")
        metrics.network_datagrams_lost.inc(pushed_out, reason="table_full")

    # --- ends -------------------------------------------------------------------------------------------------------

    def finish(self) -> Iterator[Packet]:
        """The capture ended: a last look at every flow that has something left."""
        yield from self._flush_ended()
        for flow in self.flows.drain():
            yield from self._flush(flow)

    def _flush_ended(self) -> Iterator[Packet]:
        while self.flows.ended:
            yield from self._flush(self.flows.ended.pop(0))

    def _flush(self, flow: Flow) -> Iterator[Packet]:
        session: Session | None = flow.stream_state
        if flow.proto == TCP and session is not None:
            wanted = self.streams.unfinished(flow, session)
            # Complete and inspected transactions are gone; HTTP waits for both sides before it is logged.
            http = flow.app_proto == "http"
            waiting = [any(http or not tx.inspected[side] for tx in flow.transactions) for side in (0, 1)]
            for to_server, needed in ((True, wanted[0] or waiting[0]), (False, wanted[1] or waiting[1])):
                if needed:
                    yield from self._pseudo(flow, session, to_server=to_server)
        self.streams.forget(flow)
        flow.closed = True

    def _pseudo(self, flow: Flow, session: Session, *, to_server: bool) -> Iterator[Packet]:
        """A packet that nobody sent: it hands over the rest of a stream and lets rules see the end."""
        packet = Packet(self.packets, max(flow.last, self.last_time), b"", pseudo=True, to_server=to_server)
        packet.version = 4 if len(flow.src) == 4 else 6
        packet.proto = flow.proto
        source, target = (flow.src, flow.sport), (flow.dst, flow.dport)
        if not to_server:
            source, target = target, source
        packet.src, packet.sport = source
        packet.dst, packet.dport = target
        packet.vlan = flow.vlan
        packet.flow = flow
        packet.tcp_flags = ACK
        packet.established = packet.stream_established = True
        side = session.side(to_server=to_server)
        self.streams.segment(session, side, packet)
        if self.apps.take_reversed(flow):
            session.turn_around()
            self._turn_around(packet)
        self._take_events(packet, flow)
        progress = self.streams.expose_raw(packet)
        yield packet
        self.streams.inspected(packet, progress)
        self._prune(flow)

    # --- for the columnar path --------------------------------------------------------------------------------------

    def adopt(self, packet: Packet, *, to_server: bool, expected: tuple[int, int]) -> None:
        """Begin a session in the middle: what follows on both sides is known, the past is not."""
        flow = self.flows.find(packet)
        if flow is None or flow.stream_state is not None:
            return
        packet.flow = flow
        if packet.to_server != to_server:
            self._turn_around(packet)
        self.streams.adopt(packet, expected)

    # --- flow table's questions -------------------------------------------------------------------------------------

    def _reusable(self, flow: Flow, packet: Packet) -> bool:
        """Does this packet start a new session on the ports of an old one?"""
        if packet.proto != TCP or not packet.tcp_flags & SYN or packet.tcp_flags & (RST | FIN):
            return False
        syn_ack = bool(packet.tcp_flags & ACK)
        if syn_ack and not self.midstream:
            return False
        session: Session | None = flow.stream_state
        to_server = flow.src == packet.src and flow.sport == packet.sport
        if session is None:
            return to_server or not syn_ack
        sender = session.side(to_server=to_server)
        if to_server != syn_ack:
            if session.tfo_ignored and to_server:
                return True
            if sender.isn == packet.seq:
                return False
        return session.state >= State.LAST_ACK or session.state == State.NONE

    def _turn_around(self, packet: Packet) -> None:
        flow = packet.flow
        assert flow is not None
        self.flows.swap(flow)
        packet.to_server = not packet.to_server
