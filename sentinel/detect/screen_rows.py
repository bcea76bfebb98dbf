"""Rules that have no content, asked of a whole batch of headers at once.

In: Headers (a structure of arrays, one entry a packet). Out: True where such a rule might match. Conditions that are
not about addresses, ports, flags, sizes or TTL are taken as fulfilled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Set as AbstractSet

    from numpy.typing import NDArray

    from sentinel.detect.addresses import AddressSet, PortSet, Ranges
    from sentinel.detect.arguments import Comparison
    from sentinel.detect.rule import Rule

    Mask = NDArray[np.bool_]
    Ints = NDArray[np.int64]


WIDE = 1 << 20  # addresses; a rule about more than that on both sides is asked by itself


def _width(ranges: Ranges) -> int:
    return sum(high - low + 1 for low, high in ranges)


_BY_PACKET = {
    "tcp.flags",
    "dsize",
    "ttl",
    "ip_proto",
    "flow",
}  # conditions that a session's first packet decides
_OF_SIZES = {"flow", "stream_size"}


NEVER = 1 << 62  # bytes


class RowScreen:
    def __init__(self, packet_rules: Iterable[Rule], ip_only: Iterable[Rule]) -> None:
        self._rules: list[Rule] = []
        self._lone: list[Rule] = []
        self._sized: list[Rule] = []
        self.large = NEVER  # bytes of a direction, below which no rule about sizes matches
        for rule in packet_rules:
            least = _least_size(rule) if _stands_alone(rule, _OF_SIZES) else 0
            if least > 0 and all(each.kind == "limit" for each in rule.thresholds) and rule.thresholds:
                self._sized.append(rule)
                self.large = min(self.large, least)
            else:
                (self._lone if _stands_alone(rule, _BY_PACKET) else self._rules).append(rule)
        self._listed: list[tuple[int, int]] = []
        self._listed_six = False
        for rule in ip_only:
            narrow = min((rule.source.four, rule.destination.four), key=_width)
            if _width(narrow) > WIDE:
                self._rules.append(rule)
            else:
                self._listed += narrow
                self._listed_six |= bool(rule.source.six and rule.destination.six)
        self._bounds = _bounds(tuple(self._listed))

    def rows(self, headers: Any) -> Mask:
        count = len(headers.proto)
        found: Mask = np.zeros(count, np.bool_)
        if self._listed:
            found |= _inside(headers.src4, self._bounds) | _inside(headers.dst4, self._bounds)
        if self._listed_six:
            found |= headers.version == 6  # listed IPv6 addresses are looked up packet by packet
        for rule in self._rules:
            found |= _fits(rule, headers)
        return found

    def lone(self, headers: Any) -> Mask:
        """Rows that rules may match which need nothing of a flow but its first packet."""
        return _any(self._lone, headers)

    def sized(self, headers: Any) -> Mask:
        """Rows that rules about the size of a session may match, which are content with one packet now and then."""
        return _any(self._sized, headers)


def _any(rules: Iterable[Rule], headers: Any) -> Mask:
    found: Mask = np.zeros(len(headers.proto), np.bool_)
    for rule in rules:
        found |= _fits(rule, headers)
    return found


def _least_size(rule: Rule) -> int:
    """What one direction or both must have carried at least before the rule can match."""
    sizes = (check.args for check in rule.checks if check.name == "stream_size")
    return max((wanted[1] for side, wanted in sizes if wanted[0] in {">", ">="}), default=0)


def _stands_alone(rule: Rule, checks: AbstractSet[str]) -> bool:
    return (
        rule.action == "alert"
        and rule.mode == "packet"
        and not (rule.payload or rule.packet_parts or rule.stateful or rule.applications or rule.post)
        and all(check.name in checks for check in rule.checks)
        and all(each.track != "by_flow" for each in rule.thresholds)
    )


def _bounds(ranges: Ranges) -> Ints:
    merged = sorted(ranges)
    flat: list[int] = []
    for low, high in merged:
        if flat and low < flat[-1]:
            flat[-1] = max(flat[-1], high + 1)
        else:
            flat += [low, high + 1]
    return np.array(flat, np.int64)


def _inside(values: Ints, bounds: Ints) -> Mask:
    """Odd number of bounds at or below: inside a range."""
    inside: Mask = np.searchsorted(bounds, values, side="right") % 2 == 1
    return inside


def _fits(rule: Rule, headers: Any) -> Mask:
    fits: Mask = np.ones(len(headers.proto), np.bool_)
    if rule.ip_protocols is not None:
        fits &= _one_of(headers.proto, rule.ip_protocols)
        if not fits.any():
            return fits
    if rule.payload:
        fits &= headers.payload_end > headers.payload_start
    for check in rule.checks:
        if check.name == "tcp.flags":
            fits &= _flags(headers.tcp_flags, *check.args) & (headers.proto == 6)
        elif check.name == "dsize":
            fits &= _compared(headers.payload_end - headers.payload_start, check.args[0])
        elif check.name == "ttl":
            fits &= _compared(headers.ttl, check.args[0])
        elif check.name == "ip_proto":
            fits &= _compared(headers.proto, check.args[0])
    if not fits.any():
        return fits
    forth = _one_way(rule, headers.src4, headers.dst4, headers.sport, headers.dport, headers.version)
    if rule.both_ways:
        forth |= _one_way(rule, headers.dst4, headers.src4, headers.dport, headers.sport, headers.version)
    return fits & forth


def _one_of(values: Ints, wanted: frozenset[int]) -> Mask:
    found: Mask = np.zeros(len(values), np.bool_)
    for value in wanted:  # two at most, as a rule; numpy.isin would sort
        found |= values == value
    return found


def _one_way(rule: Rule, src: Ints, dst: Ints, sport: Ints, dport: Ints, version: Ints) -> Mask:  # noqa: PLR0917
    fits: Mask = (
        _ports(rule.source_ports, sport)
        & _ports(rule.destination_ports, dport)
        & _addresses(rule.source, src, version)
        & _addresses(rule.destination, dst, version)
    )
    return fits


def _ports(ports: PortSet, values: Ints) -> Mask:
    return np.ones(len(values), np.bool_) if ports.everything else _inside(values, _bounds(ports.ranges))


def _addresses(group: AddressSet, values: Ints, version: Ints) -> Mask:
    """IPv6 addresses are not looked at: any will do where the group has some."""
    if group.everything:
        return np.ones(len(values), np.bool_)
    fits: Mask = np.where(version == 6, bool(group.six), _inside(values, _bounds(group.four)))
    return fits


def _flags(flags: Ints, modifier: str, wanted: int, kept: int) -> Mask:
    seen = flags & kept
    result: Mask = {
        "": seen == wanted,
        "*": (seen & wanted) != 0,
        "+": (seen & wanted) == wanted,
        "!": (seen & wanted) != wanted,
    }[modifier]
    return result


def _compared(values: Ints, wanted: Comparison) -> Mask:
    operator, first, second = wanted
    tests: dict[str, Callable[[], Mask]] = {
        "=": lambda: values == first,
        "!=": lambda: values != first,
        "<": lambda: values < first,
        ">": lambda: values > first,
        "<=": lambda: values <= first,
        ">=": lambda: values >= first,
        "range": lambda: (values > first) & (values < second),
    }
    return tests[operator]()
