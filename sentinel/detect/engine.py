"""Packets -> alerts: the reference path, one packet at a time, in the order of Suricata's DetectRun.

    IP-only rules (once per flow and direction) -> packet and stream rules -> transactions -> queue -> thresholds

In: Packets with flow, stream and transactions as they are at that packet. Out: Alerts. State between packets is in
`Memory` and with flows and transactions; the engine itself is rebuilt when rules change.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from sentinel.detect.alerts import BLOCKING, AlertFields, make_alert
from sentinel.detect.checks import CHECKS
from sentinel.detect.groups import Groups
from sentinel.detect.header import HeaderVerdicts, application_fits, header_fits
from sentinel.detect.packet_buffers import packet_view
from sentinel.detect.readers import BodyLimits, Reader
from sentinel.detect.screen import Screen
from sentinel.detect.state import Memory, state_of
from sentinel.detect.thresholds import Thresholds, Verdict
from sentinel.detect.transactions import TransactionInspector
from sentinel.detect.verify import holds
from sentinel.detect.view import Scope, View

if TYPE_CHECKING:
    from pathlib import Path

    from sentinel.detect.costs import Costs
    from sentinel.detect.rule import Content, Rule
    from sentinel.model import Alert, Packet, Transaction

TCP = 6
ALERTS_PER_PACKET = 15  # Suricata's packet-alert-max


class Hit(NamedTuple):
    number: int
    tx: Transaction | None = None
    stream: bool = False  # found in reassembled data, so it speaks for the flow


def whole_flow(rule: Rule) -> bool:
    """Whether the rule's header alone speaks for a flow: addresses, or nothing but the application."""
    lone_application = (
        bool(rule.applications) and not rule.payload and rule.mode == "packet" and not rule.bound
    )
    return rule.about_flow or lone_application


def _occurs(content: Content, data: bytes | None) -> bool:
    if not data:
        return False
    return content.pattern in (data.lower() if content.nocase else data)


