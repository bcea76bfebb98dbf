"""Which process owns a connection: addresses and ports -> pid, name, systemd unit, container.

In: a 5-tuple as a packet shows it, either way round. Out: Owner, or None for a connection that is not of this host (or
whose socket is gone). The kernel's sock_diag names the socket's inode, /proc/PID/fd its process, /proc/PID/cgroup the
unit and container. Asked at alert time only; answers are kept for a second, and what they are made of for less: alerts come
in bursts, and a burst must not hold up the capture. A socket made within that moment may stay unnamed.

Needs CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH for other users' processes; without them only our own are named.
sock_diag(7), proc(5); cgroup paths of systemd, Docker, Podman, containerd and Kubernetes.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TCP, UDP = 6, 17
KEPT_SECONDS = 1.0
LISTED_SECONDS = 0.1  # so often the kernel's table of sockets is read at most: alerts come in bursts
SCAN_SECONDS = 0.25  # and so often all processes are looked at
INODE = re.compile(r"socket:\[(\d+)\]")
UNIT = re.compile(r"/([^/]+\.(?:service|scope|socket|slice))(?=/|$)")
CONTAINER = re.compile(
    r"(?:docker|libpod|crio|cri-containerd|containerd)?[-/:]?([0-9a-f]{64})(?:\.scope)?(?=/|$)"
)

Endpoint = tuple[bytes, int]
Row = tuple[int, tuple[Endpoint, Endpoint]]  # inode, (local, remote)


@dataclass(frozen=True, slots=True)
class Owner:
    pid: int
    name: str
    unit: str = ""
    container: str = ""

    def to_eve(self) -> dict[str, Any]:
        """EVE's `process` object; what is not known is left out."""
        fields = {"pid": self.pid, "name": self.name, "unit": self.unit, "container": self.container}
        return {name: value for name, value in fields.items() if value}


class Owners:
    """Asks the kernel, and remembers the answer for a moment."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self.proc = proc
        self._asked: dict[tuple[int, Endpoint, Endpoint], tuple[float, Owner | None]] = {}
        self._tables: dict[tuple[int, int], tuple[float, list[Row]]] = {}
        self._inodes: dict[int, int] = {}
        self._inodes_at = -KEPT_SECONDS

    def find(self, proto: int, one: Endpoint, other: Endpoint) -> Owner | None:
        key, now = (proto, one, other), time.monotonic()
        known = self._asked.get(key)
        if known is not None and now - known[0] < KEPT_SECONDS:
            return known[1]
        if len(self._asked) > 1000:
            self._asked.clear()
        inode = self._inode(proto, one, other)
        owner = self._owner(inode) if inode else None
        self._asked[key] = (now, owner)
        return owner

    def _inode(self, proto: int, one: Endpoint, other: Endpoint) -> int:
        """The socket bound to one of the endpoints and connected to the other, or listening there."""
        table = self._table(proto, len(one[0]))
        for local, remote in ((one, other), (other, one)):
            for inode, (own, peer) in table:
                if own == local and peer == remote:
                    return inode
        if proto == UDP:  # unconnected: the port alone tells
            for local in (one, other):
                for inode, (own, peer) in table:
                    if own[1] == local[1] and not peer[1] and own[0] in {local[0], bytes(len(own[0]))}:
                        return inode
        return 0

    def _table(self, proto: int, size: int) -> list[Row]:
        read_at, table = self._tables.get((proto, size), (-LISTED_SECONDS, []))
        now = time.monotonic()
        if now - read_at >= LISTED_SECONDS:
            table = self._sockets(proto, size)
            self._tables[proto, size] = now, table
        return table

    def _sockets(self, proto: int, size: int) -> list[Row]:
        try:
            return self._from_netlink(proto, size)
        except (OSError, ImportError, ValueError, KeyError):
            return self._from_proc(proto, size)

    def _from_netlink(self, proto: int, size: int) -> list[Row]:
        import socket

        from pyroute2.netlink.diag import SS_ALL, DiagSocket

        found = []
        with DiagSocket() as diag:
            diag.bind()
            families = [socket.AF_INET, socket.AF_INET6] if size == 4 else [socket.AF_INET6]
            for family in families:
                for row in diag.get_sock_stats(states=SS_ALL, family=family, extensions=0, protocol=proto):
                    own = (_packed(row["idiag_src"], size), row["idiag_sport"])
                    peer = (_packed(row["idiag_dst"], size), row["idiag_dport"])
                    found.append((row["idiag_inode"], (own, peer)))
        return found

    def _from_proc(self, proto: int, size: int) -> list[Row]:
        base = "tcp" if proto == TCP else "udp"
        found = []
        for name in (base, base + "6"):
            with contextlib.suppress(OSError):
                for line in (self.proc / "net" / name).read_text().splitlines()[1:]:
                    fields = line.split()
                    found.append((int(fields[9]), (_hex(fields[1], size), _hex(fields[2], size))))
        return found

    def _owner(self, inode: int) -> Owner | None:
        pid = self._process_of(inode)
        if not pid:
            return None
        name, group = "", ""
        with contextlib.suppress(OSError):
            name = (self.proc / str(pid) / "comm").read_text().strip()
            group = (self.proc / str(pid) / "cgroup").read_text()
        unit, container = read_cgroup(group)
        return Owner(pid, name, unit, container)

    def _process_of(self, inode: int) -> int:
        now = time.monotonic()
        age = now - self._inodes_at
        if age > KEPT_SECONDS or (inode not in self._inodes and age > SCAN_SECONDS):
            self._inodes = self._scan()
            self._inodes_at = now
        return self._inodes.get(inode, 0)

    def _scan(self) -> dict[int, int]:
        inodes: dict[int, int] = {}
        for entry in os.scandir(self.proc):
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                for descriptor in os.scandir(f"{entry.path}/fd"):
                    with contextlib.suppress(OSError):
                        match = INODE.match(str(Path(descriptor.path).readlink()))
                        if match:
                            inodes.setdefault(int(match[1]), int(entry.name))
        return inodes


def read_cgroup(text: str) -> tuple[str, str]:
    """(systemd unit, container id of 12 digits) of a /proc/PID/cgroup; the innermost unit counts."""
    unit = container = ""
    for line in text.splitlines():
        path = line.rpartition(":")[2]
        units = [name for name in UNIT.findall(path) if not name.endswith(".slice")]
        unit = units[-1] if units else unit
        ids = CONTAINER.findall(path)
        container = ids[-1][:12] if ids else container
    return unit, container


def _packed(text: str, size: int) -> bytes:
    """IPv4 sockets that listen on IPv6 show mapped addresses."""
    address = ipaddress.ip_address(text)
    if size == 4 and isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped.packed if address.ipv4_mapped else bytes(4)
    return address.packed


def _hex(text: str, size: int) -> Endpoint:
    """/proc/net/tcp writes addresses as 32-bit words in the host's byte order."""
    address, _, port = text.partition(":")
    words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
    packed = b"".join(words)
    if len(packed) == 16 and size == 4:
        packed = packed[12:] if packed[:12] == b"\0" * 10 + b"\xff\xff" else bytes(4)
    return packed, int(port, 16)
