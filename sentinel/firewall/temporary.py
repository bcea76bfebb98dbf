"""What a policy allows only for a while: rules and entries of groups with `until`, for an operator to see.

The kernel ends them by itself; here they keep their reason, which its elements cannot hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sentinel import yamlfile
from sentinel.firewall.groups import GroupEntry, nanoseconds
from sentinel.firewall.policy import Direction, PolicyFile

if TYPE_CHECKING:
    from collections.abc import Iterator

NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Temporary:
    what: str
    until: int
    reason: str

    def seconds_left(self, now: int) -> float:
        return max(0, self.until - now) / NANOSECONDS


def entries(text: str, path: str) -> list[Temporary]:
    """Of a policy that is valid, the one that ends first first; what has ended already is among them."""
    return sorted(_entries(yamlfile.parse(text, PolicyFile, path)), key=lambda one: one.until)


def _entries(policy: PolicyFile) -> Iterator[Temporary]:
    for direction in Direction:
        for number, rule in enumerate(getattr(policy, direction.value), 1):
            if until := nanoseconds(rule.until):
                yield Temporary(f"{direction.value} {number}", until, rule.reason)
    for group, found in policy.groups.items():
        for entry in found:
            if isinstance(entry, GroupEntry) and (until := nanoseconds(entry.until)):
                yield Temporary(f"group {group}: {entry.address or entry.file}", until, entry.reason)