class Engine:
    def __init__(
        self,
        rules: list[Rule],
        memory: Memory,
        thresholds: Thresholds,
        *,
        bodies: BodyLimits | None = None,
        alerts_per_packet: int = ALERTS_PER_PACKET,
        cache: Path | None = None,
        host: str = "",
        fields: AlertFields | None = None,
        identity: str = "",
    ) -> None:
        self.rules = rules
        self.memory = memory
        self.costs: Costs | None = None  # set by whoever wants to know what rules cost
        self._thresholds = thresholds
        self._limit = alerts_per_packet
        self._host = host
        self._fields = fields or AlertFields()
        self._groups = Groups(rules, cache)
        self._cache = cache
        self._identity = identity
        self._screen: Screen | None = None
        self._headers = HeaderVerdicts(rules)
        self._reader = Reader(bodies or BodyLimits())
        self._transactions = TransactionInspector(
            self._groups, self._reader, self._header_fits, self._admits_transaction, self._scope
        )

    @property
    def screen(self) -> Screen:
        """What the columnar path asks before it parses anything; built when first wanted."""
        if self._screen is None:
            self._screen = Screen(self.rules, self._groups, self._cache, self._identity)
        return self._screen

    def measure(self, costs: Costs) -> None:
        self.costs = self._transactions.costs = costs

    def retire(self) -> None:
        """Not to be asked any more: lets go of what refers back, since the collector is kept away from rules (see build)."""
        del self._transactions

    def inspect(self, packet: Packet) -> list[Alert]:
        self._reader.moment += 1
        if packet.no_packet_inspect:
            return []
        flow = packet.flow
        if flow is not None and state_of(flow).settled:
            return []
        hits = self._packet_hits(packet)
        if flow is not None and flow.transactions and (packet.proto != TCP or packet.stream_established):
            for number, tx in self._transactions.inspect(packet):
                self.memory.apply(packet, self.rules[number].post)
                hits.append(Hit(number, tx))
        return self._finalize(packet, hits) if hits else []

    # --- packet rules ----------------------------------------------------------------------------------------
    def _packet_hits(self, packet: Packet) -> list[Hit]:
        groups = self._groups
        found: list[Hit] = []
        for number in groups.by_address.find(packet) if groups.ip_only and self._first(packet) else ():
            if header_fits(self.rules[number], packet):
                self._try(number, packet, found)
        candidates: set[int] = set(groups.header_only)
        for event in packet.events:
            candidates.update(groups.events.get(event, ()))
        if packet.version and not packet.invalid:
            candidates.update(groups.by_header.find(packet))
            self._scan_payload(packet, candidates)
        known = self._headers.of(packet)
        for number in sorted(candidates):
            if known is None:
                fits = header_fits(self.rules[number], packet)
            else:
                fits = self._headers.fits(number, packet, known)
            if fits:
                self._try(number, packet, found)
        return found

    def _scan_payload(self, packet: Packet, candidates: set[int]) -> None:
        """A fragment has no payload of its own; the datagram it is part of has."""
        matcher = self._groups.payload(packet.proto)
        if matcher is None or packet.no_payload_inspect or packet.fragment:
            return
        if not packet.pseudo and packet.payload_end > packet.payload_start:
            candidates |= matcher.scan(View(packet.payload))
        if packet.stream_data:
            candidates |= matcher.scan(View(packet.stream_data))

    def _try(self, number: int, packet: Packet, found: list[Hit]) -> None:
        if self.costs is None:
            self._judge(number, packet, found)
            return
        started, before = time.perf_counter(), len(found)
        self._judge(number, packet, found)
        self.costs.add(number, time.perf_counter() - started, matched=len(found) > before)

    def _judge(self, number: int, packet: Packet, found: list[Hit]) -> None:
        rule = self.rules[number]
        if rule.about_packets and packet.pseudo:
            return
        if rule.about_recognition and not packet.recognised:
            return
        if not application_fits(rule, packet):
            return
        scope = self._scope(packet)
        if self._checks_hold(rule, packet, scope) and self._payload_fits(rule, packet, scope):
            self.memory.apply(packet, rule.post)
            found.append(Hit(number, stream=bool(rule.payload and packet.stream_data)))

    def _first(self, packet: Packet) -> bool:
        """IP-only rules are judged for the first packet of each direction of a flow."""
        if not packet.version or packet.invalid or packet.pseudo:
            return False
        if packet.flow is None:
            return True
        seen = state_of(packet.flow).ip_only
        first = not seen[packet.direction]
        seen[packet.direction] = True
        return first

    def _header_fits(self, number: int, packet: Packet) -> bool:
        known = self._headers.of(packet)
        if known is None:
            return header_fits(self.rules[number], packet)
        return self._headers.fits(number, packet, known)

    def _admits_transaction(self, number: int, packet: Packet, scope: Scope) -> bool:
        return self._header_fits(number, packet) and self._checks_hold(self.rules[number], packet, scope)

    def _checks_hold(self, rule: Rule, packet: Packet, scope: Scope) -> bool:
        for check in rule.checks:
            if not CHECKS[check.name](packet, self.memory, *check.args):
                return False
        for part in rule.packet_parts:
            view = packet_view(packet, part)
            if view is None or not holds(part.matches, view, scope):
                return False
        return True

    def _payload_fits(self, rule: Rule, packet: Packet, scope: Scope) -> bool:
        if not rule.payload:
            return True
        if packet.no_payload_inspect:
            return False
        streamed = rule.mode != "packet" and packet.proto == TCP
        payload = b"" if packet.pseudo or packet.fragment else packet.payload
        left_to_stream = streamed and rule.mode != "both" and packet.stream_added
        if rule.absent is not None:
            searched = packet.stream_data if streamed else None
            if _occurs(rule.absent, searched) or (not left_to_stream and _occurs(rule.absent, payload)):
                return False
        if streamed:
            if packet.stream_data and holds(rule.payload, View(packet.stream_data), scope):
                return True
            if rule.mode == "stream" or left_to_stream:
                return False
        # An empty payload is looked at when the stream's time has come: negated contents hold in it.
        looked_at = bool(payload) or (packet.stream_data is not None and not packet.pseudo)
        return looked_at and holds(rule.payload, View(payload), scope)

    def _scope(self, packet: Packet) -> Scope:
        return Scope(in_set=self.memory.in_set, captured=self.memory.capture(packet))

    # --- alerts ----------------------------------------------------------------------------------------------
    def _finalize(self, packet: Packet, hits: list[Hit]) -> list[Alert]:
        hits.sort(key=lambda hit: (hit.number, hit.tx.index if hit.tx else -1))
        alerts: list[Alert] = []
        queued = [hit for hit in hits if not self.rules[hit.number].noalert]
        for hit in queued[: self._limit]:
            rule = self.rules[hit.number]
            verdict = self._thresholds.verdict(rule, packet)
            if verdict is not Verdict.WRITE:  # a rate_filter that passes hides its own rule only
                continue
            passing = rule.action == "pass"
            if (rule.action == "pass" and "alert" in rule.keywords) or not passing:
                alerts.append(make_alert(rule, packet, hit.tx, self._host, self._fields, stream=hit.stream))
            decides = passing or rule.action in BLOCKING
            if decides and packet.flow is not None and (hit.tx is not None or hit.stream or whole_flow(rule)):
                state_of(packet.flow).settled = True
            if passing:
                break
        return alerts
