"""What a first configuration should know of this host: interfaces, listening services, logs, databases.

Reads /proc and /sys and the file system, changes nothing. Everything is relative to `root`, so that a test (or an
image that is being built) can be looked at instead of the running host.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from pathlib import Path

# where a distribution puts a log -> the name of its format; the first match of each line is taken
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

# a path that tells of a database -> kind of backup source
KNOWN_DATABASES: tuple[tuple[str, str], ...] = (
    ("var/lib/postgresql", "postgresql"),
    ("var/lib/mysql", "mariadb"),
    ("var/lib/redis", "redis"),
)

LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp


@dataclass(frozen=True, slots=True)
class Listener:
    """A TCP port that somebody listens on; `local` when only this host can reach it."""

    name: str
    port: int
    local: bool


@dataclass(frozen=True, slots=True)
class Survey:
    interfaces: tuple[str, ...]
    listeners: tuple[Listener, ...]
    logs: tuple[tuple[str, str], ...]
    databases: tuple[str, ...]


def look(root: Path = Path("/")) -> Survey:
    return Survey(
        tuple(_interfaces(root)), tuple(_listeners(root)), tuple(_logs(root)), tuple(_databases(root))
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


def _listeners(root: Path) -> list[Listener]:
    names = {port: name for name, port in KNOWN_SERVICES.items()}
    reach: dict[int, bool] = {}
    for table in ("tcp", "tcp6"):
        for line in _text(root / "proc/net" / table).splitlines()[1:]:
            fields = line.split()
            if len(fields) > 3 and fields[3] == LISTEN:
                address, port = _address(fields[1])
                reach[port] = reach.get(port, True) and address.is_loopback
    return [Listener(names.get(port, f"port-{port}"), port, local) for port, local in sorted(reach.items())]


def _address(field: str) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]:
    """`0100007F:1F90` as in /proc/net/tcp: 32-bit words in host order, then the port."""
    words, _, port = field.partition(":")
    raw = b"".join(struct.pack("=I", int(words[i : i + 8], 16)) for i in range(0, len(words), 8))
    address = ipaddress.ip_address(raw)
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address, int(port, 16)


def _logs(root: Path) -> list[tuple[str, str]]:
    return [(f"/{pattern}", kind) for pattern, kind in KNOWN_LOGS if any(root.glob(pattern))]


def _databases(root: Path) -> list[str]:
    return [kind for path, kind in KNOWN_DATABASES if (root / path).is_dir()]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
