"""Ruleset -> one nft script; nft's JSON listing of a set -> intervals.

Only `table inet sentinel` is ever named. `transaction` says how a table takes another one's place. Syntax as
nft 1.0.6 (Debian 12) reads and lists it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sentinel.firewall import intervals
from sentinel.firewall.ruleset import FAMILY, TABLE, Chain, Kind, Limit, Rule, Ruleset, Set, ban_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

REMOVE = f"table {FAMILY} {TABLE}\ndelete table {FAMILY} {TABLE}\n"
PRIORITY = "filter - 10"  # before other owners' filter chains: their accept cannot undo a drop, ours cannot undo theirs
ELEMENTS_PER_LINE = 64
SMALLEST_MILLISECONDS = 1
LONGEST_NANOSECONDS = 50 * 365 * 86_400 * 1_000_000_000  # nft counts a timeout in 32 bits of seconds
NFPROTO = {2: "ipv4", 10: "ipv6"}
TYPES = {4: "ipv4_addr", 6: "ipv6_addr"}
HEADERS = {0: "", 4: "ip", 6: "ip6"}
RATE_SET_SIZE = 65_535  # bounded: a flood of spoofed sources must not eat kernel memory


@dataclass(frozen=True, slots=True)
class BanElement:
    """One kernel element of a ban; times in nanoseconds, counters carried over a replacement."""

    family: int
    length: int
    network: int
    total: int
    left: int
    packets: int = 0
    bytes: int = 0

    @property
    def set_name(self) -> str:
        return ban_set(self.family, self.length)

    def key(self) -> str:
        return intervals.format_address(self.family, self.network)

    def __str__(self) -> str:
        counter = f" counter packets {self.packets} bytes {self.bytes}" if self.packets else ""
        return f"{self.key()}{counter} timeout {duration(self.total)} expires {duration(self.left)}"


def render(ruleset: Ruleset, now: int) -> str:
    """The whole table in place of any other, for files: it knows nothing of what is in the kernel."""
    return REMOVE + table(ruleset, now)


def table(ruleset: Ruleset, now: int) -> str:
    return block([*sets_text(ruleset.sets, now), *chains_text(ruleset.chains)])


def block(parts: Iterable[str]) -> str:
    return f"table {FAMILY} {TABLE} {{\n{''.join(parts)}}}\n"


def sets_text(sets: Iterable[Set], now: int) -> Iterator[str]:
    for one in sets:
        elements = list(element_texts(one, one.elements, now))
        yield f"\tset {one.name} {{\n"
        yield from (f"\t\t{line}\n" for line in declaration(one))
        if elements:
            yield f"\t\telements = {{\n{_lines(elements)}\t\t}}\n"
        yield "\t}\n"


def chains_text(chains: Iterable[Chain]) -> Iterator[str]:
    for chain in chains:
        yield f"\tchain {chain.name} {{\n"
        if chain.hook:
            yield f"\t\t{hook_text(chain)} policy {chain.policy};\n"
        yield from (f"\t\t{rule_text(rule)}\n" for rule in chain.rules)
        yield "\t}\n"


def hook_text(chain: Chain) -> str:
    return f"type filter hook {chain.hook} priority {PRIORITY};" if chain.hook else ""


def fill(set_name: str, texts: list[str]) -> str:
    """Elements into a set, as a command of the same script."""
    return f"add element {FAMILY} {TABLE} {set_name} {{\n{_lines(texts)}}}\n" if texts else ""


def _lines(elements: list[str]) -> str:
    starts = range(0, len(elements), ELEMENTS_PER_LINE)
    return "".join(f"\t\t\t{', '.join(elements[start : start + ELEMENTS_PER_LINE])},\n" for start in starts)


def declaration(one: Set) -> Iterator[str]:
    yield "typeof meta nfproto" if one.kind is Kind.GATE else f"type {TYPES[one.family]}"
    match one.kind:
        case Kind.ADDRESSES:
            yield "flags interval,timeout" if one.timed else "flags interval"
        case Kind.BANS:
            yield "flags timeout"
            yield "counter"
        case Kind.GATE:
            yield "flags timeout"
        case Kind.RATE:
            yield f"size {RATE_SET_SIZE}"
            yield "flags dynamic,timeout"
            yield f"timeout {one.timeout_seconds}s"


def element_texts(one: Set, elements: Iterable[intervals.Interval], now: int) -> Iterator[str]:
    for first, last, until in elements:
        text = element_text(one, first, last)
        if until is None:
            yield text
        elif until - now >= SMALLEST_MILLISECONDS * 1_000_000:
            yield f"{text} timeout {duration(time_left(until, now))}"


def element_text(one: Set, first: int, last: int) -> str:
    return NFPROTO[first] if one.kind is Kind.GATE else intervals.format_interval(one.family, first, last)


def time_left(until: int, now: int) -> int:
    return min(until - now, LONGEST_NANOSECONDS)


def duration(nanoseconds: int) -> str:
    """At most 8 digits of one unit: more than that nft does not read."""
    milliseconds = max(nanoseconds // 1_000_000, SMALLEST_MILLISECONDS)
    if milliseconds < 100_000_000:
        return f"{milliseconds}ms"
    days, rest = divmod(milliseconds, 86_400_000)
    return f"{days}d{rest}ms" if rest else f"{days}d"


# --- one rule ---------------------------------------------------------------------------------------------------


def rule_text(rule: Rule) -> str:
    parts = [*_conditions(rule), *_statements(rule)]
    return " ".join(part for part in parts if part)


def _conditions(rule: Rule) -> Iterator[str]:
    header = HEADERS[rule.family]
    yield _interfaces("iifname", rule.in_interfaces)
    yield _interfaces("oifname", rule.out_interfaces)
    yield f"ct state {','.join(rule.states)}" if rule.states else ""
    yield f"meta nfproto @{rule.gate}" if rule.gate else ""
    if rule.family and not (rule.source or rule.destination or rule.rate_set or rule.types):
        yield f"meta nfproto ipv{rule.family}"
    if rule.source:
        yield f"{header} saddr {_mask(rule)}@{rule.source}"
    yield f"{header} daddr @{rule.destination}" if rule.destination else ""
    if rule.not_protocols:
        yield f"meta l4proto != {_braces(rule.not_protocols)}"
    if rule.types:
        yield f"{rule.protocol} type {'!= ' if rule.other_types else ''}{_braces(rule.types)}"
    elif rule.ports or rule.source_ports:
        yield f"{rule.protocol} sport {_ranges(rule.source_ports)}" if rule.source_ports else ""
        yield f"{rule.protocol} dport {_ranges(rule.ports)}" if rule.ports else ""
    elif rule.protocol:
        yield f"meta l4proto {PROTOCOL_NAMES.get(rule.protocol, rule.protocol)}"
    yield f"ip6 hoplimit {rule.hop_limit}" if rule.hop_limit else ""


def _statements(rule: Rule) -> Iterator[str]:
    limit = _limit(rule.limit) if rule.limit else ""
    if rule.rate_set:
        limit = f"update @{rule.rate_set} {{ {HEADERS[rule.family]} saddr {limit} }}"
    yield limit
    yield f'log prefix "{rule.log}"' if rule.log else ""
    yield "counter" if rule.counter else ""
    yield "reject with icmpx admin-prohibited" if rule.verdict == "reject" else rule.verdict
    yield f'comment "{rule.comment}"' if rule.comment else ""


PROTOCOL_NAMES = {"ipip": "4", "vrrp": "112", "ospf": "89", "igmp": "2"}  # not in every /etc/protocols


def _mask(rule: Rule) -> str:
    if not rule.source_length:
        return ""
    bits = intervals.BITS[rule.family]
    mask = ((1 << rule.source_length) - 1) << (bits - rule.source_length)
    return f"& {intervals.format_address(rule.family, mask)} "


def _limit(limit: Limit) -> str:
    over = "over " if limit.over else ""
    return f"limit rate {over}{limit.count}/{limit.unit} burst {limit.burst} packets"


def _interfaces(key: str, names: tuple[str, ...]) -> str:
    quoted = tuple(f'"{name}"' for name in names)
    return f"{key} {_braces(quoted)}" if names else ""


def _ranges(ranges: tuple[tuple[int, int], ...]) -> str:
    return _braces(tuple(str(low) if low == high else f"{low}-{high}" for low, high in ranges))


def _braces(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{{ {', '.join(words)} }}"


# --- elements of a listing --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Listed:
    """One element as the kernel has it; times in seconds as nft prints them, None without a timeout."""

    first: int
    last: int
    timeout: float | None = None
    expires: float | None = None
    packets: int = 0
    bytes: int = 0


def parse_sets(listing: bytes) -> dict[str, list[Listed]]:
    """Every set of a JSON listing by name."""
    found = (item["set"] for item in json.loads(listing)["nftables"] if "set" in item)
    return {
        one["name"]: [_listed(element, _FAMILIES.get(str(one["type"]), 0)) for element in one.get("elem", [])]
        for one in found
    }


_FAMILIES = {"ipv4_addr": 4, "ipv6_addr": 6}


def _listed(element: Any, family: int) -> Listed:
    if isinstance(element, dict) and "elem" in element:
        inner = element["elem"]
        first, last = _bounds(inner["val"], family)
        counter = inner.get("counter") or {}
        return Listed(
            first,
            last,
            inner.get("timeout"),
            inner.get("expires"),
            counter.get("packets", 0),
            counter.get("bytes", 0),
        )
    return Listed(*_bounds(element, family))


def _bounds(value: Any, family: int) -> tuple[int, int]:
    if isinstance(value, str):
        if not family:
            number = next(number for number, name in NFPROTO.items() if name == value)
            return number, number
        number = intervals.parse_address(value)[1]
        return number, number
    if "prefix" in value:
        first = intervals.parse_address(value["prefix"]["addr"])[1]
        return first, first + (1 << (intervals.BITS[family] - value["prefix"]["len"])) - 1
    low, high = value["range"]
    return intervals.parse_address(low)[1], intervals.parse_address(high)[1]
