"""Which rules without a content can concern a packet at all, found without asking each rule.

`HeaderIndex` remembers, for each combination of protocol, ports and direction seen, the rules whose header allows it;
`AddressIndex` finds rules by the more selective of their two addresses. Both over-report: the rule is still checked.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from typing import TYPE_CHECKING

from sentinel.detect.header import WITH_PORTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sentinel.detect.addresses import AddressSet, Ranges
    from sentinel.detect.rule import Rule
    from sentinel.model import Packet

COMBINATIONS_KEPT = 20_000


class HeaderIndex:
    def __init__(self, rules: Sequence[Rule], numbers: Iterable[int]) -> None:
        self._rules = [(number, rules[number]) for number in numbers]
        self._known: OrderedDict[tuple[int, int, int, int], tuple[int, ...]] = OrderedDict()

    def find(self, packet: Packet) -> tuple[int, ...]:
        if not self._rules:
            return ()
        ported = packet.proto in WITH_PORTS
        key = (packet.proto, packet.sport if ported else -1, packet.dport if ported else -1, packet.version)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = tuple(n for n, rule in self._rules if _allows(rule, *key))
            if len(self._known) > COMBINATIONS_KEPT:
                self._known.popitem(last=False)
        return found


def _allows(rule: Rule, proto: int, sport: int, dport: int, version: int) -> bool:
    if rule.ip_protocols is not None and proto not in rule.ip_protocols:
        return False
    if rule.version and rule.version != version:
        return False
    if rule.source_ports.everything and rule.destination_ports.everything:
        return True
    if sport < 0:
        return False
    if rule.source_ports.has(sport) and rule.destination_ports.has(dport):
        return True
    return rule.both_ways and rule.source_ports.has(dport) and rule.destination_ports.has(sport)


class AddressIndex:
    def __init__(self, rules: Sequence[Rule], numbers: Iterable[int]) -> None:
        self._anywhere: list[int] = []
        chosen: list[tuple[int, AddressSet]] = []
        for number in numbers:
            rule = rules[number]
            narrow = min(rule.source, rule.destination, key=_breadth)
            if narrow.everything:
                self._anywhere.append(number)
            else:
                chosen.append((number, narrow))
        self._four = _Intervals((number, address.four) for number, address in chosen)
        self._six = _Intervals((number, address.six) for number, address in chosen)

    def find(self, packet: Packet) -> list[int]:
        intervals = self._four if packet.version == 4 else self._six
        found = {*intervals.at(packet.src), *intervals.at(packet.dst)}
        return sorted([*self._anywhere, *found]) if found else self._anywhere


def _breadth(addresses: AddressSet) -> int:
    return sum(high - low + 1 for low, high in addresses.four) + sum(
        (high - low + 1) >> 96 for low, high in addresses.six
    )


class _Intervals:
    """Between two neighbouring bounds the same rules apply."""

    def __init__(self, entries: Iterable[tuple[int, Ranges]]) -> None:
        changes: dict[int, list[tuple[int, bool]]] = {0: []}
        for number, ranges in entries:
            for low, high in ranges:
                changes.setdefault(low, []).append((number, True))
                changes.setdefault(high + 1, []).append((number, False))
        self._bounds = sorted(changes)
        self._rules: list[tuple[int, ...]] = []
        active: set[int] = set()
        previous: tuple[int, ...] = ()
        for bound in self._bounds:
            for number, enters in changes[bound]:
                (active.add if enters else active.discard)(number)
            now = tuple(sorted(active))
            previous = previous if now == previous else now
            self._rules.append(previous)

    def at(self, address: bytes) -> tuple[int, ...]:
        return self._rules[bisect_right(self._bounds, int.from_bytes(address, "big")) - 1]
