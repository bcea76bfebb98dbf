"""Pieces of IP datagrams that cannot make a whole one yet: put aside in columns, so that a flood of them costs little.

In: the rows of each batch that Headers calls fragments. Out: which of them have to go through NetworkParser now, with
the pieces put aside before. A datagram is let go as soon as its first and its last piece were seen, however many are
missing between them, or when one of its pieces is wanted. Until then nothing can come of it but decoder events.

Bounded by datagrams and bytes; the oldest batch of pieces makes room. Pieces are kept as long as in defrag.py.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sentinel.protocol.defrag import TIMEOUT_SECONDS
from sentinel.protocol.headers import FIRST, FRAGMENT, LAST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sentinel.model import Packet
    from sentinel.protocol.deferred import Frame, Kept, Rows
    from sentinel.protocol.headers import Headers

    Keys = NDArray[np.uint64]

TIMEOUT = TIMEOUT_SECONDS * 1_000_000_000


@dataclass(slots=True)
class Held:
    """What one batch left: `keys` and `parts` of its datagrams, in ascending order, and its rows."""

    time: int
    keys: Keys
    parts: NDArray[np.int64]
    row_keys: Keys
    kept: Kept
    size: int

    def add_parts(self, keys: Keys, parts: NDArray[np.int64]) -> None:
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        parts |= np.where(self.keys[at] == keys, self.parts[at], 0)

    def frames(self, keys: Keys) -> Iterator[Frame]:
        chosen = set(np.flatnonzero(np.isin(self.row_keys, keys)).tolist())
        return (frame for at, frame in enumerate(self.kept.frames() if chosen else ()) if at in chosen)


class Fragments:
    def __init__(self, datagrams: int, limit_bytes: int) -> None:
        self._bound, self._limit_bytes = datagrams, limit_bytes
        self._held: list[Held] = []
        self._given: list[tuple[int, Keys]] = []  # let go: their other pieces follow at once
        self.count = self.held_bytes = self.evicted = self.timed_out = 0

    def take(self, found: Headers, wanted: NDArray[np.bool_], batch: Rows, frames: list[Frame]) -> list[int]:
        """Rows of this batch to replay; earlier pieces of the same datagrams are added to `frames`."""
        rows = np.flatnonzero(found.fragment)
        if not len(rows):
            return []
        now = batch.times[int(rows[-1])]
        self._expire(now)
        rows = rows[np.argsort(found.key[rows], kind="stable")]
        row_keys = found.key[rows]
        edges = np.flatnonzero(np.concatenate(([True], row_keys[1:] != row_keys[:-1])))
        keys, parts = row_keys[edges], np.bitwise_or.reduceat(found.part[rows], edges)
        for held in self._held:
            held.add_parts(keys, parts)
        ripe = (parts == FIRST | LAST) | np.logical_or.reduceat(wanted[rows], edges)
        known = np.zeros(len(keys), np.bool_)
        for _, given in self._given:
            known |= np.isin(keys, given)
        self.give(keys[ripe & ~known], now, frames)
        ripe |= known
        counts = np.diff(np.append(edges, len(rows)))
        going = np.repeat(ripe, counts)
        if not ripe.all():
            self._keep(now, keys[~ripe], parts[~ripe], row_keys[~going], batch.keep(rows[~going].tolist()))
        leaving: list[int] = rows[going].tolist()
        return leaving

    def give(self, keys: Keys, now: int, frames: list[Frame]) -> None:
        """These datagrams are NetworkParser's from now on, with all pieces that were put aside."""
        if not len(keys):
            return
        for held in self._held:
            frames += held.frames(keys)
        self._given.append((now, keys))

    def _keep(self, now: int, keys: Keys, parts: NDArray[np.int64], row_keys: Keys, kept: Kept) -> None:
        held = Held(now, keys, parts, row_keys, kept, kept.size)
        self._held.append(held)
        self.count += len(keys)
        self.held_bytes += held.size
        while len(self._held) > 1 and (
            self.count - len(self._held[0].keys) >= self._bound or self.held_bytes > self._limit_bytes
        ):
            self.evicted += self._drop()

    def _drop(self) -> int:
        oldest = self._held.pop(0)
        self.count -= len(oldest.keys)
        self.held_bytes -= oldest.size
        return len(oldest.keys)

    def _expire(self, now: int) -> None:
        while self._held and self._held[0].time < now - TIMEOUT:
            self.timed_out += self._drop()
        while self._given and self._given[0][0] < now - TIMEOUT:
            del self._given[0]


def first_piece(packet: Packet) -> bytes:
    """A bare first piece of the packet's datagram, from its IP header on: its key is that of all others."""
    if packet.version == 4:
        identifier = packet.data[packet.l3 + 4 : packet.l3 + 6]
        head = struct.pack(">BBH2sHBBH", 0x45, 0, 20, identifier, 0x2000, 64, packet.proto, 0)
        return head + packet.src + packet.dst
    identifier = packet.data[packet.l4 + 4 : packet.l4 + 8]
    head = struct.pack(">IHBB", 6 << 28, 8, FRAGMENT, 64)
    return head + packet.src + packet.dst + b"\0\0\0\1" + identifier
