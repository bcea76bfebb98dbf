"""Rules arranged by what brings them up: an event, a new flow, a pattern in the payload or in a buffer, or nothing.

In: rules in order. Out: `Groups`, in which a rule's number is its place in that order.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from sentinel.detect.alternatives import weight
from sentinel.detect.anchors import payload_choices
from sentinel.detect.buffers import BUFFERS
from sentinel.detect.index import AddressIndex, HeaderIndex
from sentinel.detect.matcher import Matcher
from sentinel.detect.protocols import PROTOCOLS

if TYPE_CHECKING:
    from pathlib import Path

    from sentinel.detect.rule import Check, Rule

Key = tuple[str, "tuple[Check, ...]"]  # buffer and its transforms
ANY_APPLICATION = ""
PAYLOADS = (6, 17, 1, 58)  # IP protocols with patterns of their own: TCP, UDP, ICMP, ICMPv6
OTHER = -1
# How rare bytes must be to be worth a search: "get" or "set" is everywhere, and a rule about one port is dismissed by its port.
RARE, RARE_ON_A_PORT = 9, 13


class Groups:
    def __init__(self, rules: list[Rule], cache: Path | None = None) -> None:
        self.rules = rules
        self.events: dict[str, list[int]] = defaultdict(list)
        self.ip_only: list[int] = []
        self.packet: list[int] = []  # looked at for every packet
        self.header_only: list[int] = []  # pkthdr rules: also for packets that cannot be decoded
        self.recurrent = {number for number, rule in enumerate(rules) if rule.searched[1]}
        self.always: dict[str, tuple[list[int], list[int]]] = {}  # application -> rules of each direction
        payload: dict[int, list[tuple[bytes, bool, int]]] = {proto: [] for proto in (*PAYLOADS, OTHER)}
        buffers: dict[Key, list[tuple[bytes, bool, int]]] = defaultdict(list)
        for number, rule in enumerate(rules):
            self._place(number, rule, payload, buffers)
        self.by_address = AddressIndex(rules, self.ip_only)
        self.by_header = HeaderIndex(rules, self.packet)
        self._payload = {proto: Matcher(entries, cache) for proto, entries in payload.items() if entries}
        self.patterns: dict[str, tuple[list[tuple[Key, Matcher]], list[tuple[Key, Matcher]]]] = {}
        matchers = {key: Matcher(entries, cache) for key, entries in buffers.items()}
        for key, matcher in matchers.items():
            buffer = BUFFERS[key[0]]
            for protocol in buffer.protocols or {ANY_APPLICATION}:
                both = self.patterns.setdefault(protocol, ([], []))
                for direction, reaches in enumerate((buffer.to_server, buffer.to_client)):
                    if reaches:
                        both[direction].append((key, matcher))

    def payload(self, proto: int) -> Matcher | None:
        return self._payload.get(proto if proto in PAYLOADS else OTHER)

    def file_bits(self, number: int, direction: int) -> int:
        """The bits (as transactions keep them) of a rule's parts about files."""
        parts = self.rules[number].parts[direction]
        return sum(1 << i for i, part in enumerate(parts) if part.buffer == "file")

    def _place(
        self,
        number: int,
        rule: Rule,
        payload: dict[int, list[tuple[bytes, bool, int]]],
        buffers: dict[Key, list[tuple[bytes, bool, int]]],
    ) -> None:
        event = next((check.args[0] for check in rule.checks if check.name == "event"), None)
        fast = rule.fast
        if rule.stateful:
            if fast is not None and fast.buffer in BUFFERS:
                buffers[fast.buffer, fast.transforms].append((fast.pattern, fast.nocase, number))
                return
            for protocol in rule.applications or {ANY_APPLICATION}:
                both = self.always.setdefault(protocol, ([], []))
                for direction in (0, 1):
                    if rule.parts[direction]:
                        both[direction].append(number)
        elif event is not None:
            self.events[event].append(number)
        elif rule.ip_only:
            self.ip_only.append(number)
        elif PROTOCOLS[rule.protocol].mode == "pkthdr":
            self.header_only.append(number)
        else:
            patterns = _patterns(rule)
            if not patterns:
                self.packet.append(number)
            for proto, entries in payload.items():
                if rule.ip_protocols is None or proto in rule.ip_protocols:
                    entries.extend((pattern, nocase, number) for pattern, nocase in patterns)


def _patterns(rule: Rule) -> list[tuple[bytes, bool]]:
    """Bytes of which one must stand in a payload before the rule is looked at, and whether their case is ignored."""
    fast = rule.fast
    if fast is not None:
        return [(fast.pattern, fast.nocase)] if fast.buffer == "payload" else []
    found = payload_choices(rule.payload)
    anywhere = rule.source_ports.everything and rule.destination_ports.everything
    if weight(found) < (RARE if anywhere else RARE_ON_A_PORT):
        return []
    return [(choice[0], True) for choice in found]
