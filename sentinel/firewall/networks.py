"""What a ban shuts out: one network. An IPv6 address stands for its /64, a network stays as the operator gave it.

The kernel looks a source up by fixed prefix lengths (ruleset.BAN_LENGTHS); `pieces` splits a network into those.
"""

from __future__ import annotations

from dataclasses import dataclass

from sentinel.errors import UsageError
from sentinel.firewall import intervals
from sentinel.firewall.ruleset import BAN_LENGTHS

LARGEST_PIECES = 128  # a /9 or an IPv6 /41: whoever wants to shut out more writes it in the policy


@dataclass(frozen=True, slots=True)
class Network:
    family: int
    first: int
    length: int

    @property
    def last(self) -> int:
        return self.first + (1 << (intervals.BITS[self.family] - self.length)) - 1

    def __str__(self) -> str:
        return intervals.format_interval(self.family, self.first, self.last)

    def covers(self, other: Network) -> bool:
        return self.family == other.family and self.first <= other.first and other.last <= self.last

    def widened(self, length: int) -> Network:
        size = 1 << (intervals.BITS[self.family] - length)
        return Network(self.family, self.first - self.first % size, length)

    def pieces(self) -> list[Network]:
        unit = _piece_length(self.family, self.length)
        step = 1 << (intervals.BITS[self.family] - unit)
        return [Network(self.family, self.first + i * step, unit) for i in range(1 << (unit - self.length))]


def parse(address: str) -> Network:
    try:
        family, first, last = intervals.parse(address)
    except ValueError as error:
        raise UsageError(str(error)) from None
    size = last - first + 1
    if size & (size - 1) or first % size:
        raise UsageError(f"{address!r}: a ban is an address or a network, not a range")
    found = Network(family, first, intervals.BITS[family] - size.bit_length() + 1)
    if family == 6 and found.length > 64:
        found = found.widened(64)  # one customer's network; a host changes the rest at will (RFC 8981)
    _piece_length(family, found.length)
    return found


def _piece_length(family: int, length: int) -> int:
    unit = min((known for known in BAN_LENGTHS[family] if known >= length), default=0)
    if not unit or 1 << (unit - length) > LARGEST_PIECES:
        raise UsageError(f"a /{length} is too wide for a ban; deny it in the policy")
    return unit
