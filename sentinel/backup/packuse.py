"""What each pack holds that a snapshot needs: prune removes and rewrites by it, renewal retains by it.

In: an index and what is reachable. Out: the needed blobs of each pack. Invariant: a blob counts in one pack only; of
several copies it is the one in the pack with the least waste, whoever asks, so that a pack whose needed blobs were
copied elsewhere is needed by nobody any more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sentinel.backup.reach import Reachable
    from sentinel.backup.repo.index import Index
    from sentinel.backup.repo.pack import BlobType, Entry


@dataclass(slots=True)
class PackUse:
    id: bytes
    used: list[Entry] = field(default_factory=list)
    used_bytes: int = 0
    unused_bytes: int = 0
    kinds: set[BlobType] = field(default_factory=set)

    @property
    def used_share(self) -> float:
        return self.used_bytes / (self.used_bytes + self.unused_bytes or 1)


def survey(index: Index, reached: Reachable, packs: Iterable[bytes]) -> list[PackUse]:
    uses = [_use_of(pack, index.entries(pack), reached) for pack in packs]
    if sum(len(use.used) for use in uses) > len(reached.trees) + len(reached.data):
        _count_once(uses)
    return uses


def _use_of(pack: bytes, entries: Iterable[Entry], reached: Reachable) -> PackUse:
    use = PackUse(pack)
    for entry in entries:
        use.kinds.add(entry.type)
        if entry.id in reached.of(entry.type):
            use.used.append(entry)
            use.used_bytes += entry.length
        else:
            use.unused_bytes += entry.length
    return use


def _count_once(uses: list[PackUse]) -> None:
    seen: set[tuple[BlobType, bytes]] = set()
    for use in sorted(uses, key=lambda use: (-use.used_share, use.id)):
        first = []
        for entry in use.used:
            if (entry.type, entry.id) in seen:
                use.used_bytes -= entry.length
                use.unused_bytes += entry.length
            else:
                seen.add((entry.type, entry.id))
                first.append(entry)
        use.used = first
