"""Tree packs kept in memory for a distant store: one request for a thousand trees instead of one each.

Trees are written together and walked together, so the pack of one tree soon gives the next. A disk needs none of this.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from sentinel.backup.store.store import Kind

if TYPE_CHECKING:
    from sentinel.backup.repo.index import Location
    from sentinel.backup.store.store import Store

DISTANT_CONNECTIONS = 3  # a store that wants this many requests at once is not a disk
PACKS_KEPT = 4  # of 16 MiB


class TreePacks:
    """Not locked: trees are walked by one thread; two would at worst fetch the same pack twice."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._worthwhile = store.connections >= DISTANT_CONNECTIONS

    def load(self, location: Location) -> bytes:
        """The sealed blob; FileNotFoundError or EOFError as a store raises them."""
        name = location.pack.hex()
        if not self._worthwhile:
            return self._store.load(Kind.DATA, name, location.offset, location.length)
        pack = self._kept.get(location.pack)
        if pack is None:
            pack = self._kept[location.pack] = self._store.load(Kind.DATA, name)
            while len(self._kept) > PACKS_KEPT:
                self._kept.popitem(last=False)
        return pack[location.offset : location.offset + location.length]

    def forget(self, pack: bytes) -> None:
        """What we have of it is damaged; the next load asks the store again."""
        self._kept.pop(pack, None)
