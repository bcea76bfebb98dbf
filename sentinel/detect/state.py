"""What detection remembers between packets: bits, counters and variables of flows and hosts, data sets, reputations.

All tables are bounded: the entry unused for longest goes first and is counted. Time is event time throughout.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sentinel import metrics
from sentinel.detect.arguments import compare
from sentinel.detect.reputation import Reputation

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from sentinel.detect.datasets import DataSets
    from sentinel.detect.rule import Check
    from sentinel.model import Flow, Packet

HOST_LIMIT = 50_000  # hosts and host pairs with bits; Suricata's host table holds about as many in 32 MB
BITS_LIMIT = 1_024  # names on one flow or host
NEVER = 1 << 63


@dataclass(slots=True)
class FlowState:
    bits: set[str] = field(default_factory=set)
    integers: dict[str, int] = field(default_factory=dict)
    variables: dict[str, bytes] = field(default_factory=dict)
    ip_only: list[bool] = field(default_factory=lambda: [False, False])
    settled: bool = False  # a pass or drop rule decided about the whole flow


def state_of(flow: Flow) -> FlowState:
    state = flow.detect_state
    if state is None:
        state = flow.detect_state = FlowState()
    assert isinstance(state, FlowState)
    return state


class Memory:
    """Everything but the rules; survives a reload of rules."""

    def __init__(self, sets: DataSets, countries: Callable[[bytes], str] | None = None) -> None:
        self.sets = sets
        self._countries = countries
        self._hosts: OrderedDict[Hashable, dict[str, int]] = OrderedDict()
        self.reputation = Reputation({})  # replaced when rules are loaded

    # --- bits ------------------------------------------------------------------------------------------------
    def _key(self, packet: Packet, track: str) -> Hashable:
        if track == "ip_src":
            return packet.src
        if track == "ip_dst":
            return packet.dst
        return (min(packet.src, packet.dst), max(packet.src, packet.dst))

    def _isset(self, packet: Packet, name: str, track: str) -> bool:
        if track in {"flow", "tx"}:
            return packet.flow is not None and name in state_of(packet.flow).bits
        bits = self._hosts.get(self._key(packet, track))
        return bits is not None and bits.get(name, -1) >= packet.time

    def has_bits(self, packet: Packet, command: str, names: tuple[str, ...], track: str, expire: int) -> bool:
        if track == "flow" and packet.flow is None:
            return False
        found = any(self._isset(packet, name, track) for name in names)
        return found if command == "isset" else not found

    def change_bits(
        self, packet: Packet, command: str, names: tuple[str, ...], track: str, expire: int
    ) -> None:
        for name in names:
            setting = command == "set" or (command == "toggle" and not self._isset(packet, name, track))
            if track in {"flow", "tx"}:
                if packet.flow is not None:
                    bits = state_of(packet.flow).bits
                    if setting and len(bits) < BITS_LIMIT:
                        bits.add(name)
                    else:
                        bits.discard(name)
                continue
            until = packet.time + expire * 1_000_000_000 if expire else NEVER
            host = self._host(self._key(packet, track))
            if setting and len(host) < BITS_LIMIT:
                host[name] = until
            else:
                host.pop(name, None)

    def _host(self, key: Hashable) -> dict[str, int]:
        bits = self._hosts.get(key)
        if bits is None:
            bits = self._hosts[key] = {}
            if len(self._hosts) > HOST_LIMIT:
                self._hosts.popitem(last=False)
                metrics.detect_evictions.inc(table="host_bits")
        else:
            self._hosts.move_to_end(key)
        return bits

    # --- integers and variables ------------------------------------------------------------------------------
    def has_integer(self, packet: Packet, name: str, operator: str, operand: int | str) -> bool:
        if packet.flow is None:
            return False
        integers = state_of(packet.flow).integers
        if operator in {"isset", "isnotset"}:
            return (name in integers) is (operator == "isset")
        wanted = integers.get(operand) if isinstance(operand, str) else operand
        if name not in integers or wanted is None:
            return False
        return compare(integers[name], ({"==": "="}.get(operator, operator), wanted, 0))

    def change_integer(self, packet: Packet, name: str, operator: str, operand: int | str) -> None:
        if packet.flow is None:
            return
        integers = state_of(packet.flow).integers
        amount = integers.get(operand, 0) if isinstance(operand, str) else operand
        if name not in integers and len(integers) >= BITS_LIMIT:
            return
        current = integers.get(name, 0)
        integers[name] = {"=": amount, "+": current + amount, "-": current - amount}[operator]

    def has_variable(self, packet: Packet, name: str, text: bytes) -> bool:
        return packet.flow is not None and text in state_of(packet.flow).variables.get(name, b"")

    def capture(self, packet: Packet) -> Callable[[str, str, bytes], None]:
        def keep(kind: str, name: str, value: bytes) -> None:
            if kind == "flow" and packet.flow is not None:
                variables = state_of(packet.flow).variables
                if name in variables or len(variables) < BITS_LIMIT:
                    variables[name] = value[:4096]

        return keep

    # --- data about addresses --------------------------------------------------------------------------------
    def in_country(self, packet: Packet, side: str, negated: bool, countries: tuple[str, ...]) -> bool:
        if self._countries is None or not packet.version:
            return False
        lookup = self._countries

        def inside(address: bytes) -> bool:
            country = lookup(address)
            return bool(country) and (country in countries) is not negated

        source, destination = (
            (inside(packet.src), inside(packet.dst)) if side in {"any", "both"} else (False, False)
        )
        if side == "src":
            return inside(packet.src)
        if side == "dst":
            return inside(packet.dst)
        return source and destination if side == "both" else source or destination

    def has_reputation(self, packet: Packet, side: str, category: str, operator: str, wanted: int) -> bool:
        """As Suricata 7 decides; that `isnotset` takes 0 for unset at one end, and never holds for both, is its way."""
        scores = self.reputation.score(category, packet.src), self.reputation.score(category, packet.dst)
        if operator == "isnotset":
            absent = [score < 0 if side == "any" else score <= 0 for score in scores]
            return {"src": absent[0], "dst": absent[1], "both": False, "any": any(absent)}[side]
        holds = [
            score >= 0 and (operator == "isset" or compare(score, (operator, wanted, 0))) for score in scores
        ]
        return {"src": holds[0], "dst": holds[1], "both": all(holds), "any": any(holds)}[side]

    def in_set(self, match: Any, data: bytes) -> bool:
        return self.sets.match(match, data)

    # --- effects ---------------------------------------------------------------------------------------------
    def apply(self, packet: Packet, effects: tuple[Check, ...]) -> None:
        for effect in effects:
            if effect.name == "flowint":
                self.change_integer(packet, *effect.args)
            else:
                self.change_bits(packet, *effect.args)
