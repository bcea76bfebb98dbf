"""The addresses of this host, from the kernel's own tables of the network namespace we are in.

Read again at most once a second: they change (DHCP, keepalived), and those who ask do so in bursts.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import time
from pathlib import Path

KEPT_SECONDS = 1.0
IPV4_TABLE = Path("/proc/thread-self/net/fib_trie")
IPV6_TABLE = Path("/proc/thread-self/net/if_inet6")
# an address, and on the next line that it is delivered here
LOCAL = re.compile(r"\|-- (\S+)\n\s+/32 host LOCAL")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class OwnAddresses:
    def __init__(self) -> None:
        self._known: frozenset[Address] = frozenset()
        self._read_at = -KEPT_SECONDS

    def __contains__(self, address: Address) -> bool:
        now = time.monotonic()
        if now - self._read_at >= KEPT_SECONDS:
            self._known, self._read_at = read(), now
        return address in self._known


def read(ipv4: Path = IPV4_TABLE, ipv6: Path = IPV6_TABLE) -> frozenset[Address]:
    found: set[Address] = set()
    with contextlib.suppress(OSError):
        found.update(ipaddress.IPv4Address(text) for text in LOCAL.findall(ipv4.read_text()))
    with contextlib.suppress(OSError):
        lines = ipv6.read_text().splitlines()
        found.update(ipaddress.IPv6Address(bytes.fromhex(line.split()[0])) for line in lines)
    return frozenset(found)
