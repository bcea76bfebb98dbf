"""Whom a response never bans: addresses, networks, and DNS names that are looked up again by their TTL.

In: the settings' list and a resolver (name -> addresses of both families and TTL). Out: does a ban of this address hit one
of them; for IPv6 a ban is of the /64, so a neighbour within it counts. A name that cannot be looked up keeps its last
answer, and is tried again soon; a failed lookup never makes an address bannable that was not.
"""

from __future__ import annotations

import ipaddress
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address
    Network = ipaddress.IPv4Network | ipaddress.IPv6Network
    Resolver = Callable[[str], tuple[list[str], int]]

SHORTEST_SECONDS, LONGEST_SECONDS = 30, 3_600  # between lookups, whatever the TTL says
STAY_SECONDS = (
    600  # an address stays protected after it was last in an answer: round robin shows a part at a time
)
MOST_ADDRESSES = 256  # of one name


@dataclass(slots=True)
class Name:
    due: float = 0.0
    seen: dict[Network, float] = field(default_factory=dict)


class NeverBan:
    """`entries` were checked by the settings: what is no network is a name."""

    def __init__(self, entries: Iterable[str], resolve: Resolver) -> None:
        self._resolve = resolve
        self._networks: list[Network] = []
        self._names: dict[str, Name] = {}
        for text in entries:
            try:
                self._networks.append(ipaddress.ip_network(text, strict=False))
            except ValueError:
                self._names[text] = Name()

    def covers(self, address: Address) -> bool:
        banned = ipaddress.ip_network((address, 64 if address.version == 6 else 32), strict=False)
        if _hit(banned, self._networks):
            return True
        now = time.monotonic()
        for name, known in self._names.items():
            if now >= known.due:
                self._look_up(name, known, now)
        return any(_hit(banned, known.seen) for known in self._names.values())

    def _look_up(self, name: str, known: Name, now: float) -> None:
        try:
            addresses, ttl = self._resolve(name)
        except OSError:
            known.due = now + SHORTEST_SECONDS
            return
        known.due = now + min(max(ttl, SHORTEST_SECONDS), LONGEST_SECONDS)
        for text in addresses[:MOST_ADDRESSES]:
            known.seen[ipaddress.ip_network(text)] = now
        for network in [network for network, last in known.seen.items() if now - last > STAY_SECONDS]:
            if network not in {ipaddress.ip_network(text) for text in addresses}:
                del known.seen[network]


def _hit(banned: Network, protected: Iterable[Network]) -> bool:
    return any(banned.version == network.version and banned.overlaps(network) for network in protected)
