"""A rule while its options are read: keyword parsers add to it, `finish` checks the whole and makes the Rule.

Invariant: matches keep the order of the text within their buffer, and a match knows whether the next one is relative
to it (only then is another occurrence worth a try). Which direction and protocol a rule is about follows from its
keywords, as in Suricata's SigValidate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from sentinel.detect import fastpattern, validity
from sentinel.detect.buffers import BUFFERS
from sentinel.detect.protocols import PROTOCOLS, TCP
from sentinel.detect.rule import (
    Base64Decode,
    ByteTest,
    Check,
    Content,
    IsDataAt,
    Match,
    Part,
    Pcre,
    Rule,
    Threshold,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentinel.detect.addresses import AddressSet, PortSet

PAYLOAD = "payload"
DEFAULT_SEVERITY = 3  # of rules without priority and classtype

# Packet conditions that leave a rule "IP only": judged once per flow and direction.
_IP_ONLY_CHECKS = {"flowbits", "hostbits", "xbits", "iprep", "ip_proto", "l3_proto"}
_PACKET_ONLY_CHECKS = {
    "tcp.flags", "tcp.seq", "tcp.ack", "tcp.window", "ttl", "id", "tos", "fragbits", "fragoffset", "ipopts", "itype",
    "icode", "icmp_id", "dsize", "sameip", "tcp.mss", "icmpv6.mtu", "ip_proto", "rpc", "geoip", "flow.age", "iprep",
    "app-layer-protocol",
}  # fmt: skip
_ANY_PROTOCOL = {"ip", "ipv4", "ip4", "ipv6", "ip6", "pkthdr"}
_DIRECTIONS = {"to_server", "to_client", "from_server", "from_client"}
_RELATIVE = (Content, Pcre)
_TESTS = (ByteTest, IsDataAt)  # one after another, the second does not call for another try of a content


class Header(NamedTuple):
    action: str
    protocol: str
    source: AddressSet
    source_ports: PortSet
    destination: AddressSet
    destination_ports: PortSet
    both_ways: bool
    negated: bool


@dataclass(slots=True)
class Section:
    """Matches on one use of a buffer."""

    buffer: str
    matches: list[Match] = field(default_factory=list)
    transforms: list[Check] = field(default_factory=list)


@dataclass(slots=True)
class Draft:
    header: Header
    path: str
    line: int
    classes: Mapping[str, tuple[str, int]]
    folder: str
    keywords: list[str] = field(default_factory=list)
    sid: int = 0
    rev: int = 0
    gid: int = 1
    msg: str = ""
    category: str = ""
    class_severity: int | None = None
    priority: int | None = None
    metadata: dict[str, list[str]] = field(default_factory=dict)
    references: list[str] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    current: Section | None = None  # chosen by a sticky buffer; None = payload
    last: Section | None = None  # where the newest match went, for modifiers
    base64: list[Match] | None = None  # collects after base64_data
    decoded: tuple[Section, int, list[Match]] | None = None  # the base64_decode it belongs to
    sets: dict[str, tuple[str, str, str]] = field(
        default_factory=dict
    )  # data sets: name -> type, read, saved
    checks: list[Check] = field(default_factory=list)
    app_checks: list[tuple[Check, frozenset[str], tuple[bool, bool]]] = field(default_factory=list)
    post: list[Check] = field(default_factory=list)
    thresholds: list[Threshold] = field(default_factory=list)
    variables: list[str] = field(default_factory=list)  # of byte_extract and byte_math
    flow: set[str] = field(default_factory=set)
    noalert: bool = False
    fast_seen: bool = False

    # --- what keyword parsers call ---------------------------------------------------------------------------
    def section(self, buffer: str) -> Section:
        for section in self.sections:
            if section.buffer == buffer and not section.transforms:
                return section
        self.sections.append(Section(buffer))
        return self.sections[-1]

    def select(self, buffer: str) -> None:
        """A sticky buffer: following matches look at it."""
        self._left_empty()
        self.base64 = None
        if buffer == PAYLOAD:
            self.current = None
            return
        fresh = Section(buffer)
        if not BUFFERS[buffer].multiple:
            fresh = next((s for s in self.sections if s.buffer == buffer and not s.transforms), fresh)
        if fresh not in self.sections or not fresh.matches:
            self.sections.append(fresh)
        self.current = fresh

    def _left_empty(self) -> None:
        if self.current is not None and not self.current.matches:
            raise ValueError(f"no match on {self.current.buffer} before the next buffer")

    def add(self, match: Match) -> None:
        if self.base64 is not None:
            self.base64.append(match)
            return
        section = self.current or self.section(PAYLOAD)
        if (
            self.current is None
            and self.last is not None
            and is_relative(match)
            and not isinstance(match, _RELATIVE)
        ):
            section = self.last  # after a content modifier: relative to what that content found
        section.matches.append(match)
        self.last = section

    @property
    def newest(self) -> tuple[list[Match], int]:
        """Where the last content is, for its modifiers."""
        matches = self.base64 or (self.last.matches if self.last else [])
        for i in range(len(matches) - 1, -1, -1):
            if isinstance(matches[i], Content):
                return matches, i
        raise ValueError("stands before any content")

    def modify(self, **changes: object) -> None:
        matches, i = self.newest
        content = matches[i]
        assert isinstance(content, Content)
        matches[i] = content._replace(**changes)  # type: ignore[arg-type]

    def move(self, buffer: str) -> None:
        """A content modifier (http_uri ...): the last content belongs to that buffer."""
        if self.current is not None:
            raise ValueError("cannot be used after a sticky buffer")
        matches, i = self.newest
        content = matches.pop(i)
        section = self.section(buffer)
        section.matches.append(content)
        self.last = section

    def transform(self, check: Check) -> None:
        if self.current is None:
            raise ValueError("a transform needs a sticky buffer before it")
        if self.current.matches:
            self.current = Section(self.current.buffer)
            self.sections.append(self.current)
        self.current.transforms.append(check)

    def begin_base64(self) -> None:
        """Following matches look at what the last base64_decode decoded."""
        for section in reversed(self.sections):
            for i in range(len(section.matches) - 1, -1, -1):
                if isinstance(section.matches[i], Base64Decode):
                    self.base64 = []
                    self.decoded = (section, i, self.base64)
                    return
        raise ValueError("stands before base64_decode")

    # --- the whole -------------------------------------------------------------------------------------------
    def finish(self) -> Rule:
        if not self.sid:
            raise ValueError("sid is missing")
        self._left_empty()
        if self.decoded:
            place, i, inner = self.decoded
            decode = place.matches[i]
            assert isinstance(decode, Base64Decode)
            place.matches[i] = decode._replace(inner=tuple(inner))
        sections = [section for section in self.sections if section.matches]
        for section in sections:
            self._bound_by_size(section)
            validity.settle(section)
            link(section.matches)
        applications = self._applications(sections)
        directions = self._directions(sections)
        app_sections = [s for s in sections if s.buffer in BUFFERS and not BUFFERS[s.buffer].packet]
        payload = tuple(m for s in sections if s.buffer == PAYLOAD for m in s.matches)
        stateful = bool(app_sections or self.app_checks)
        self._refuse_mixtures(sections, stateful=stateful)
        protocol = PROTOCOLS[self.header.protocol]
        about_hosts = self._about_hosts(sections, applications)
        mode = self._mode(payload, sections)
        fast = fastpattern.choose(sections, stateful=stateful)
        transport = protocol.ip_protocols
        return Rule(
            action=self.header.action,
            protocol=self.header.protocol,
            sid=self.sid,
            rev=self.rev,
            gid=self.gid,
            msg=self.msg,
            category=self.category,
            severity=self.priority or self.class_severity or DEFAULT_SEVERITY,
            metadata=tuple((key, tuple(values)) for key, values in self.metadata.items()),
            references=tuple(self.references),
            path=self.path,
            line=self.line,
            ip_protocols=transport,
            version=protocol.version,
            applications=applications,
            source=self.header.source,
            source_ports=self.header.source_ports,
            destination=self.header.destination,
            destination_ports=self.header.destination_ports,
            both_ways=self.header.both_ways,
            directions=directions,
            mode=mode,
            checks=tuple(self.checks),
            payload=payload,
            packet_parts=tuple(
                _part(s) for s in sections if s.buffer in BUFFERS and BUFFERS[s.buffer].packet
            ),
            parts=(self._parts(app_sections, 0, directions), self._parts(app_sections, 1, directions)),
            noalert=self.noalert,
            post=tuple(self.post),
            thresholds=tuple(self.thresholds),
            ip_only=about_hosts and not self.header.negated,
            about_flow=about_hosts,
            about_recognition=self._about_recognition(sections, applications),
            about_packets=not stateful
            and not about_hosts
            and self._about_packets(payload, mode, applications),
            stateful=stateful,
            fast=fast,
            keywords=frozenset(self.keywords),
            bound=self._bound(sections),
            sets=tuple((name, *files) for name, files in self.sets.items()),
            absent=fastpattern.choose_absent(sections),
            searched=fastpattern.searched_buffer(sections),
        )

    def _refuse_mixtures(self, sections: list[Section], *, stateful: bool) -> None:
        """Keywords that Suricata does not take together."""
        bound = self._bound(sections)
        if stateful and ("no_stream" in self.flow or bound):
            raise ValueError("mixes keywords about one packet with keywords about an application")
        if bound and (self.header.protocol == "tcp-stream" or "only_stream" in self.flow):
            raise ValueError("mixes keywords about one packet with a stream")
        named = {check.name for check in self.checks}
        if "app-layer-protocol" in named and PROTOCOLS[self.header.protocol].applications:
            raise ValueError("app-layer-protocol goes with rules that name no application")
        if "ip_proto" in named and self.header.protocol not in _ANY_PROTOCOL:
            raise ValueError("ip_proto goes with protocol ip")
        if not self.flow & _DIRECTIONS and any(section.buffer == "http.header.raw" for section in sections):
            raise ValueError("http.header.raw needs flow:to_server or flow:to_client")

    def _bound_by_size(self, section: Section) -> None:
        """Suricata looks for contents within the first N bytes where dsize is !N, as if it were N."""
        sizes = [check.args[0] for check in self.checks if check.name == "dsize"]
        if section.buffer != PAYLOAD or not sizes or sizes[0][0] != "!=":
            return
        limit = sizes[0][1]
        for i, match in enumerate(section.matches):
            if isinstance(match, Content) and (match.depth is None or isinstance(match.depth, int)):
                depth = limit if match.depth is None else min(match.depth, limit)
                section.matches[i] = match._replace(depth=depth, placed=True)

    def _applications(self, sections: list[Section]) -> frozenset[str]:
        """The rule's protocol, narrowed by what its keywords are about."""
        allowed = PROTOCOLS[self.header.protocol].applications
        wanted = [BUFFERS[s.buffer].protocols for s in sections if s.buffer in BUFFERS]
        wanted += [protocols for _, protocols, _ in self.app_checks]
        for protocols in wanted:
            if protocols:
                both = allowed & protocols if allowed else protocols
                if not both:
                    raise ValueError("mixes keywords or protocols of different applications")
                allowed = both
        if wanted and self.header.protocol not in {"ip", "tcp", "udp"} and not allowed:
            has_app = any(s.buffer in BUFFERS and not BUFFERS[s.buffer].packet for s in sections)
            if has_app:
                raise ValueError(f"application keywords do not go with protocol {self.header.protocol}")
        return allowed

    def _directions(self, sections: list[Section]) -> tuple[bool, bool]:
        to_server = bool(self.flow & {"to_server", "from_client"})
        to_client = bool(self.flow & {"to_client", "from_server"})
        if not to_server and not to_client:
            to_server = to_client = True
        reach = [
            (BUFFERS[s.buffer].to_server, BUFFERS[s.buffer].to_client)
            for s in sections
            if s.buffer in BUFFERS
        ]
        reach += [both for _, _, both in self.app_checks]
        only_server = any(server and not client for server, client in reach)
        only_client = any(client and not server for server, client in reach)
        if only_server and only_client:
            raise ValueError("mixes keywords with conflicting directions")
        if (only_server and not to_server) or (only_client and not to_client):
            raise ValueError("a keyword's direction contradicts flow")
        return (to_server and not only_client, to_client and not only_server)

    def _mode(self, payload: tuple[Match, ...], sections: list[Section]) -> str:
        """What payload matches look at. Keywords about one packet's headers bind a rule to packets."""
        protocol = PROTOCOLS[self.header.protocol]
        if protocol.mode:
            return protocol.mode
        if not payload or TCP not in (protocol.ip_protocols or {TCP}):
            return "packet"
        if "only_stream" in self.flow:
            return "stream"
        if "no_stream" in self.flow or self._bound(sections):
            return "packet"
        bounded = any(isinstance(m, Content) and m.placed for m in payload)
        sized = any(check.name == "stream_size" for check in self.checks)
        return "both" if bounded or sized else "reassembled"

    def _bound(self, sections: list[Section]) -> bool:
        """A keyword about one packet's headers."""
        if any(check.name in _PACKET_ONLY_CHECKS for check in self.checks):
            return True
        return any(s.buffer in BUFFERS and BUFFERS[s.buffer].packet for s in sections)

    def _parts(
        self, sections: list[Section], direction: int, directions: tuple[bool, bool]
    ) -> tuple[Part, ...]:
        if not directions[direction]:
            return ()
        parts = [
            _part(s)
            for s in sections
            if (BUFFERS[s.buffer].to_server, BUFFERS[s.buffer].to_client)[direction]
        ]
        grouped: dict[str, list[Check]] = {}
        for check, _, reach in self.app_checks:
            if reach[direction]:
                grouped.setdefault(check.name, []).append(check)
        for name, checks in grouped.items():
            parts += (
                [Part(name, tuple(checks))] if name == "file" else [Part(name, (check,)) for check in checks]
            )
        return tuple(parts)

    def _about_hosts(self, sections: list[Section], applications: frozenset[str]) -> bool:
        """Suricata's "IP only" and, with negated addresses, "like IP only"."""
        if sections or applications or self.app_checks or self.flow:
            return False
        return all(map(_of_hosts, [*self.checks, *self.post]))

    def _about_recognition(self, sections: list[Section], applications: frozenset[str]) -> bool:
        """Suricata's "protocol detection only": matches once, when it is known what a direction speaks."""
        if sections or applications or self.app_checks:
            return False
        if self.flow - _DIRECTIONS:
            return False
        named = [check for check in self.checks if check.name == "app-layer-protocol"]
        others = [check for check in [*self.checks, *self.post] if check.name != "app-layer-protocol"]
        return bool(named) and all(map(_of_hosts, others))

    def _about_packets(self, payload: tuple[Match, ...], mode: str, applications: frozenset[str]) -> bool:
        """Whether only packets that were really sent can match: not those that stand for a flow's end."""
        if payload and mode != "packet":
            return False
        if any(check.name == "event" for check in self.checks):
            return False
        conditions = bool(self.checks or self.post or self.sections or self.flow - _DIRECTIONS)
        return conditions or not applications


