"""Which rule of a policy decides about a packet, and why: evaluated from the policy, not from a trace.

An evaluator of its own, kept apart from `compile` on purpose: tests send real packets and compare the kernel's word
with this one, so that a mistake in either shows. It answers for the first packet of a connection; packets of a
known connection pass (`established`), their ICMP errors too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from sentinel.firewall import intervals
from sentinel.firewall.policy import Action, Direction
from sentinel.firewall.services import FAMILY_OF

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sentinel.firewall.networks import Network
    from sentinel.firewall.policy import Policy, Rule, Scope
    from sentinel.firewall.services import Service

Value = TypeVar("Value")
DISCOVERY = {
    Direction.INBOUND: {"nd-neighbor-solicit", "nd-neighbor-advert", "nd-router-advert"},
    Direction.OUTBOUND: {"nd-neighbor-solicit", "nd-neighbor-advert", "nd-router-solicit"},
    Direction.FORWARD: frozenset[str](),
}


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a connection. None: not known; a rule that asks for it may match (`Decision.unsure`)."""

    direction: Direction
    family: int
    source: int | None = None
    destination: int | None = None
    protocol: str = "tcp"
    port: int | None = None
    source_port: int | None = None
    icmp_type: str = ""
    in_interface: str | None = None
    out_interface: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    action: Action
    rule: str  # "inbound 3", "bans", "inbound default" ...
    line: int
    why: str
    unsure: tuple[str, ...] = ()


def decide(
    policy: Policy,
    packet: Packet,
    now: int,
    *,
    answers: Mapping[str, Sequence[str]] | None = None,
    bans: Iterable[Network] = (),
) -> Decision:
    return _Evaluation(policy, packet, now, answers or {}).decide(bans)


class _Evaluation:
    def __init__(
        self, policy: Policy, packet: Packet, now: int, answers: Mapping[str, Sequence[str]]
    ) -> None:
        self.policy, self.packet, self.now, self.answers = policy, packet, now, answers
        self.unsure: list[str] = []

    def decide(self, bans: Iterable[Network]) -> Decision:
        packet = self.packet
        edge = packet.in_interface if packet.direction is Direction.INBOUND else packet.out_interface
        if packet.direction is not Direction.FORWARD and edge == "lo":
            return Decision(Action.ACCEPT, "loopback", 0, "traffic of the host with itself is always allowed")
        return (
            self._failsafe()
            or self._banned(bans)
            or self._discovery()
            or self._rules(self.policy.rules[packet.direction])
            or self._default()
        )

    def _failsafe(self) -> Decision | None:
        if self.packet.direction is Direction.INBOUND:
            return self._rules(self.policy.failsafe)
        if self.packet.direction is Direction.FORWARD or self.packet.source_port is None:
            return None
        for rule in self.policy.failsafe:
            if self._answers_failsafe(rule):
                return Decision(
                    Action.ACCEPT, f"{rule.name} answers", rule.line, "an answer of a failsafe service"
                )
        return None

    def _answers_failsafe(self, rule: Rule) -> bool:
        packet = self.packet
        port = packet.source_port or 0
        service = any(
            one.protocol == packet.protocol and one.ports and _in_ranges(one.ports, port)
            for one in rule.services
        )
        scope = self._in_scope(rule.source, packet.destination, "destination address")
        return service and scope and self._on(rule.in_interfaces, packet.out_interface, "outgoing interface")

    def _banned(self, bans: Iterable[Network]) -> Decision | None:
        packet = self.packet
        if packet.direction is Direction.OUTBOUND or packet.source is None:
            return None
        never = self.policy.never_ban.answered(self.answers).of(packet.family)
        if intervals.contains(never, packet.source, self.now):
            return None
        for ban in bans:
            if ban.family == packet.family and ban.first <= packet.source <= ban.last:
                return Decision(Action.DROP, "bans", 0, f"{ban} is banned")
        return None

    def _discovery(self) -> Decision | None:
        if self.packet.protocol == "icmpv6" and self.packet.icmp_type in DISCOVERY[self.packet.direction]:
            return Decision(Action.ACCEPT, "neighbour discovery", 0, "IPv6 cannot work without it (RFC 4890)")
        return None

    def _rules(self, rules: tuple[Rule, ...]) -> Decision | None:
        for rule in rules:
            if self._matches(rule):
                return Decision(rule.action, rule.name, rule.line, _why(rule), tuple(self.unsure))
            self.unsure.clear()
        return None

    def _default(self) -> Decision:
        direction = self.packet.direction
        action = self.policy.default[direction]
        return Decision(
            action, f"{direction.value} default", 0, f"no rule matches; the default is {action.value}"
        )

    def _matches(self, rule: Rule) -> bool:
        packet = self.packet
        return (
            rule.lives(self.now)
            and any(self._is_service(service) for service in rule.services)
            and self._in_scope(rule.source, packet.source, "source address")
            and self._in_scope(rule.destination, packet.destination, "destination address")
            and self._on(rule.in_interfaces, packet.in_interface, "incoming interface")
            and self._on(rule.out_interfaces, packet.out_interface, "outgoing interface")
        )

    def _is_service(self, service: Service) -> bool:
        packet = self.packet
        if service.protocol == "any":
            return True
        if (
            service.protocol != packet.protocol
            or FAMILY_OF.get(service.protocol, packet.family) != packet.family
        ):
            return False
        if service.types:
            return packet.icmp_type in service.types
        return not service.ports or self._known(
            packet.port, lambda port: _in_ranges(service.ports, port), "port"
        )

    def _in_scope(self, scope: Scope | None, address: int | None, what: str) -> bool:
        if scope is None:
            return True
        inside = scope.addresses.answered(self.answers).of(self.packet.family)
        if address is None:
            return bool(inside) and self._known(None, bool, f"{what} in {scope.text}")
        return intervals.contains(inside, address, self.now)

    def _on(self, wanted: tuple[str, ...], name: str | None, what: str) -> bool:
        if not wanted:
            return True
        return self._known(name, lambda given: _is_one_of(given, wanted), f"{what} {', '.join(wanted)}")

    def _known(self, value: Value | None, matches: Callable[[Value], bool], what: str) -> bool:
        """An unknown value may match; say so instead of guessing silently."""
        if value is None:
            self.unsure.append(what)
            return True
        return matches(value)


def _is_one_of(name: str, patterns: tuple[str, ...]) -> bool:
    return any(name.startswith(one[:-1]) if one.endswith("*") else name == one for one in patterns)


def _in_ranges(ranges: tuple[tuple[int, int], ...], number: int) -> bool:
    return any(low <= number <= high for low, high in ranges)


def _why(rule: Rule) -> str:
    words = [f"{rule.action.value} {', '.join(map(str, rule.services))}"]
    if rule.source:
        words.append(f"from {rule.source.text}")
    if rule.destination:
        words.append(f"to {rule.destination.text}")
    if rule.in_interfaces or rule.out_interfaces:
        words.append(f"on {', '.join(rule.in_interfaces + rule.out_interfaces)}")
    if rule.rate:
        each = " per source" if rule.rate.per_source else ""
        words.append(f"up to {rule.rate.count}/{rule.rate.unit}{each}; beyond that later rules decide")
    if rule.reason:
        words.append(f"({rule.reason})")
    return " ".join(words)
