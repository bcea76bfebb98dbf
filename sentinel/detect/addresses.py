"""Address and port groups of rule headers: text with variables, lists and negation -> sorted ranges.

Invariant: `ranges` are disjoint and ascending, so membership is one bisection. A list means (its positive members,
or everything if there are none) minus its negated members; Suricata rule manual, "Source and destination".
"""

from __future__ import annotations

import ipaddress
import re
from bisect import bisect_right
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

Ranges = tuple[tuple[int, int], ...]

ALL4: Ranges = ((0, (1 << 32) - 1),)
ALL6: Ranges = ((0, (1 << 128) - 1),)
ALL_PORTS: Ranges = ((0, 65535),)
NESTING_LIMIT = 64  # as Suricata: variables that refer to themselves are refused


class AddressSet(NamedTuple):
    four: Ranges
    six: Ranges

    @property
    def everything(self) -> bool:
        return self.four == ALL4 and self.six == ALL6

    def has(self, address: bytes) -> bool:
        ranges = self.four if len(address) == 4 else self.six
        return within(ranges, int.from_bytes(address, "big"))


class PortSet(NamedTuple):
    ranges: Ranges

    @property
    def everything(self) -> bool:
        return self.ranges == ALL_PORTS

    def has(self, port: int) -> bool:
        return within(self.ranges, port)


ANY_ADDRESS = AddressSet(ALL4, ALL6)
ANY_PORT = PortSet(ALL_PORTS)


def within(ranges: Ranges, value: int) -> bool:
    at = bisect_right(ranges, (value, 1 << 129)) - 1
    return at >= 0 and ranges[at][0] <= value <= ranges[at][1]


def union(ranges: list[tuple[int, int]]) -> Ranges:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def subtract(ranges: Ranges, holes: Ranges) -> Ranges:
    left = list(ranges)
    for hole_low, hole_high in holes:
        cut = []
        for low, high in left:
            if hole_high < low or hole_low > high:
                cut.append((low, high))
                continue
            if low < hole_low:
                cut.append((low, hole_low - 1))
            if high > hole_high:
                cut.append((hole_high + 1, high))
        left = cut
    return tuple(left)


def split_list(text: str) -> list[str]:
    """Members of "[a, !b, [c, d]]" or of "a"; nested lists stay whole."""
    text = text.strip()
    if not text.startswith("["):
        return [text]
    if not text.endswith("]"):
        raise ValueError(f"unbalanced brackets in {text}")
    members, depth, start = [], 0, 1
    for i, character in enumerate(text):
        if character == "[":
            depth += 1
        elif character == "]":
            depth -= 1
            if depth < 0 or (depth == 0 and i != len(text) - 1):
                raise ValueError(f"unbalanced brackets in {text}")
        if (character == "," and depth == 1) or (character == "]" and depth == 0):
            members.append(text[start:i].strip())
            start = i + 1
    if depth:
        raise ValueError(f"unbalanced brackets in {text}")
    return members


def addresses(text: str, variables: Mapping[str, str]) -> AddressSet:
    found = AddressSet(_resolve(text, variables, 4, 0), _resolve(text, variables, 6, 0))
    if not found.four and not found.six:
        raise ValueError(f"address group {text} contains no address")
    return found


def ports(text: str, variables: Mapping[str, str]) -> PortSet:
    found = PortSet(_resolve(text, variables, 0, 0))
    if not found.ranges:
        raise ValueError(f"port group {text} contains no port")
    return found


def _resolve(text: str, variables: Mapping[str, str], version: int, depth: int) -> Ranges:
    """Ranges of one expression; `version` 4 or 6 asks for addresses, 0 for ports."""
    if depth > NESTING_LIMIT:
        raise ValueError(f"{text} is nested too deeply")
    text = text.strip()
    everything = {4: ALL4, 6: ALL6, 0: ALL_PORTS}[version]
    if text.startswith("!"):
        if text[1:].strip() == "any":
            raise ValueError("!any matches nothing")
        return _all_but(everything, _resolve(text[1:], variables, version, depth + 1))
    if text.startswith("$"):
        name = text[1:]
        if name not in variables:
            raise ValueError(f"variable ${name} is not defined")
        return _resolve(variables[name], variables, version, depth + 1)
    if not text.startswith("["):
        return _single(text, version)
    wanted: list[tuple[int, int]] = []
    holes: list[tuple[int, int]] = []
    for member in split_list(text):
        if not member:
            raise ValueError(f"empty member in {text}")
        inner = _expanded(member, variables)
        if inner.startswith("!"):
            holes += _resolve(inner[1:], variables, version, depth + 1)
        else:
            wanted += _resolve(inner, variables, version, depth + 1)
    return subtract(union(wanted), union(holes)) if wanted else _all_but(everything, union(holes))


def _all_but(everything: Ranges, holes: Ranges) -> Ranges:
    """What is not among IPv4 addresses is an IPv4 address: as in Suricata, !10.0.0.0/8 says nothing about IPv6."""
    return subtract(everything, holes) if holes else ()


def _expanded(member: str, variables: Mapping[str, str]) -> str:
    """A variable that itself is a negation counts as a negated member."""
    if member.startswith("$") and variables.get(member[1:], "").strip().startswith("!"):
        return variables[member[1:]].strip()
    if member.startswith("!$") and variables.get(member[2:], "").strip().startswith("!"):
        return variables[member[2:]].strip()[1:]
    return member


def _single(text: str, version: int) -> Ranges:
    if text == "any":
        return {4: ALL4, 6: ALL6, 0: ALL_PORTS}[version]
    if version == 0:
        return _port(text)
    return _address(text, version)


def _port(text: str) -> Ranges:
    found = re.fullmatch(r"(\d*)\s*(:?)\s*(\d*)", text)
    if not found or not text or text == ":":
        raise ValueError(f"{text!r} is not a port")
    low = int(found[1] or 0)
    high = int(found[3] or 65535) if found[2] else low
    if not 0 <= low <= high <= 65535:
        raise ValueError(f"{text} is not a port range")
    return ((low, high),)


@lru_cache(maxsize=4096)
def _address(text: str, version: int) -> Ranges:
    try:
        if "-" in text:
            first, last = (ipaddress.ip_address(end.strip()) for end in text.split("-", 1))
            if first.version != last.version or int(first) > int(last):
                raise ValueError
            return ((int(first), int(last)),) if first.version == version else ()
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is not an address") from None
    if network.version != version:
        return ()
    return ((int(network.network_address), int(network.broadcast_address)),)
