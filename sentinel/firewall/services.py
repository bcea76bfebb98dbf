"""Services as an operator writes them: `tcp/443`, `udp/60000-61000`, `icmp/echo-request`, `gre`, `any`; and rates."""

from __future__ import annotations

import re
from dataclasses import dataclass

WITH_PORTS = ("tcp", "udp", "sctp", "dccp", "udplite")
WITHOUT_PORTS = ("gre", "esp", "ah", "ipip", "igmp", "ospf", "vrrp", "any")
PROTOCOL_NUMBERS = {
    "icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "udp": 17, "dccp": 33, "gre": 47, "esp": 50, "ah": 51, "icmpv6": 58,
    "ospf": 89, "vrrp": 112, "sctp": 132, "udplite": 136,
}  # fmt: skip
# Only what a request can be: errors belong to a connection (`related`), neighbour discovery is always open.
ICMP_TYPES = {
    "icmp": {
        "echo-request": 8, "timestamp-request": 13, "info-request": 15, "address-mask-request": 17,
    },
    "icmpv6": {"echo-request": 128},
}  # fmt: skip
FAMILY_OF = {"icmp": 4, "icmpv6": 6, "igmp": 4, "ipip": 4}
RATE_UNITS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}


@dataclass(frozen=True, slots=True, order=True)
class Service:
    """`ports` are disjoint sorted ranges, `types` ICMP type names; both empty: the whole protocol."""

    protocol: str
    ports: tuple[tuple[int, int], ...] = ()
    types: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [str(low) if low == high else f"{low}-{high}" for low, high in self.ports] + list(self.types)
        return "/".join([self.protocol, *([",".join(parts)] if parts else [])])


@dataclass(frozen=True, slots=True)
class Rate:
    count: int
    unit: str
    burst: int
    per_source: bool = False


BUILT_IN: dict[str, tuple[Service, ...]] = {
    "ping": (Service("icmp", (), ("echo-request",)), Service("icmpv6", (), ("echo-request",))),
    "any": (Service("any"),),
}


def parse(text: str) -> Service:
    protocol, slash, rest = text.partition("/")
    if protocol in ICMP_TYPES:
        return _icmp(protocol, rest if slash else None, text)
    if protocol in WITHOUT_PORTS and not slash:
        return Service(protocol)
    if protocol in WITH_PORTS:
        return Service(protocol, _ports(rest, text) if slash else ())
    if slash or protocol in WITHOUT_PORTS:
        raise ValueError(f"{text!r} is not a service: protocols with ports are {', '.join(WITH_PORTS)}")
    raise ValueError(f"unknown service {text!r}")


def _icmp(protocol: str, name: str | None, text: str) -> Service:
    if name is None:
        return Service(protocol)
    if name not in ICMP_TYPES[protocol]:
        known = ", ".join(ICMP_TYPES[protocol])
        raise ValueError(
            f"{text!r}: a rule can allow the ICMP requests {known}; errors are always let through"
        )
    return Service(protocol, (), (name,))


def _ports(text: str, whole: str) -> tuple[tuple[int, int], ...]:
    ranges = []
    for part in text.split(","):
        low, _, high = part.partition("-")
        if not all(number.isascii() and number.isdigit() for number in (low, high or low)):
            raise ValueError(f"{whole!r}: {part!r} is not a port or a range of ports")
        first, last = int(low), int(high or low)
        if not 0 <= first <= last <= 65_535:
            raise ValueError(f"{whole!r}: ports are 0 to 65535, the lower one first")
        ranges.append((first, last))
    return _disjoint(ranges)


def _disjoint(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def combine(services: list[Service]) -> tuple[Service, ...]:
    """One Service a protocol, in the order they first appear; a whole protocol swallows its ports."""
    if any(service.protocol == "any" for service in services):
        return (Service("any"),)
    combined: dict[str, Service] = {}
    for service in services:
        known = combined.get(service.protocol)
        if known is None:
            combined[service.protocol] = service
        elif not (known.ports or known.types) or not (service.ports or service.types):
            combined[service.protocol] = Service(service.protocol)
        else:
            ports = _disjoint([*known.ports, *service.ports])
            types = tuple(dict.fromkeys([*known.types, *service.types]))
            combined[service.protocol] = Service(service.protocol, ports, types)
    return tuple(combined.values())


def parse_rate(text: str) -> Rate:
    """`10/minute`, `100/second burst 200`, `10/minute per source`."""
    pattern = rf"(\d+)/({'|'.join(RATE_UNITS)})(?:\s+burst\s+(\d+))?(\s+per\s+source)?"
    found = re.fullmatch(pattern, text.strip())
    if not found or not 0 < int(found[1]) < 1 << 31 or not 0 < int(found[3] or 5) < 1 << 31:
        raise ValueError(f"{text!r} is not a rate such as '10/minute' or '100/second burst 200 per source'")
    count, burst = int(found[1]), int(found[3] or 5)
    if RATE_UNITS[found[2]] * 1_000_000_000 // count * burst >= 1 << 63:  # the kernel counts in nanoseconds
        raise ValueError(f"{text!r}: a burst of {burst} would last longer than the kernel can count")
    return Rate(count, found[2], burst, bool(found[4]))
