"""Does a packet fit a rule's header: protocol, addresses, ports, direction, application?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.detect.checks import CHECKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentinel.detect.rule import Rule
    from sentinel.model import Packet

WITH_PORTS = {6, 17, 132}
ENDS_KEPT = 20_000  # pairs of ends whose verdicts are remembered; then the memory starts anew

Verdicts = dict[int, bool]


class HeaderVerdicts:
    """Which rules' headers fit a packet, remembered for all packets between the same two ends.

    Most rules that a packet's bytes bring up are about other ports; that is said once for a conversation.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._known: dict[tuple[object, ...], Verdicts] = {}

    def of(self, packet: Packet) -> Verdicts | None:
        """None for packets that show no ports, for which nothing is remembered."""
        if packet.proto not in WITH_PORTS or packet.fragment or not (packet.l4 or packet.pseudo):
            return None
        direction = packet.direction if packet.flow is not None else -1
        key = (
            packet.src,
            packet.sport,
            packet.dst,
            packet.dport,
            packet.proto,
            packet.version,
            direction,
            packet.pseudo,
        )
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= ENDS_KEPT:
                self._known.clear()
            found = self._known[key] = {}
        return found

    def fits(self, number: int, packet: Packet, known: Verdicts) -> bool:
        verdict = known.get(number)
        if verdict is None:
            rule = self._rules[number]
            verdict = known[number] = header_fits(rule, packet) and all(
                CHECKS[check.name](packet, None, *check.args)
                for check in rule.checks
                if check.name == "ip_proto"
            )
        return verdict


def header_fits(rule: Rule, packet: Packet) -> bool:
    if rule.ip_protocols is not None and packet.proto not in rule.ip_protocols:
        return False
    if rule.version and packet.version != rule.version:
        return False
    if not rule.directions[packet.direction]:  # a packet without a flow counts as going to a server
        return False
    return _forth(rule, packet) or (rule.both_ways and _back(rule, packet))


def application_fits(rule: Rule, packet: Packet) -> bool:
    if not rule.applications:
        return True
    return packet.flow is not None and packet.flow.app_proto in rule.applications


def _forth(rule: Rule, packet: Packet) -> bool:
    return (
        _ports(rule, packet, packet.sport, packet.dport)
        and (rule.source.everything or rule.source.has(packet.src))
        and (rule.destination.everything or rule.destination.has(packet.dst))
    )


def _back(rule: Rule, packet: Packet) -> bool:
    return (
        _ports(rule, packet, packet.dport, packet.sport)
        and (rule.source.everything or rule.source.has(packet.dst))
        and (rule.destination.everything or rule.destination.has(packet.src))
    )


def _ports(rule: Rule, packet: Packet, source: int, destination: int) -> bool:
    if rule.source_ports.everything and rule.destination_ports.everything:
        return True
    if packet.proto not in WITH_PORTS or packet.fragment or not (packet.l4 or packet.pseudo):
        return False
    return rule.source_ports.has(source) and rule.destination_ports.has(destination)
