"""May any rule match these raw bytes? Asked before anything is parsed, once for many messages of a flow.

In: all rules in force; then headers of a batch (`rows`) and joined bytes of one direction of a flow (`stream`). Out:
yes, or how many of the last bytes belong to a message that goes on. One Hyperscan scan looks for the rarest piece of
every rule (see anchors); a rule whose piece is there must have all its pieces within one message. It may say yes too
often, never no wrongly: a flow about which it says no is never parsed. HTTP/1 is judged message by message, any other stream
by its raw bytes. An application with rules about something that the wire does not show (a hash, an encoded file) is
always parsed.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

from sentinel.detect.addresses import within
from sentinel.detect.anchoring import ANY, TCP, UDP, planned
from sentinel.detect.anchors import PIECE_LIMIT
from sentinel.detect.coded import plain
from sentinel.detect.fields import CACHED, Doubts, Reader
from sentinel.detect.framing import REQUEST, RESPONSE, spans, unescaped
from sentinel.detect.placed import POSSIBLE, placed
from sentinel.detect.prefilter import Pattern, Prefilter
from sentinel.detect.rule import ByteExtract, ByteJump, ByteMath, ByteTest, Content, IsDataAt, Pcre
from sentinel.detect.screen_bits import Bits
from sentinel.detect.screen_rows import RowScreen
from sentinel.detect.standing import Standing, may_match
from sentinel.detect.templates import REACH
from sentinel.detect.verify import holds
from sentinel.detect.view import View

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from sentinel.detect.groups import Groups
    from sentinel.detect.placed import Placed
    from sentinel.detect.rule import Rule
    from sentinel.detect.screen_bits import Notes

CANDIDATE = -1
Ends = tuple[
    int, int, int, int, int
]  # protocol, ports and IPv4 addresses of source and destination (0: IPv6)
KEPT_BYTES = 65_536  # of an unfinished message; a longer one is the parser's
# Messages with a file's bytes: SMB2 WRITE and answers to READ, of SMB1 all but those that only ask and tell names.
SMB_DATA = tuple(
    re.compile(rb"(?s)\xfeSMB.{8}" + two + rb"\0|\xffSMB[^\x04\x2b\x70-\x75\xa2]|[\xfd\xfc]SMB")
    for two in (rb"\x09", rb"\x08")
)
UPGRADING = {"ftp", "smtp"}  # may turn into TLS midway
OVERLAP = max(PIECE_LIMIT, REACH) - 1
_JUDGED = {Content, Pcre, IsDataAt, ByteTest, ByteJump, ByteExtract, ByteMath}  # need nothing but the bytes
_CODED = re.compile(rb"(?i)\r\n(?:transfer|content)-encoding:")


class _Look(NamedTuple):
    """What is asked about: a flow's ends, what it may speak, what is noted about it, and single packets if known."""

    ends: Ends
    apps: AbstractSet[str]
    notes: Notes
    packets: Sequence[bytes] | None


class _Anchored(NamedTuple):
    rule: Rule
    pieces: tuple[bytes, ...]