def _of_hosts(check: Check) -> bool:
    """A keyword that goes with rules about nothing but hosts."""
    return check.name in _IP_ONLY_CHECKS and (check.name != "flowbits" or check.args[0] == "set")


def _part(section: Section) -> Part:
    return Part(section.buffer, tuple(section.matches), tuple(section.transforms))


def is_relative(match: Match) -> bool:
    return bool(getattr(match, "relative", False))


def link(matches: list[Match]) -> None:
    """Mark each content and expression whose successor is relative to it."""
    anchor = -1
    before: Match | None = None
    for i, match in enumerate(matches):
        if (
            is_relative(match)
            and anchor >= 0
            and not (isinstance(match, _TESTS) and isinstance(before, _TESTS))
        ):
            found = matches[anchor]
            assert isinstance(found, _RELATIVE)
            matches[anchor] = found._replace(chained=True)
        if isinstance(match, Content) and isinstance(before, Content):
            matches[i] = _after_absent(match, before)
        if isinstance(match, _RELATIVE):
            anchor = i
        if isinstance(match, Base64Decode):
            inner = list(match.inner)
            link(inner)
            matches[i] = match._replace(inner=tuple(inner))
        before = match


def _after_absent(content: Content, before: Content) -> Content:
    """Suricata reckons a distance from a negated content before as if that content stood at the start."""
    if not before.negated or before.placed or before.relative or content.negated:
        return content
    if not isinstance(content.distance, int):
        return content
    return content._replace(offset=max(0, len(before.pattern) + content.distance))
