"""Which application protocol a flow speaks, from its first bytes, as Suricata 7 decides it.

In: transport, ports, direction and the first bytes of one direction. Out: a protocol, "" for none, None for "tell me
more". Two tables: PATTERNS (literals at fixed places, any port) and PROBES (functions, on the ports Suricata binds
them to; DNS therefore only on 53). Invariant: no more than `longest pattern` bytes are needed to decide on patterns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sentinel.protocol.apps import probes

if TYPE_CHECKING:
    from collections.abc import Callable

TCP, UDP = 6, 17
_SERVER, _CLIENT = 0, 1  # direction: to server, to client


@dataclass(frozen=True, slots=True)
class Pattern:
    protocol: str
    transport: int
    directions: tuple[int, ...]
    literal: bytes
    offset: int = 0
    nocase: bool = False
    confirm: Callable[[bytes], bool] | None = None

    def begins(self, data: bytes) -> bool:
        part = data[self.offset : self.offset + len(self.literal)]
        return (part.lower() if self.nocase else part) == self.literal

    def matches(self, data: bytes) -> bool:
        return self.begins(data) and (self.confirm is None or self.confirm(data))

    @property
    def reach(self) -> int:
        return self.offset + len(self.literal)


@dataclass(frozen=True, slots=True)
class Probe:
    """`test(data)` says True, False, or None when it has too little to say."""

    protocol: str
    transport: int
    ports: frozenset[int]
    test: Callable[[bytes], bool | None]
    directions: tuple[int, ...] = (_SERVER, _CLIENT)
    any_port: bool = False
    # It says yes only to what begins with these bytes, and no to more bytes only if it did not say yes to fewer.
    firm: bytes | None = None


_METHODS = (
    b"GET PUT POST HEAD TRACE OPTIONS CONNECT DELETE PATCH PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK CHECKOUT "
    b"UNCHECKOUT CHECKIN UPDATE LABEL REPORT MKWORKSPACE MKACTIVITY MERGE INVALID VERSION-CONTROL BASELINE-CONTROL"
).split()
_DHT = (b"d1:ad2:id20:", b"d1:rd2:id20:", b"d2:ip6:", b"d1:el", b"d1:q4:ping")
_BOTH = (_SERVER, _CLIENT)


def _literals(protocol: str, transport: int, directions: tuple[int, ...], *literals: bytes) -> list[Pattern]:
    return [Pattern(protocol, transport, directions, literal) for literal in literals]


PATTERNS: tuple[Pattern, ...] = (
    *(
        Pattern("http", TCP, (_SERVER,), method.lower() + gap, nocase=True)
        for method in _METHODS
        for gap in (b" ", b"\t")
    ),
    *(Pattern("http", TCP, (_CLIENT,), word, nocase=True) for word in (b"http/0.9", b"http/1.0", b"http/1.1")),
    *_literals("http2", TCP, (_SERVER,), b"PRI * HTTP/2.0\r\n"),
    Pattern("ssh", TCP, _BOTH, b"ssh-", nocase=True),
    *_literals("tls", TCP, (_SERVER,), *(bytes((kind, 3, minor)) for kind in (1, 0x16) for minor in range(4))),
    *_literals("tls", TCP, (_CLIENT,), *(bytes((kind, 3, minor)) for kind in (0x15, 0x16, 0x17) for minor in range(4))),
    Pattern("tls", TCP, (_SERVER,), b"\1\0\2", 2, confirm=probes.sslv2_client),
    Pattern("tls", TCP, (_SERVER,), b"\1\3\0", 2),
    Pattern("tls", TCP, (_CLIENT,), b"\0\2", 5),
    *(Pattern("smtp", TCP, (_SERVER,), word, nocase=True) for word in (b"ehlo", b"helo", b"quit")),
    *(Pattern("ftp", TCP, (_SERVER,), word, nocase=True) for word in (b"user ", b"pass ", b"port ", b"feat")),
    *(Pattern("ftp", TCP, (_CLIENT,), word, nocase=True) for word in (b"220 (",)),
    Pattern("smb", TCP, _BOTH, b"\xffSMB", 4, confirm=probes.smb),
    Pattern("smb", TCP, _BOTH, b"\xfeSMB", 4, confirm=probes.smb),
    Pattern("smb", TCP, _BOTH, b"\xfdSMB", 4, confirm=probes.smb),
    Pattern("dcerpc", TCP, _BOTH, b"\x05\x00", confirm=probes.dcerpc),
    Pattern("rfb", TCP, _BOTH, b"rfb ", nocase=True),
    *_literals("imap", TCP, (_SERVER,), b"1 capability"),
    *_literals("bittorrent-dht", UDP, _BOTH, *_DHT),
)  # fmt: skip


def _ports(*numbers: int) -> frozenset[int]:
    return frozenset(numbers)


PROBES: tuple[Probe, ...] = (
    Probe("tls", TCP, _ports(443), probes.tls_client, (_SERVER,)),
    Probe("dns", UDP, _ports(53), probes.dns),
    Probe("dns", TCP, _ports(53), probes.dns_framed),
    Probe("http2", TCP, _ports(80), probes.http2_settings, (_CLIENT,), firm=b"\0"),
    Probe("http2", TCP, _ports(80), probes.no_longer_http2, (_SERVER,), firm=b"PRI * HTTP/2.0"),
    Probe("smb", TCP, _ports(139, 445), probes.smb_session),
    Probe("mqtt", TCP, _ports(1883), probes.mqtt),
    Probe("pgsql", TCP, _ports(5432), probes.pgsql, (_SERVER,)),
    Probe("pgsql", TCP, _ports(5432), probes.pgsql_answer, (_CLIENT,)),
    Probe("rdp", TCP, _ports(3389), probes.rdp),
    Probe("nfs", TCP, _ports(2049), probes.rpc_framed),
    Probe("nfs", UDP, _ports(2049), probes.rpc),
    Probe("krb5", TCP, _ports(88), probes.krb5_framed),
    Probe("krb5", UDP, _ports(88), probes.krb5),
    Probe("modbus", TCP, _ports(502), probes.modbus),
    Probe("dnp3", TCP, _ports(20000), probes.dnp3),
    Probe("enip", TCP, _ports(44818), probes.enip),
    Probe("enip", UDP, _ports(44818), probes.enip),
    Probe("telnet", TCP, _ports(23), probes.telnet),
    Probe("dhcp", UDP, _ports(67, 68), probes.dhcp),
    Probe("ntp", UDP, _ports(123), probes.ntp),
    Probe("snmp", UDP, _ports(161, 162), probes.snmp),
    Probe("tftp", UDP, _ports(69), probes.tftp),
    Probe("ike", UDP, _ports(500), probes.ike),
    Probe("sip", UDP, _ports(5060, 5061), probes.sip_request, (_SERVER,)),
    Probe("sip", UDP, _ports(5060, 5061), probes.sip_response, (_CLIENT,)),
    Probe("quic", UDP, _ports(443, 80), probes.quic, any_port=True),
)

# Protocols whose parser must see the client first (Suricata: acceptable data direction).
CLIENT_FIRST = frozenset({"tls"})


def _by_side(transport: int, direction: int) -> tuple[Pattern, ...]:
    return tuple(p for p in PATTERNS if p.transport == transport and direction in p.directions)


_SIDES = {(transport, side): _by_side(transport, side) for transport in (TCP, UDP) for side in _BOTH}
_REACH = {key: max((p.reach for p in patterns), default=0) for key, patterns in _SIDES.items()}


def _index(patterns: tuple[Pattern, ...]) -> tuple[dict[int, list[Pattern]], list[Pattern]]:
    """By first byte where a pattern begins at once, the rest apart."""
    first: dict[int, list[Pattern]] = {}
    later: list[Pattern] = []
    for pattern in patterns:
        if pattern.offset:
            later.append(pattern)
            continue
        for byte in {
            pattern.literal[0],
            pattern.literal[:1].upper()[0] if pattern.nocase else pattern.literal[0],
        }:
            first.setdefault(byte, []).append(pattern)
    return first, later


_INDEX = {key: _index(patterns) for key, patterns in _SIDES.items()}


def recognise(  # noqa: PLR0917 - what there is to go by
    transport: int,
    ports: tuple[int, int],
    direction: int,
    data: bytes,
    allowed: Callable[[str], bool],
    known: str = "",
) -> str | None:
    """The protocol, "" when there is none to find in this direction, None when more bytes may tell.

    `known` is what the other direction speaks: its probe is asked whatever the port.
    """
    if not data:
        return None
    first, later = _INDEX.get((transport, direction), ({}, []))
    for group in (first.get(data[0], ()), later):
        for pattern in group:
            if pattern.matches(data) and allowed(pattern.protocol):
                return pattern.protocol
    undecided = transport == TCP and len(data) < _REACH[transport, direction]
    for probe in PROBES:
        if probe.transport != transport or direction not in probe.directions:
            continue
        bound = probe.any_port or ports[0] in probe.ports or ports[1] in probe.ports
        if not bound and probe.protocol != known:
            continue
        verdict = probe.test(data)
        if verdict and allowed(probe.protocol):
            return probe.protocol
        undecided = undecided or verdict is None
    return None if undecided else ""


def _bound() -> dict[tuple[int, int], frozenset[str]]:
    found: dict[tuple[int, int], set[str]] = {}
    for probe in PROBES:
        for port in probe.ports if probe.firm is None else ():
            found.setdefault((probe.transport, port), set()).add(probe.protocol)
    return {key: frozenset(names) for key, names in found.items()}


_BOUND = _bound()
_FIRM = [(probe, probe.firm) for probe in PROBES if probe.firm is not None]
PREFIX = max(_REACH.values())  # bytes of a direction after which `possible` says nothing new


def possible(transport: int, ports: tuple[int, int], direction: int, data: bytes) -> set[str]:
    """Whatever `recognise` may say about these bytes, a part of them, or (UDP) the other direction: rather too much."""
    found = {*_BOUND.get((transport, ports[0]), ()), *_BOUND.get((transport, ports[1]), ())}
    for side in (direction,) if transport == TCP else _BOTH:
        first, later = _INDEX.get((transport, side), ({}, []))
        found.update(p.protocol for p in first.get(data[0], ()) if p.begins(data))
        found.update(p.protocol for p in later if p.begins(data))
    if transport == TCP:
        found.update(
            probe.protocol
            for probe, begin in _FIRM
            if data.startswith(begin)
            and direction in probe.directions
            and not probe.ports.isdisjoint(ports)
            and probe.test(data) is not False
        )
        found.add("ftp-data")  # for all that these bytes say: another flow announces it
    else:
        found.update(probe.protocol for probe in PROBES if probe.any_port and probe.test(data) is not False)
    return found
