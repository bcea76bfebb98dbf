"""May any rule match these raw bytes? Asked before anything is parsed, once for many messages of a flow.

In: all rules in force; then headers of a batch (`rows`) and joined bytes of one direction of a flow (`stream`). Out:
yes, or how many of the last bytes belong to a message that goes on. One Hyperscan scan looks for the rarest piece of
every rule (see anchors); a rule whose piece is there must have all its pieces within one message. It may say yes too
often, never no wrongly: a flow about which it says no is never parsed. Protocols whose rules are about computed
buffers (TLS, SSH, SMTP ...) are always looked at, recognised by their first bytes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from sentinel.detect.anchors import pieces
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
TCP, UDP, DNS_PORT = 6, 17, 53
KEPT_BYTES = 65_536  # of an unfinished message; a longer one is the parser's
SCREENED = {"http", "dns"}  # applications whose rules can be told from raw bytes
UDP_APPLICATIONS = {
    "quic", "sip", "snmp", "krb5", "ike", "dhcp", "tftp", "nfs", "ntp", "enip", "bittorrent-dht", "dcerpc",
}  # fmt: skip
# First bytes of a direction that belong to a protocol which is always parsed when there are rules for it.
_BEGINNINGS: dict[str, re.Pattern[bytes]] = {
    "tls": re.compile(rb"[\x14-\x17]\x03|[\x80-\xff].\x01[\x00\x03]", re.DOTALL),
    "ssh": re.compile(rb"SSH-"),
    "smtp": re.compile(rb"220[ -]|(?i:EHLO|HELO)"),
    "ftp": re.compile(rb"220[ -]|(?i:USER|PASS|FEAT|AUTH|SYST)"),
    "smb": re.compile(rb".{4}[\xff\xfe\xfd]SMB", re.DOTALL),
    "dcerpc": re.compile(rb"\x05\x00", re.DOTALL),
    "http2": re.compile(rb"PRI \* HTTP/2"),
    "ftp-data": re.compile(rb"(?!)"),  # recognised by the control connection; its rules have raw pieces
    "nfs": re.compile(rb"\x80...", re.DOTALL),
}
_HTTP_LIKE = re.compile(rb"[A-Za-z]{3,20} \S|HTTP/")


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
            (proto, direction): _Scan(self._anchored(judged, proto, direction), cache)
            for proto in (TCP, UDP)
            for direction in (0, 1)
        }
        self._unknown = self._always - SCREENED - set(_BEGINNINGS) - UDP_APPLICATIONS
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

    def stream(  # noqa: PLR0917 - called once per flow and direction of a batch
        self, proto: int, sport: int, dport: int, to_server: bool, data: bytes, first: bool
    ) -> int:
        """CANDIDATE, or how many of the last bytes to show again in front of the next ones."""
        scan = self._scans[proto, 0 if to_server else 1]
        if proto == UDP:
            candidate = "dns" in self._always if DNS_PORT in {sport, dport} else self._udp
            return CANDIDATE if candidate or scan.finds(data, [(0, len(data))], sport, dport) else 0
        http = (REQUEST if to_server else RESPONSE).match(data) is not None
        if not http:
            if (first and self._always_parsed(data)) or DNS_PORT in {sport, dport}:
                return CANDIDATE
            if len(data) > KEPT_BYTES:
                return CANDIDATE if scan.finds(data, None, sport, dport) else KEPT_BYTES // 2
            return CANDIDATE if scan.finds(data, [(0, len(data))], sport, dport) else len(data)
        if "http" in self._always:
            return CANDIDATE
        framed = spans(data, request=to_server)
        if framed is None or len(data) - framed[1] > KEPT_BYTES:
            return CANDIDATE
        if to_server and b"%" in data:
            plain = unescaped(data)
            if plain != data and scan.finds(plain, [(0, len(plain))], sport, dport):
                return CANDIDATE
        if scan.finds(data, [*framed[0], (framed[1], len(data))], sport, dport):
            return CANDIDATE
        return len(data) - framed[1]

    def _always_parsed(self, data: bytes) -> bool:
        if self._unknown or _HTTP_LIKE.match(data):
            return True
        return any(
            beginning.match(data) is not None
            for name, beginning in _BEGINNINGS.items()
            if name in self._always
        )


class _Scan:
    """The anchors of one protocol and direction."""

    def __init__(self, entries: Iterable[tuple[bytes, _Anchored]], cache: Path | None) -> None:
        grouped: dict[bytes, list[_Anchored]] = {}
        for anchor, rule in entries:
            grouped.setdefault(anchor, []).append(rule)
        self._anchors = list(grouped)
        self._rules = list(grouped.values())
        patterns = [
            Pattern(literal(anchor), caseless=True, dotall=True, single=True) for anchor in self._anchors
        ]
        self._prefilter = Prefilter.compile(patterns, cache)

    def finds(self, data: bytes, messages: list[tuple[int, int]] | None, sport: int, dport: int) -> bool:
        """Does one message hold all pieces of a rule? Without `messages` any anchor is enough."""
        hits = self._prefilter.scan(data)[0]
        if not hits:
            return False
        lower = data.lower()
        for hit in hits:
            anchor = self._anchors[hit]
            for rule, others in self._rules[hit]:
                if not _ports_fit(rule, sport, dport):
                    continue
                if messages is None:
                    return True
                if not all(piece in lower for piece in others):
                    continue
                if len(messages) == 1 or _together(lower, messages, (anchor, *others)):
                    return True
        return False


def _together(data: bytes, messages: list[tuple[int, int]], wanted: tuple[bytes, ...]) -> bool:
    return any(all(data.find(piece, low, high) >= 0 for piece in wanted) for low, high in messages)


def _ports_fit(rule: Rule, sport: int, dport: int) -> bool:
    if rule.source_ports.has(sport) and rule.destination_ports.has(dport):
        return True
    return rule.both_ways and rule.source_ports.has(dport) and rule.destination_ports.has(sport)
