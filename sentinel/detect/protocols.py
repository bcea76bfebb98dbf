"""Protocol names of rule headers and what they mean: IP protocols, IP version, application, kind of inspection."""

from __future__ import annotations

from typing import NamedTuple

TCP, UDP, ICMP, ICMP6, SCTP = 6, 17, 1, 58, 132


class Protocol(NamedTuple):
    ip_protocols: frozenset[int] | None = None
    version: int = 0
    applications: frozenset[str] = frozenset()
    mode: str = ""  # forces what payload keywords look at: packet, reassembled, pkthdr


_TCP, _UDP, _BOTH = frozenset({TCP}), frozenset({UDP}), frozenset({TCP, UDP})


def _application(transport: frozenset[int], *names: str) -> Protocol:
    return Protocol(transport, applications=frozenset(names))


PROTOCOLS: dict[str, Protocol] = {
    "ip": Protocol(),
    "ipv4": Protocol(version=4),
    "ip4": Protocol(version=4),
    "ipv6": Protocol(version=6),
    "ip6": Protocol(version=6),
    "pkthdr": Protocol(mode="pkthdr"),
    "tcp": Protocol(_TCP),
    "tcp-pkt": Protocol(_TCP, mode="packet"),
    "tcp-stream": Protocol(_TCP, mode="reassembled"),
    "udp": Protocol(_UDP),
    "sctp": Protocol(frozenset({SCTP})),
    "icmp": Protocol(frozenset({ICMP, ICMP6})),
    "icmpv4": Protocol(frozenset({ICMP})),
    "icmpv6": Protocol(frozenset({ICMP6})),
    "http": _application(_TCP, "http", "http2"),
    "http1": _application(_TCP, "http"),
    "http2": _application(_TCP, "http2"),
    "tls": _application(_TCP, "tls"),
    "ssl": _application(_TCP, "tls"),
    "smtp": _application(_TCP, "smtp"),
    "ftp": _application(_TCP, "ftp"),
    "ftp-data": _application(_TCP, "ftp-data"),
    "ssh": _application(_TCP, "ssh"),
    "smb": _application(_TCP, "smb"),
    "dcerpc": _application(_BOTH, "dcerpc", "smb"),
    "dns": _application(_BOTH, "dns"),
    "nfs": _application(_BOTH, "nfs"),
    "krb5": _application(_BOTH, "krb5"),
    "ntp": _application(_UDP, "ntp"),
    "dhcp": _application(_UDP, "dhcp"),
    "tftp": _application(_UDP, "tftp"),
    "ike": _application(_UDP, "ike"),
    "ikev2": _application(_UDP, "ike"),
    "snmp": _application(_UDP, "snmp"),
    "sip": _application(_UDP, "sip"),
    "quic": _application(_UDP, "quic"),
    "rfb": _application(_TCP, "rfb"),
    "mqtt": _application(_TCP, "mqtt"),
    "pgsql": _application(_TCP, "pgsql"),
    "rdp": _application(_TCP, "rdp"),
    "telnet": _application(_TCP, "telnet"),
    "imap": _application(_TCP, "imap"),
    "modbus": _application(_TCP, "modbus"),
    "dnp3": _application(_TCP, "dnp3"),
    "enip": _application(_BOTH, "enip"),
    "bittorrent-dht": _application(_UDP, "bittorrent-dht"),
}
