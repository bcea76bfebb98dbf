"""May any rule match these raw bytes? Asked before anything is parsed, once for many messages of a flow.

In: all rules in force; then headers of a batch (`rows`) and joined bytes of one direction of a flow (`stream`). Out:
yes, or how many of the last bytes belong to a message that goes on. One Hyperscan scan looks for the rarest piece of
every rule (see anchors); a rule whose piece is there must have all its pieces within one message. It may say yes too
often, never no wrongly: a flow about which it says no is never parsed. Only what is plainly HTTP/1, UDP or without data
can be passed by; every other TCP protocol is parsed, because its rules may be about computed buffers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sentinel.detect.addresses import within
from sentinel.detect.anchors import pieces
from sentinel.detect.fields import CACHED, Doubts, fields
from sentinel.detect.framing import REQUEST, RESPONSE, spans, unescaped
from sentinel.detect.matcher import literal
from sentinel.detect.prefilter import Pattern, Prefilter
from sentinel.detect.screen_rows import RowScreen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from sentinel.detect.groups import Groups
    from sentinel.detect.rule import Rule

CANDIDATE = -1
Ends = tuple[
    int, int, int, int, int
]  # protocol, ports and IPv4 addresses of source and destination (0: IPv6)
TCP, UDP, DNS_PORT = 6, 17, 53
KEPT_BYTES = 65_536  # of an unfinished message; a longer one is the parser's
SCREENED = {"http", "dns"}  # applications whose rules can be told from raw bytes
UDP_APPLICATIONS = {
    "quic", "sip", "snmp", "krb5", "ike", "dhcp", "tftp", "nfs", "ntp", "enip", "bittorrent-dht", "dcerpc",
}  # fmt: skip


class _Anchored(NamedTuple):
    rule: Rule
    others: tuple[bytes, ...]


class Screen:
    def __init__(self, rules: Sequence[Rule], groups: Groups, cache: Path | None = None) -> None:
        self._always: set[str] = set()  # applications that are parsed whatever they carry
        self._rows = RowScreen((rules[n] for n in groups.packet), (rules[n] for n in groups.ip_only))
        self.usable = not groups.header_only and not any(
            name.startswith(("applayer.", "stream.")) for name in groups.events
        )
        packet_rules = {*groups.packet, *groups.ip_only, *groups.header_only}
        packet_rules.update(n for numbers in groups.events.values() for n in numbers)
        judged = [rule for n, rule in enumerate(rules) if n not in packet_rules]
        self._scans = {
            (proto, direction): _Scan(direction, self._anchored(judged, proto, direction), cache)
            for proto in (TCP, UDP)
            for direction in (0, 1)
        }
        self._udp = bool(self._always & UDP_APPLICATIONS)

    def _anchored(
        self, rules: Iterable[Rule], proto: int, direction: int
    ) -> Iterable[tuple[bytes, _Anchored]]:
        for rule in rules:
            if not rule.directions[direction] or (
                rule.ip_protocols is not None and proto not in rule.ip_protocols
            ):
                continue
            if rule.stateful and not rule.parts[direction]:
                continue
            self._always |= rule.applications - SCREENED
            if rule.applications and not rule.applications & SCREENED:
                continue
            found = pieces(rule, direction)
            if found:
                yield found[0], _Anchored(rule, found[1:])
            else:
                self._always |= rule.applications or {"unknown"}

    def rows(self, headers: object) -> NDArray[np.bool_]:
        return self._rows.rows(headers)

    def stream(self, ends: Ends, to_server: bool, data: bytes, first: bool) -> int:
        """CANDIDATE, or how many of the last bytes to show again in front of the next ones."""
        proto, sport, dport = ends[:3]
        scan = self._scans[proto, 0 if to_server else 1]
        if proto == UDP:
            candidate = "dns" in self._always if DNS_PORT in {sport, dport} else self._udp
            return CANDIDATE if candidate or scan.finds(data, ends) else 0
        if (REQUEST if to_server else RESPONSE).match(data) is None or DNS_PORT in {sport, dport}:
            return CANDIDATE
        if "http" in self._always:
            return CANDIDATE
        framed = spans(data, request=to_server)
        if framed is None or len(data) - framed[1] > KEPT_BYTES:
            return CANDIDATE
        if to_server and b"%" in data:
            plain = unescaped(data)
            if plain != data and scan.finds(plain, ends):
                return CANDIDATE
        messages, rest = framed
        if (REQUEST if to_server else RESPONSE).match(data, rest) is not None:
            messages.append((rest, len(data)))  # perhaps all that ever comes of it
        if scan.finds_http(data, messages, ends):
            return CANDIDATE
        return len(data) - rest


class _Scan:
    """The anchors of one protocol and direction."""

    def __init__(
        self, direction: int, entries: Iterable[tuple[bytes, _Anchored]], cache: Path | None
    ) -> None:
        grouped: dict[bytes, list[_Anchored]] = {}
        for anchor, rule in entries:
            grouped.setdefault(anchor, []).append(rule)
        self._direction = direction
        self._anchors = list(grouped)
        self._rules = list(grouped.values())
        self._doubts = Doubts()
        self._suspects: dict[tuple[int, ...], int] = {}
        self._headers: dict[Ends, dict[int, bool]] = {}
        patterns = [
            Pattern(literal(anchor), caseless=True, dotall=True, single=True) for anchor in self._anchors
        ]
        self._prefilter = Prefilter.compile(patterns, cache)

    def finds_http(self, data: bytes, messages: list[tuple[int, int]], ends: Ends) -> bool:
        """May a rule match one of these framed messages, by its pieces and by the fields they stand in?"""
        hits = self._prefilter.scan(data)[0]
        if not hits or not messages:
            return False
        lower = data.lower()
        known = self._known(ends)

        def fitting(rule: Rule) -> bool:
            verdict = known.get(id(rule))
            if verdict is None:
                verdict = known[id(rule)] = _about_http(rule) and _header_fits(rule, ends)
            return verdict

        wanted = {
            id(each.rule): (self._anchors[hit], each)
            for hit in hits
            for each in self._rules[hit]
            if fitting(each.rule) and all(piece in lower for piece in each.others)
        }
        if not wanted:
            return False
        suspects = tuple(each.rule for _, each in wanted.values())
        identity = self._identity(tuple(wanted))
        for low, high in messages:
            found = fields(data[low:high], request=self._direction == 0)
            if found is None:
                return True
            for rule in self._doubts.possible(suspects, identity, self._direction, found):
                anchor, each = wanted[id(rule)]
                if all(lower.find(piece, low, high) >= 0 for piece in (anchor, *each.others)):
                    return True
        return False

    def _known(self, ends: Ends) -> dict[int, bool]:
        """What is known already about rules' headers and this end of a flow."""
        found = self._headers.get(ends)
        if found is None:
            if len(self._headers) >= CACHED:
                self._headers.clear()
            found = self._headers[ends] = {}
        return found

    def _identity(self, rules: tuple[int, ...]) -> int:
        """A small number for a set of rules, for cache keys."""
        if len(self._suspects) > CACHED:
            self._suspects.clear()
            self._doubts = Doubts()
        return self._suspects.setdefault(rules, len(self._suspects))

    def finds(self, data: bytes, ends: Ends) -> bool:
        """Do these bytes hold all pieces of a rule?"""
        hits = self._prefilter.scan(data)[0]
        if not hits:
            return False
        lower = data.lower()
        return any(
            _header_fits(each.rule, ends) and all(piece in lower for piece in each.others)
            for hit in hits
            for each in self._rules[hit]
        )


def _about_http(rule: Rule) -> bool:
    return not rule.applications or "http" in rule.applications


def _header_fits(rule: Rule, ends: Ends) -> bool:
    _, sport, dport, source, destination = ends
    return _one_way(rule, sport, dport, source, destination) or (
        rule.both_ways and _one_way(rule, dport, sport, destination, source)
    )


def _one_way(rule: Rule, sport: int, dport: int, source: int, destination: int) -> bool:
    """IPv6 addresses are not looked at here."""
    if not (rule.source_ports.has(sport) and rule.destination_ports.has(dport)):
        return False
    if not source and not destination:
        return True
    return within(rule.source.four, source) and within(rule.destination.four, destination)
