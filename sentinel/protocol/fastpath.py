"""The columnar path in front of NetworkParser: flows without a candidate never become Packets.

In: batches, and a `Screen` from detection that says which headers and bytes may match a rule (it may say so too often,
never too rarely). Out: the same generators as NetworkParser. A batch is decoded with NumPy and grouped by flow; a plain
TCP or UDP flow that goes on in order is joined and screened. While the screen sees nothing in it, its frames are kept
and nothing else is done. At the first candidate, gap, overlap or oddity, all its frames go through NetworkParser in
their order, so what is inspected is inspected exactly as without this path.

    batch -> Headers -> group by flow -> in order? -> join -> screen -> deferred | replayed as Packets
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sentinel import metrics
from sentinel.model import Batch, Packet
from sentinel.protocol import headers, large, likeness
from sentinel.protocol.apps.recognise import PREFIX, possible
from sentinel.protocol.attempts import Attempts
from sentinel.protocol.deferred import OVERLAP_LIMIT, TCP, Deferred, Frame, Rows
from sentinel.protocol.fragments import Fragments, first_piece
from sentinel.protocol.grouping import ACK, RST, Group, Run, groups
from sentinel.protocol.lossy import picked_up
from sentinel.protocol.network import NetworkParser
from sentinel.protocol.oldest import Oldest
from sentinel.protocol.reorder import FIN, MASK, SYN, join
from sentinel.protocol.sealed import Sealed, needed
from sentinel.protocol.sent import Sent
from sentinel.protocol.stream import UNLIMITED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from sentinel.protocol.flow import FlowTable
    from sentinel.protocol.headers import Headers
    from sentinel.protocol.screening import Ends, Screen
    from sentinel.protocol.settings import ProtocolSettings

SECOND = 1_000_000_000
UDP = 17
IDLE_SECONDS = 600  # as long as Suricata keeps an established TCP flow
SWEEP_SECONDS = 10
# Of flows torn by lost packets, in one batch. A loss tears them all at once, and going through all that was kept of them would
# take seconds, in which more is lost; beyond this they are taken up in the middle, as after any loss.
REPLAYED_BYTES = 2 << 20
LOSS_SECONDS = 10  # a hole may be older than the figure that tells of it, and is met when its flow goes on
HOLE_SECONDS = 2  # a segment that was only late or lost on the way was sent again by then


class FastParser:
    """Drop-in for NetworkParser. `screen` may be replaced between two batches (a reload)."""

    def __init__(
        self,
        settings: ProtocolSettings,
        options: Mapping[str, str] | None,
        screen: Screen,
        apps: Any = None,
    ) -> None:
        self.parser = NetworkParser(settings, options, apps)
        self.screen = screen
        self.bound = settings.flows
        self.limit_bytes = settings.stream_memory_megabytes << 20
        self.deferred: dict[int, Deferred] = {}
        self.attempts = Attempts(settings.flows)
        self.evicted = 0
        self.holes: dict[int, int] = {}  # keys of flows that wait for missing segments -> since when
        self.orphans: dict[int, Deferred] = {}  # interesting, but their frames are gone
        self.fragments = Fragments(settings.fragments, self.limit_bytes >> 2)
        self._oldest = Oldest(self.deferred)
        self.slow: dict[int, int] = {}  # keys of flows that NetworkParser has -> time of their last packet
        self._slowest = Oldest(self.slow)
        self.sealed = Sealed(settings.flows, self.parser.flows)
        self.held_bytes = 0
        self.passed = 0
        self.trusted = self._exported = 0
        self._swept = self._sequence = self._lost = self._evicted = self._losing_until = 0
        self._seed = 0x5EED
        self._replayed = 0
        found = self.parser.found
        self._tunnels = found.decode.vxlan_ports | found.decode.geneve_ports | found.decode.teredo_ports
        self._always_slow = found.stream.midstream or found.stream.async_oneside or found.checksums
        self._depth = found.stream.depth or 1 << 62

    def feed(self, batch: Batch) -> Iterator[Packet]:
        if self._always_slow or not self.screen.usable or not len(batch):
            yield from self.parser.feed(batch)
            return
        self._replayed = 0
        found = headers.decode(
            batch, seed=self._seed, tunnels=self._tunnels, use_vlan=self.parser.found.use_vlan
        )
        rows = Rows(batch, self._sequence)
        self._sequence += len(batch)
        now = rows.times[-1]
        put_aside = found.fragment if not self.screen.decoder_events else np.zeros(len(batch), np.bool_)
        apart = np.flatnonzero(~(found.plain | put_aside)).tolist()
        frames = list(rows.keep(apart).frames())
        self._claim(frames, now)
        wanted = self.screen.rows(found)
        plain: list[int] = self.fragments.take(found, wanted, rows, frames) if put_aside.any() else []
        sized = self.screen.sized(found)
        for group in groups(batch, found, wanted, self.screen.lone(found)):
            if (flow := self.sealed.goes_by(group, now)) is not None:
                self._give_up(group.key, now, frames)
                frames += large.of_sealed(flow, group, found, rows, sized, self.screen.large)
            elif group.key in self.slow or group.odd or not self._passes(group, found, rows):
                self._give_up(group.key, now, frames)
                plain += group.rows
                if group.key in self.orphans:
                    self._adopt(group, rows)
            elif group.lone:
                frames += (
                    replace(frame, look=True, key=group.key) for frame in rows.keep(group.rows[:1]).frames()
                )
            elif (held := self.deferred.get(group.key)) is not None:
                frames += large.of_deferred(held, group, found, rows, sized, self.screen.large)
        musts = needed(found, wanted)[plain].tolist()
        frames += rows.keep(plain, list(zip(found.key[plain].tolist(), musts, strict=True))).frames()
        self._give_up_waiting(now, frames)
        self.passed += len(batch) - len(apart) - len(plain)
        frames.sort(key=_by_sequence)
        for frame in frames:
            if frame in self.sealed:
                self.passed += 1
            else:
                yield from self._replay(frame, now)
        self._sweep(now)
        yield from self.parser.settle(now)

    def _replay(self, frame: Frame, now: int) -> Iterator[Packet]:
        packet = Packet(frame.number, frame.time, frame.data)
        packet.wire_length = frame.wire_length
        if frame.look:
            yield from self._look(packet, frame)
            return
        earlier: list[Frame] = []
        for found in self.parser.frame(packet, frame.link_type, frame.tag):
            if found.reassembled and found.flow is not None:
                self._take(found, frame, now, earlier)
            if not frame.shown:
                yield found
            elif found.flow is not None:
                found.flow.id = frame.shown
        if frame.key:
            self.sealed.note(frame.key, packet)
        for missed in earlier:  # a datagram made of fragments joined a flow that we had put aside
            yield from self._replay(missed, now)

    def _look(self, packet: Packet, frame: Frame) -> Iterator[Packet]:
        """One packet of a session, for rules that ask for no more; the session itself stays put aside."""
        self.parser.decoder.frame(packet, frame.link_type, tag=frame.tag)
        flow = packet.flow = self.parser.flows.imagine(packet, packet.sport, packet.dport)
        flow.packets[0], flow.bytes[0] = 1, packet.wire_length
        if frame.sizes is not None:
            yield large.shown(packet, flow, frame)
            return
        yield packet
        if not self.attempts.show(frame.key, flow.id) and frame.key in self.deferred:
            self.deferred[frame.key].shown = flow.id

    def lost(self, now: int) -> None:
        """Packets were lost before they came here: flows that miss some are picked up behind the hole for a while."""
        self._losing_until = now + LOSS_SECONDS * SECOND

    def finish(self) -> Iterator[Packet]:
        frames: list[Frame] = []
        self._give_up_waiting(1 << 63, frames)
        for frame in sorted(frames, key=_by_sequence):
            yield from self._replay(frame, self.parser.last_time)
        self.deferred.clear()
        self.attempts.clear()
        self.held_bytes = 0
        yield from self.parser.finish()

    @property
    def flows(self) -> FlowTable:
        return self.parser.flows

    def export(self) -> None:
        """Set the metrics; about once a second."""
        self.parser.export()
        metrics.network_flows_deferred.set(len(self.deferred) + len(self.attempts))
        metrics.network_deferred_bytes.set(self.held_bytes)
        metrics.network_packets_passed.inc(self.passed - self._exported)
        self._exported = self.passed
        evicted = self.evicted + self.attempts.evicted
        metrics.network_flows_evicted.inc(evicted - self._evicted)
        self._evicted = evicted
        lost, self._lost = self.fragments.evicted - self._lost, self.fragments.evicted
        metrics.network_datagrams_lost.inc(lost, reason="table_full")

    # --- one flow ---------------------------------------------------------------------------------------------------

    def _passes(self, group: Group, found: Headers, rows: Rows) -> bool:
        """Does the flow go on without a candidate? Its state is moved on."""
        first = group.rows[0]
        opening = int(found.tcp_flags[first]) & (SYN | ACK) == SYN
        seq = int(found.seq[first])
        flow = self._known(group.key)
        again = flow is not None and opening and seq != flow.begun[0]
        if again and flow is not None and flow.closed:
            self._forget(group.key)
            flow = None
        if flow is None:
            forward = bool(found.forward[first])
            alone = opening and len(group.rows) == 1
            if alone and self.attempts.add(group.key, first, rows, forward=forward, seq=seq):
                return True
            flow = self._open(group.key, first, found, session=opening)
        elif again or group.lone:
            return False
        flow.last = rows.times[group.rows[-1]]
        for run in group.runs:
            if not self._run_passes(flow, run, found):
                return False
        # A reset ends only what had begun; a new session on the same ports is one only after that.
        flow.closed = flow.closed or (bool(group.flags & RST) and min(flow.expected) >= 0) or all(flow.ended)
        flow.torn = any(flow.waiting)
        if flow.torn:
            if flow.closed:
                return False
            self.holes.setdefault(group.key, flow.last)
        self._keep(flow, group, rows)
        return True

    def _run_passes(self, flow: Deferred, run: Run, found: Headers) -> bool:
        direction = int(run.forward != flow.forward)
        if not flow.session or flow.proto != TCP:
            return not self._candidate(flow, direction, run, found, None)
        flow.ended[direction] |= bool(run.flags & FIN)
        astray = flow.astray[direction] and flow.scanned[direction] < self._depth
        if not astray and self._goes_on(flow, direction, run):
            return not self._candidate(flow, direction, run, found, None)
        data = None if astray else self._joined(flow, direction, run)
        if data is not None:
            return not self._candidate(flow, direction, run, found, data)
        if astray or flow.last < self._losing_until:
            self.held_bytes -= flow.release()
            return picked_up(flow, direction, run, partial(self._look_behind, flow, direction, run, found))
        flow.torn = True
        return False

    def _look_behind(  # noqa: PLR0917 - the first four are bound
        self,
        flow: Deferred,
        direction: int,
        run: Run,
        found: Headers,
        data: bytes,
        apps: AbstractSet[str],
    ) -> int:
        ends = _ends(flow.proto, run.row, found)
        return self.screen.stream(
            ends, direction == 0, data, packets=None, whole=False, apps=apps, notes=flow.notes
        )

    def _goes_on(self, flow: Deferred, direction: int, run: Run) -> bool:
        """The run begins where the stream stopped and has no gap; or nobody looks at the stream any more."""
        in_order = (
            run.each is None and flow.expected[direction] in {-1, run.seq} and not flow.waiting[direction]
        )
        if in_order or flow.scanned[direction] >= self._depth:
            flow.expected[direction] = run.follows
            if run.flags & SYN:
                flow.begun[direction] = run.seq
            return True
        return False

    def _joined(self, flow: Deferred, direction: int, run: Run) -> bytes | None:
        """The new bytes of a run that came late, twice or out of order; None: it takes the real reassembly to tell."""
        late, expected, parts = flow.waiting[direction], flow.expected[direction], run.parts()
        if run.flags & SYN:
            if flow.begun[direction] < 0:
                flow.begun[direction] = next(part.seq for part in parts if part.flags & SYN)
                expected = (flow.begun[direction] + 1) & MASK
            parts = [part for part in parts if not (part.flags & SYN and part.seq == flow.begun[direction])]
        if not parts:
            flow.expected[direction] = expected
            return b""
        joined = join(expected, [*late, *parts], Sent(flow, direction, self._seed))
        if joined is None or (late and joined.waiting and joined.waiting[0] == late[0]):
            return None
        flow.expected[direction], flow.waiting[direction] = joined.follows, joined.waiting
        return joined.data

    def _known(self, key: int) -> Deferred | None:
        flow = self.deferred.get(key)
        if flow is None and (flow := self.attempts.take(key)) is not None:
            self._put(key, flow)
        return flow

    def _put(self, key: int, flow: Deferred) -> None:
        if len(self.deferred) >= self.bound:
            self._forget(self._oldest.pop())
            self.evicted += 1
        self.deferred[key] = flow
        self.held_bytes += flow.held_bytes

    def _open(self, key: int, row: int, found: Headers, *, session: bool) -> Deferred:
        proto = int(found.proto[row])
        flow = Deferred(proto, bool(found.forward[row]), 0, session or proto != TCP)
        self._put(key, flow)
        return flow

    def _candidate(
        self, flow: Deferred, direction: int, run: Run, found: Headers, data: bytes | None
    ) -> bool:
        """`data`: the new bytes, where they are not simply those of the run."""
        to_server, ends = direction == 0, _ends(flow.proto, run.row, found)
        if flow.proto != TCP:
            return any(self._suspect(flow, ends, to_server, piece) for piece in run.pieces if piece)
        before = flow.scanned[direction]
        if before >= self._depth:
            return bool(flow.apps & UNLIMITED)
        packets = run.pieces if data is None else None
        if packets is not None:
            data = packets[0] if len(packets) == 1 else b"".join(packets)
        if not data:
            return False
        joined, whole = flow.piece(direction, data)
        if before < PREFIX:
            apps = flow.apps | possible(TCP, ends[1:3], direction, joined)
            if apps != flow.apps and flow.scanned[1 - direction]:
                return True  # what the other side said was not looked at with that in mind
            flow.apps = apps
        keep = self.screen.stream(
            ends,
            to_server,
            joined,
            packets=packets,
            whole=whole,
            apps=flow.apps,
            notes=flow.notes,
        )
        if keep < 0:
            return True
        flow.tails[direction] = joined[-min(keep, OVERLAP_LIMIT) :] if keep else b""
        return False

    def _suspect(self, flow: Deferred, ends: Ends, to_server: bool, datagram: bytes) -> bool:
        apps = possible(UDP, ends[1:3], int(not to_server), datagram)
        found = self.screen.stream(
            ends, to_server, datagram, packets=(datagram,), whole=True, apps=apps, notes=flow.notes
        )
        return found < 0

    def _keep(self, flow: Deferred, group: Group, rows: Rows) -> None:
        """Without a session there is nothing to replay but the first packet, which tells the direction."""
        if min(flow.scanned) >= self._depth:  # beyond it nothing is inspected any more
            self.held_bytes -= flow.release()
        elif flow.session:
            self.held_bytes += flow.keep(rows.keep(group.rows))
        elif not flow.kept:
            self.held_bytes += flow.keep(rows.keep(group.rows[:1]))
        if self.held_bytes > self.limit_bytes:
            self._make_room()

    # --- what happens to a flow -------------------------------------------------------------------------------------

    def _give_up(self, key: int, now: int, frames: list[Frame]) -> None:
        """From now on the flow is NetworkParser's, with everything that was kept of it."""
        flow = self._known(key)
        if flow is not None:
            del self.deferred[key]
        self.slow.pop(key, None)
        self.slow[key] = now  # the last: what was not seen for longest goes when there are too many
        if len(self.slow) > self.bound:
            del self.slow[self._slowest.pop()]
        if flow is None:
            return
        self.held_bytes -= flow.held_bytes
        self._replayed += flow.held_bytes
        if flow.torn and flow.session and flow.proto == TCP and self._replayed > REPLAYED_BYTES:
            flow.release()
            self.trusted += 1
        frames += flow.frames()
        if flow.trusted and flow.session and flow.proto == TCP and not flow.closed:
            self.orphans[key] = flow

    def _give_up_waiting(self, now: int, frames: list[Frame]) -> None:
        """Segments that did not come by now were lost to us: what follows them is for the real reassembly."""
        for key, since in list(self.holes.items()):
            flow = self.deferred.get(key)
            if flow is None or not any(flow.waiting):
                del self.holes[key]
            elif since < now - HOLE_SECONDS * SECOND and now >= self._losing_until:
                del self.holes[key]
                self._give_up(key, now, frames)

    def _adopt(self, group: Group, rows: Rows) -> None:
        """The frames of an interesting flow were given up: NetworkParser goes on in the middle."""
        flow = self.orphans.pop(group.key)
        expected = list(flow.expected)
        for run in group.runs:
            expected[int(run.forward != flow.forward)] = run.seq
        (frame,) = rows.keep(group.rows[:1]).frames()
        packet = Packet(frame.number, frame.time, frame.data)
        self.parser.decoder.frame(packet, frame.link_type, tag=frame.tag)
        first = (
            int(group.runs[0].forward != flow.forward)
            if group.runs and group.runs[0].row == group.rows[0]
            else -1
        )
        if first < 0:
            first = int(bool(self._forward(frame)) != flow.forward)
        self.parser.adopt(packet, to_server=first == 0, expected=(expected[0], expected[1]))

    def _forward(self, frame: Frame) -> bool:
        return bool(headers.decode(likeness.single(frame), seed=self._seed).forward[0])

    def _claim(self, frames: list[Frame], now: int) -> None:
        """Frames that are not plain take their flows with them, an ICMP error the flow that it quotes."""
        whole: list[Frame] = []
        pieces: list[Frame] = []
        for frame in frames:
            packet = Packet(frame.number, frame.time, frame.data)
            self.parser.decoder.frame(packet, frame.link_type, tag=frame.tag)
            if packet.flowable:
                whole += likeness.of_flow(packet, frame)
            elif packet.fragment:
                pieces.append(likeness.tagged(first_piece(packet), packet, frame))
        for key in likeness.keys(whole, seed=self._seed, use_vlan=self.parser.found.use_vlan):
            self._give_up(key, now, frames)
        if pieces:
            self.fragments.give(headers.decode(likeness.joined(pieces), seed=self._seed).key, now, frames)

    def _take(self, packet: Packet, frame: Frame, now: int, frames: list[Frame]) -> None:
        alike = likeness.of_flow(packet, frame)
        for key in likeness.keys(alike, seed=self._seed, use_vlan=self.parser.found.use_vlan):
            self._give_up(key, now, frames)

    def _forget(self, key: int) -> None:
        self.held_bytes -= self.deferred.pop(key).held_bytes

    def _make_room(self) -> None:
        """The oldest flows keep their numbers and lose their frames."""
        for flow in self.deferred.values():
            if self.held_bytes <= self.limit_bytes * 3 // 4:
                break
            if flow.held_bytes:
                self.held_bytes -= flow.release()
                self.trusted += 1

    def _sweep(self, now: int) -> None:
        if now - self._swept < SWEEP_SECONDS * SECOND:
            return
        self._swept = now
        edge = now - IDLE_SECONDS * SECOND
        self.attempts.forget_before(edge)
        for key in [key for key, flow in self.deferred.items() if flow.last < edge]:
            self._forget(key)
        for key in [key for key, last in self.slow.items() if last < edge]:
            del self.slow[key]
            self.sealed.forget(key)


def _ends(proto: int, row: int, found: Headers) -> Ends:
    ports = int(found.sport[row]), int(found.dport[row])
    return (proto, *ports, int(found.src4[row]), int(found.dst4[row]))


def _by_sequence(frame: Frame) -> int:
    return frame.sequence