class Screen:
    def __init__(
        self, rules: Sequence[Rule], groups: Groups, cache: Path | None = None, identity: str = ""
    ) -> None:
        """`identity` stands for the text and the variables of the rules; without it their plan is not kept in the cache."""
        self._bits = Bits(rules)
        self._rows = RowScreen(
            (rules[n] for n in groups.packet if not self._bits.excludes(rules[n])),
            (rules[n] for n in groups.ip_only),
        )
        self.usable = not groups.header_only and not any(
            name.startswith(("applayer.", "stream.")) for name in groups.events
        )
        self.decoder_events = any(not name.startswith(("applayer.", "stream.")) for name in groups.events)
        packet_rules = {*groups.packet, *groups.ip_only, *groups.header_only}
        packet_rules.update(n for numbers in groups.events.values() for n in numbers)
        looking = [n for n in range(len(rules)) if n not in packet_rules]
        numbers = [n for n in looking if not self._bits.excludes(rules[n])]
        plan = planned(rules, numbers, _place(cache, identity, rules, numbers))
        self._always, self._smb_files = plan.always, plan.smb_files
        self._scans = {
            (proto, direction): _Scan(
                direction,
                ((anchor, _Anchored(rules[n], pieces)) for anchor, n, pieces in anchors),
                self._bits,
                cache,
            )
            for (proto, direction), anchors in plan.anchors.items()
        }
        for direction, standing in enumerate(plan.standing):
            self._scans[TCP, direction].standing = Standing([rules[n] for n in standing], direction, cache)
        if any("ftp-data" in rules[n].applications for n in looking):
            self._always.add("ftp")  # says which other flows are file transfers
        if "tls" in self._always:
            self._always |= UPGRADING

    def rows(self, headers: object) -> NDArray[np.bool_]:
        return self._rows.rows(headers)

    def lone(self, headers: object) -> NDArray[np.bool_]:
        return self._rows.lone(headers)

    @property
    def large(self) -> int:
        return self._rows.large

    def sized(self, headers: object) -> NDArray[np.bool_]:
        return self._rows.sized(headers)

    def stream(
        self,
        ends: Ends,
        to_server: bool,
        data: bytes,
        *,
        packets: Sequence[bytes] | None,
        whole: bool,
        apps: AbstractSet[str],
        notes: Notes,
    ) -> int:
        """CANDIDATE, or how many of the last bytes to show again in front of the next ones."""
        if not self._always.isdisjoint(apps) or ANY in self._always:
            return CANDIDATE
        proto = ends[0]
        scan = self._scans[proto, 0 if to_server else 1]
        look = _Look(ends, apps, notes, packets)
        if proto == UDP:
            return min(scan.keeps(data, look, whole=True), 0)
        if "smb" in apps and int(not to_server) in self._smb_files and _file_in_parts(data, to_server, notes):
            return CANDIDATE
        if "http" not in apps:
            return scan.keeps(data, look, whole=whole)
        if (REQUEST if to_server else RESPONSE).match(data) is None:
            return CANDIDATE
        framed = spans(data, request=to_server)
        if framed is None or len(data) - framed[1] > KEPT_BYTES:
            return CANDIDATE
        if to_server and b"%" in data:
            plain = unescaped(data)
            if plain != data and scan.keeps(plain, look._replace(packets=None), whole=True) == CANDIDATE:
                return CANDIDATE
        messages, rest = framed
        if (REQUEST if to_server else RESPONSE).match(data, rest) is not None:
            messages.append((rest, len(data)))  # perhaps all that ever comes of it
        if scan.finds_http(data, messages, ends, notes):
            return CANDIDATE
        if not to_server and _CODED.search(data) and scan.finds_coded(data, messages, ends, notes):
            return CANDIDATE
        return len(data) - rest


