"""Which process owns a connection: addresses and ports -> pid, name, systemd unit, container.

In: a 5-tuple as a packet shows it, either way round. Out: Owner, or None for a connection that is not of this host (or
whose socket is gone). The kernel's sock_diag names the socket's inode, /proc/PID/fd its process, /proc/PID/cgroup the
unit and container. Asked at alert time only; answers are kept for a second, and what they are made of for less: alerts come
in bursts, and a burst must not hold up the capture. A socket made within that moment may stay unnamed.
An accepted connection that is closed already is its listener's.

Reading other users' /proc/PID/fd needs CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, too much for a parser of hostile
traffic. Without them the socket's control group, which sock_diag tells anybody, names unit and container, and the
process where the group has only one (else its first: the one that the unit started).
sock_diag(7), proc(5), cgroups(7); cgroup paths of systemd, Docker, Podman, containerd and Kubernetes.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinel.addresses import OwnAddresses

if TYPE_CHECKING:
    from collections.abc import Sequence

TCP, UDP = 6, 17
KEPT_SECONDS = 1.0
LISTED_SECONDS = 0.1  # so often the kernel's table of sockets is read at most: alerts come in bursts
SCAN_SECONDS = 0.25  # and so often all processes are looked at
INODE = re.compile(r"socket:\[(\d+)\]")
UNIT = re.compile(r"/([^/]+\.(?:service|scope|socket|slice))(?=/|$)")
CONTAINER = re.compile(
    r"(?:docker|libpod|crio|cri-containerd|containerd)?[-/:]?([0-9a-f]{64})(?:\.scope)?(?=/|$)"
)

GROUPS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))

Endpoint = tuple[bytes, int]


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


@dataclass(frozen=True, slots=True)
class Socket:
    """`inode` is 0 once nobody holds it; `group` is the id of its control group, the inode of the group's folder."""

    own: Endpoint
    peer: Endpoint
    inode: int
    group: int = 0

    def waits_at(self, local: Endpoint) -> bool:
        """Listens there, or is a datagram socket without a peer."""
        return (
            not self.peer[1] and self.own[1] == local[1] and self.own[0] in {local[0], bytes(len(local[0]))}
        )


class Owners:
    """Asks the kernel, and remembers the answer for a moment."""

    def __init__(self, proc: Path = Path("/proc"), groups: Sequence[Path] = GROUPS) -> None:
        self.proc = proc
        self.groups = groups
        self._asked: dict[tuple[int, Endpoint, Endpoint], tuple[float, Owner | None]] = {}
        self._tables: dict[tuple[int, int], tuple[float, list[Socket]]] = {}
        self._inodes: dict[int, int] = {}
        self._inodes_at = -KEPT_SECONDS
        self._own = OwnAddresses()

    def find(self, proto: int, one: Endpoint, other: Endpoint) -> Owner | None:
        key, now = (proto, one, other), time.monotonic()
        known = self._asked.get(key)
        if known is not None and now - known[0] < KEPT_SECONDS:
            return known[1]
        if len(self._asked) > 1000:
            self._asked.clear()
        found = self._socket(proto, one, other)
        owner = (self._owner(found.inode) or self._of_group(found.group)) if found else None
        self._asked[key] = (now, owner)
        return owner

    def _socket(self, proto: int, one: Endpoint, other: Endpoint) -> Socket | None:
        """The socket bound to one of the endpoints and connected to the other, or listening there."""
        table = self._table(proto, len(one[0]))
        for local, remote in ((one, other), (other, one)):
            for found in table:
                if found.own == local and found.peer == remote and found.inode:
                    return found
        for local in (one, other):
            if proto == TCP and ipaddress.ip_address(local[0]) not in self._own:
                continue  # the port is the other host's
            for found in table:
                if found.waits_at(local):
                    return found
        return None

    def _table(self, proto: int, size: int) -> list[Socket]:
        read_at, table = self._tables.get((proto, size), (-LISTED_SECONDS, []))
        now = time.monotonic()
        if now - read_at >= LISTED_SECONDS:
            table = self._sockets(proto, size)
            self._tables[proto, size] = now, table
        return table

    def _sockets(self, proto: int, size: int) -> list[Socket]:
        try:
            return self._from_netlink(proto, size)
        except (OSError, ImportError, ValueError, KeyError):
            return self._from_proc(proto, size)

    def _from_netlink(self, proto: int, size: int) -> list[Socket]:
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
                    group = row.get_attr("INET_DIAG_CGROUP_ID") or 0
                    found.append(Socket(own, peer, row["idiag_inode"], group))
        return found

    def _from_proc(self, proto: int, size: int) -> list[Socket]:
        base = "tcp" if proto == TCP else "udp"
        found = []
        for name in (base, base + "6"):
            with contextlib.suppress(OSError):
                for line in (self.proc / "net" / name).read_text().splitlines()[1:]:
                    fields = line.split()
                    found.append(Socket(_hex(fields[1], size), _hex(fields[2], size), int(fields[9])))
        return found

    def _of_group(self, group: int) -> Owner | None:
        """What anybody may know: the unit, and its only or first process."""
        for root in self.groups if group else ():
            for folder, _, _ in os.walk(root):
                if folder != str(root) and Path(folder).stat().st_ino == group:
                    return self._first_process(root, Path(folder))
        return None

    def _first_process(self, root: Path, folder: Path) -> Owner | None:
        try:
            pid = min(map(int, (folder / "cgroup.procs").read_text().split()))
        except (OSError, ValueError):  # gone, or empty
            return None
        return Owner(pid, self._name(pid), *read_cgroup(f"0::/{folder.relative_to(root)}"))

    def _name(self, pid: int) -> str:
        with contextlib.suppress(OSError):
            return (self.proc / str(pid) / "comm").read_text().strip()
        return ""

    def _owner(self, inode: int) -> Owner | None:
        pid = self._process_of(inode)
        if not pid:
            return None
        group = ""
        with contextlib.suppress(OSError):
            group = (self.proc / str(pid) / "cgroup").read_text()
        unit, container = read_cgroup(group)
        return Owner(pid, self._name(pid), unit, container)

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
