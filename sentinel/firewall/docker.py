"""Published container ports that the policy's inbound rules do not govern, told from the kernel's own NAT rules.

Docker (and podman) rewrite the destination before routing, so such traffic is forwarded: `inbound` never sees it.
Bans hold there as well; allowlists only where the policy has forward rules and `default.forward` is not accept.
Read from nft's text, because its JSON shows rules made by iptables-nft, as Docker makes them, without their target.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sentinel.firewall import kernel
from sentinel.firewall.policy import Direction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentinel.firewall.ruleset import Ruleset

TABLE_LINE = re.compile(r"table (\w+ \S+) \{")
PORT = re.compile(r"\b(tcp|udp|sctp|th) dport (\{[^}]*\}|\S+)")
PROTOCOL = re.compile(r"\b(?:l4proto|protocol|nexthdr) (tcp|udp|sctp)\b")
TARGET = re.compile(r"\bdnat (?:ip6? )?to (\S+)")
UNKNOWN_TARGET = re.compile(r'\bxt target "DNAT"')  # nft without iptables' extensions


@dataclass(frozen=True, slots=True, order=True)
class Published:
    protocol: str
    port: str
    target: str
    table: str

    def __str__(self) -> str:
        return f"{self.protocol}/{self.port} -> {self.target} (table {self.table}) bypasses the inbound rules"


def bypassing(compiled: Ruleset) -> list[Published]:
    """Nothing to report when forwarded traffic needs a rule of the policy too."""
    if any(one.name == Direction.FORWARD.value and one.policy != "accept" for one in compiled.chains):
        return []
    return sorted(set(published(kernel.foreign_rules())))


def published(listing: str) -> Iterator[Published]:
    table = ""
    for line in listing.splitlines():
        if found := TABLE_LINE.match(line):
            table = found[1]
        port, target = PORT.search(line), TARGET.search(line)
        if port and (target or UNKNOWN_TARGET.search(line)):
            stated = PROTOCOL.search(line)
            protocol = stated[1] if port[1] == "th" and stated else port[1]
            yield Published(protocol, port[2].strip("{ }"), target[1] if target else "a container", table)