class _Scan:
    """The anchors of one protocol and direction."""

    def __init__(
        self, direction: int, entries: Iterable[tuple[bytes, _Anchored]], bits: Bits, cache: Path | None
    ) -> None:
        grouped: dict[bytes, list[_Anchored]] = {}
        for anchor, rule in entries:
            grouped.setdefault(anchor, []).append(rule)
        self._direction, self._bits = direction, bits
        self.standing = Standing((), direction)  # asked of every HTTP message
        self._rules = list(grouped.values())
        self._doubts = Doubts()
        self._reader = Reader()
        self._suspects: dict[tuple[int, ...], int] = {}
        self._headers: dict[Ends, dict[int, bool]] = {}
        self._placed: dict[int, Placed | None] = {}  # by the rule's identity; made when first asked for
        patterns = [Pattern(anchor, caseless=True, dotall=True, single=True) for anchor in grouped]
        self._prefilter = Prefilter.compile(patterns, cache)

    def finds_http(self, data: bytes, messages: list[tuple[int, int]], ends: Ends, notes: Notes) -> bool:
        """May a rule match one of these framed messages, by its pieces and by the fields they stand in?"""
        hits = self._prefilter.scan(data)[0]
        if not (hits or self.standing) or not messages:
            return False
        lower = data.lower()
        known = self._known(ends)

        def fitting(rule: Rule) -> bool:
            verdict = known.get(id(rule))
            if verdict is None:
                verdict = known[id(rule)] = _about_http(rule) and _header_fits(rule, ends)
            return verdict

        wanted: dict[int, list[_Anchored]] = {}
        for hit in hits:
            for each in self._rules[hit]:
                if fitting(each.rule) and all(piece in lower for piece in each.pieces):
                    wanted.setdefault(id(each.rule), []).append(each)
        if not (wanted or self.standing):
            return False
        suspects = tuple(each[0].rule for each in wanted.values())
        identity = self._identity(tuple(wanted))
        values = []
        for low, high in messages:
            found = self._reader.fields(data[low:high], request=self._direction == 0)
            if found is None:
                return True
            values.append(found)
        for found in values if self.standing and self.standing.suspects(values) else ():
            for rule in self.standing.possible(found):
                if fitting(rule) and self._bits.candidate(rule, notes):
                    return True
        for place, rule in self._doubts.possible(suspects, identity, self._direction, values):
            low, high = messages[place]
            there = (
                all(lower.find(piece, low, high) >= 0 for piece in each.pieces) for each in wanted[id(rule)]
            )
            possible = any(there) and may_match(rule, self._direction, values[place])
            if possible and self._bits.candidate(rule, notes):
                return True
        return False

    def finds_coded(self, data: bytes, messages: list[tuple[int, int]], ends: Ends, notes: Notes) -> bool:
        """The same, of answers as they read when chunks and compression are undone."""
        together, bounds = bytearray(), []
        for low, high in messages:
            message = data[low:high]
            decoded = plain(message)
            if decoded is None:
                return True
            if decoded != message:
                bounds.append((len(together), len(together) + len(decoded)))
                together += decoded
        return self.finds_http(bytes(together), bounds, ends, notes)

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

    def keeps(self, data: bytes, look: _Look, *, whole: bool) -> int:
        """CANDIDATE, or how many of the last bytes of a stream may be part of what a rule looks for.

        `whole`: these are all bytes so far. If not, pieces that are not among them may have passed already.
        """
        hits = self._prefilter.scan(data)[0]
        if not hits:
            return OVERLAP
        lower, begun, kept = data.lower(), False, OVERLAP
        last = not whole or len(data) > KEPT_BYTES
        for hit in hits:
            for each in self._rules[hit]:
                rule = each.rule
                if (rule.applications and rule.applications.isdisjoint(look.apps)) or not _header_fits(
                    rule, look.ends
                ):
                    continue
                complete = all(piece in lower for piece in each.pieces)
                if look.packets is not None and (rule.mode == "packet" or look.ends[0] == UDP):
                    complete = complete and any(_in_packet(each, packet) for packet in look.packets)
                elif (judge := self._judge(rule)) is not None:
                    needed = judge.judge(data, whole=whole)
                    complete, kept = needed == POSSIBLE, max(kept, needed)
                elif not complete:
                    begun, complete = True, last
                if complete and self._bits.candidate(rule, look.notes):
                    return CANDIDATE
        return len(data) if begun and whole else kept

    def _judge(self, rule: Rule) -> Placed | None:
        if id(rule) not in self._placed:
            self._placed[id(rule)] = placed(rule.payload) if rule.payload else None
        return self._placed[id(rule)]


def _place(cache: Path | None, identity: str, rules: Sequence[Rule], numbers: list[int]) -> Path | None:
    if cache is None or not identity:
        return None
    named = repr((identity, [(rule.gid, rule.sid) for rule in rules], numbers)).encode()
    return cache / f"{hashlib.blake2b(named, digest_size=16).hexdigest()}.plan.pickle"


def _file_in_parts(data: bytes, to_server: bool, notes: Notes) -> bool:
    """More than one message so far that carries a file's bytes: a pattern may lie across the seam."""
    seen = len(SMB_DATA[not to_server].findall(data))
    if seen and (to_server, "smb") in notes:
        return True
    if seen:
        notes.add((to_server, "smb"))
    return seen > 1


def _in_packet(each: _Anchored, packet: bytes) -> bool:
    """A rule about single packets, or datagrams: its payload part can be judged for good."""
    rule = each.rule
    if _JUDGED.issuperset(map(type, rule.payload)):
        return not rule.payload or holds(rule.payload, View(packet))
    lower = packet.lower()
    return all(piece in lower for piece in each.pieces)


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
