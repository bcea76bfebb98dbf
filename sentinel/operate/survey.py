"""What a first configuration should know of this host: interfaces, listening services, logs, databases.

Reads /proc and /sys and the file system, changes nothing. Everything is relative to `root`, so that a test (or an
image that is being built) can be looked at instead of the running host.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sentinel import addresses
from sentinel.protocol.logs import guess
from sentinel.protocol.logs.lines import Lines

# where a distribution puts a log -> the format it is usually in; what its first lines show wins
KNOWN_LOGS: tuple[tuple[str, str], ...] = (
    ("var/log/nginx/access.log", "nginx-access"),
    ("var/log/nginx/error.log", "nginx-error"),
    ("var/log/apache2/access.log", "apache-access"),
    ("var/log/apache2/error.log", "apache-error"),
    ("var/log/httpd/access_log", "apache-access"),
    ("var/log/haproxy.log", "haproxy"),
    ("var/log/caddy/access.log", "caddy-json"),
    ("var/log/auth.log", "syslog"),
    ("var/log/secure", "syslog"),
    ("var/log/mail.log", "syslog"),
    ("var/log/postgresql/*.log", "postgresql"),
    ("var/log/mysql/error.log", "mysql"),
    ("var/log/redis/redis-server.log", "redis"),
)

# service -> its usual port; what listens on another port is named after its number
KNOWN_SERVICES: dict[str, int] = {
    "ssh": 22, "smtp": 25, "dns": 53, "http": 80, "pop3": 110, "imap": 143, "https": 443, "submission": 587, "imaps": 993,
    "mysql": 3306, "postgresql": 5432, "redis": 6379, "http-alt": 8080, "sentinel-metrics": 9480,
}  # fmt: skip

# An unconnected UDP socket may be a client's; these ports are a service's.
KNOWN_UDP_SERVICES: dict[str, int] = {
    "dns-udp": 53, "ntp": 123, "snmp": 161, "http3": 443, "ipsec": 500, "syslog": 514, "ipsec-nat": 4500, "wireguard": 51820,
}  # fmt: skip

# a path that tells of a database -> kind of backup source
KNOWN_DATABASES: tuple[tuple[str, str], ...] = (
    ("var/lib/postgresql", "postgresql"),
    ("var/lib/mysql", "mariadb"),
    ("var/lib/redis", "redis"),
)

# one of these tells of log-ins; without them the journal does
AUTHENTICATION = frozenset({"/var/log/auth.log", "/var/log/secure"})
LOOKED_AT_BYTES = 65_536
NEWLINE = 10
# net/tcp_states.h, as /proc/net/tcp and /proc/net/udp show it
LISTEN = "0A"
UNCONNECTED = "07"


@dataclass(frozen=True, slots=True)
class Listener:
    """A port that somebody listens on; `local` when only this host can reach it."""

    name: str
    port: int
    local: bool
    protocol: str = "tcp"


@dataclass(frozen=True, slots=True)
class Survey:
    """`addresses` are the host's own, without loopback and link-local ones."""

    interfaces: tuple[str, ...]
    addresses: tuple[str, ...]
    listeners: tuple[Listener, ...]
    logs: tuple[tuple[str, str], ...]
    databases: tuple[str, ...]


def look(root: Path = Path("/")) -> Survey:
    return Survey(
        tuple(_interfaces(root)),
        tuple(_addresses(root)),
        tuple(_listeners(root)),
        tuple(_logs(root)),
        tuple(_databases(root)),
    )


def _interfaces(root: Path) -> list[str]:
    """Interfaces that are up, without loopback and the inner ends of containers."""
    found = []
    for entry in sorted((root / "sys/class/net").glob("*")):
        if entry.name == "lo" or entry.name.startswith(("veth", "docker", "br-")):
            continue
        state = _text(entry / "operstate").strip()
        if state in {"up", "unknown"}:
            found.append(entry.name)
    return found


def _addresses(root: Path) -> list[str]:
    own = addresses.read(root / "proc/net/fib_trie", root / "proc/net/if_inet6")
    return [str(one) for one in sorted(own, key=str) if not (one.is_loopback or one.is_link_local)]


def _listeners(root: Path) -> list[Listener]:
    names = {port: name for name, port in KNOWN_SERVICES.items()}
    udp = {port: name for name, port in KNOWN_UDP_SERVICES.items()}
    found = [
        Listener(names.get(port, f"port-{port}"), port, local)
        for port, local in _reach(root, "tcp", LISTEN).items()
    ]
    found += [
        Listener(udp[port], port, local, "udp")
        for port, local in _reach(root, "udp", UNCONNECTED).items()
        if port in udp
    ]
    return found


def _reach(root: Path, protocol: str, state: str) -> dict[int, bool]:
    """Port -> whether only this host can reach it."""
    reach: dict[int, bool] = {}
    for table in (protocol, f"{protocol}6"):
        for line in _text(root / "proc/net" / table).splitlines()[1:]:
            fields = line.split()
            if len(fields) > 3 and fields[3] == state:
                address, port = _address(fields[1])
                reach[port] = reach.get(port, True) and address.is_loopback
    return dict(sorted(reach.items()))


def _address(field: str) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]:
    """`0100007F:1F90` as in /proc/net/tcp: 32-bit words in host order, then the port."""
    words, _, port = field.partition(":")
    raw = b"".join(struct.pack("=I", int(words[i : i + 8], 16)) for i in range(0, len(words), 8))
    address = ipaddress.ip_address(raw)
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address, int(port, 16)


def _logs(root: Path) -> list[tuple[str, str]]:
    found = []
    for pattern, usual in KNOWN_LOGS:
        files = sorted(root.glob(pattern))
        if files:
            found.append((f"/{pattern}", _format(files[-1], usual)))
    if not any(path in AUTHENTICATION for path, _ in found) and (root / "run/systemd/journal").is_dir():
        found.append(("journald", "journald-json"))
    return found


def _format(path: Path, usual: str) -> str:
    """By the first lines: Debian 12 writes auth.log with ISO times where Debian 11 did not. Empty logs are as usual."""
    try:
        with path.open("rb") as file:
            head = file.read(LOOKED_AT_BYTES)
    except OSError:
        return usual
    data = head[: head.rfind(b"\n") + 1]
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == NEWLINE) + 1
    seen = guess.guess(Lines(data, np.concatenate(([0], ends[:-1])), ends - 1)) if data else guess.FALLBACK
    return (
        usual if seen in {guess.FALLBACK, "nginx-access"} else seen
    )  # which reads Apache's combined format too


def _databases(root: Path) -> list[str]:
    return [kind for path, kind in KNOWN_DATABASES if (root / path).is_dir()]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
