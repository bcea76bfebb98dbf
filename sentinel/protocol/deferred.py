"""Conversations that so far gave no reason to look closer: what is needed to look at them later after all.

In: the rows of each batch that belong to one plain TCP or UDP flow. Out: whether they continue it in order, the new
bytes of each direction with some overlap (for patterns that cross batches), and all frames so far for a replay.

Memory is bounded by the caller; a flow whose frames were given up is `trusted`: if it becomes interesting later, it is
looked at from there on, like a session that was picked up midway.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sentinel.model import Batch
from sentinel.protocol.reorder import MASK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from sentinel.protocol.reorder import Segment

OVERLAP_LIMIT = 65_536  # a message that is longer is judged by its parts
TCP = 6


@dataclass(frozen=True, slots=True)
class Frame:
    """A captured frame as it has to be replayed; `sequence` is its place among all frames of all sources."""

    sequence: int
    number: int
    time: int
    data: bytes
    wire_length: int
    link_type: int
    tag: int
    look: bool = False  # only its headers are looked at, its flow stays put aside
    shown: int = 0  # that was done before, with a stand-in for its flow of this number
    sizes: tuple[int, int] | None = None  # how far its session's streams have come
    to_server: bool = True
    key: int = 0  # of its flow, where that is put aside or may be sealed
    must: bool = True  # be seen even if its flow is sealed


class Rows:
    """One batch; its columns become Python lists when the first flow keeps rows of it."""

    def __init__(self, batch: Batch, sequence: int) -> None:
        self.batch = batch
        self.sequence = sequence
        self.offsets: list[int] = batch.offsets.tolist()
        self.times: list[int] = batch.times.tolist() if batch.times is not None else [0] * len(batch)
        self.lengths = batch.original.tolist() if batch.original is not None else None
        self.tags = batch.vlan.tolist() if batch.vlan is not None else None

    def keep(self, rows: list[int], keys: list[tuple[int, bool]] | None = None) -> Kept:
        data, offsets, times = self.batch.data, self.offsets, self.times
        return Kept(
            rows=rows,
            first=self.batch.first,
            sequence=self.sequence,
            times=[times[row] for row in rows],
            data=[data[offsets[row] : offsets[row + 1]] for row in rows],
            lengths=[self.lengths[row] for row in rows] if self.lengths else None,
            tags=[self.tags[row] for row in rows] if self.tags else None,
            link_type=self.batch.link_type,
            keys=keys,
        )


@dataclass(slots=True)
class Kept:
    """Rows of one batch that a flow keeps: copies, so that the batch itself can go."""

    rows: list[int]
    first: int
    sequence: int
    times: list[int]
    data: list[bytes]
    lengths: list[int] | None
    tags: list[int] | None
    link_type: int
    keys: list[tuple[int, bool]] | None = None  # and whether the row must be seen

    def batch(self) -> Batch:
        offsets = np.zeros(len(self.data) + 1, np.int64)
        np.cumsum([len(data) for data in self.data], out=offsets[1:])
        tags = np.array(self.tags, np.uint32) if self.tags else None
        return Batch(b"".join(self.data), offsets, "", link_type=self.link_type, vlan=tags)

    @property
    def size(self) -> int:
        return sum(map(len, self.data))

    def frames(self) -> Iterator[Frame]:
        for at, data in enumerate(self.data):
            length = self.lengths[at] if self.lengths else len(data)
            tag = self.tags[at] if self.tags else 0
            row = self.rows[at]
            key, must = self.keys[at] if self.keys else (0, True)
            yield Frame(
                *(self.sequence + row, self.first + row, self.times[at], data, length, self.link_type, tag),
                key=key,
                must=must,
            )


@dataclass(slots=True)
class Deferred:
    """One flow. Pairs are indexed by direction: 0 from the host that sent the first packet, 1 to it."""

    proto: int
    forward: bool  # Headers.forward of the first packet
    last: int
    session: bool  # began with a SYN, or is not TCP
    expected: list[int] = field(default_factory=lambda: [-1, -1])
    tails: list[bytes] = field(default_factory=lambda: [b"", b""])
    scanned: list[int] = field(default_factory=lambda: [0, 0])
    kept: list[Kept] = field(default_factory=list)
    held_bytes: int = 0
    waiting: list[list[Segment]] = field(default_factory=lambda: [[], []])  # beyond a hole
    begun: list[int] = field(default_factory=lambda: [-1, -1])  # numbers of the SYNs
    ended: list[bool] = field(default_factory=lambda: [False, False])  # by a FIN of that direction
    reread: int = 0  # how often its frames were decoded again to compare what was sent twice
    torn: bool = False  # something between its segments is missing or was sent twice in two ways
    shown: int = 0  # number of the flow that its first frame was looked at with
    closed: bool = False
    trusted: bool = False
    astray: list[bool] = field(default_factory=lambda: [False, False])  # since bytes were lost (see lossy)
    apps: AbstractSet[str] = frozenset()  # what it may be speaking
    notes: set[Any] = field(default_factory=set)  # belongs to the screen

    @property
    def sizes(self) -> tuple[int, int]:
        """How far the sequence numbers of both directions have come, as stream_size counts."""
        (one, two), (first, second) = self.expected, self.begun
        return (
            (one - first) & MASK if first >= 0 <= one else 0,
            (two - second) & MASK if second >= 0 <= two else 0,
        )

    def keep(self, rows: Kept) -> int:
        """Remember frames for a replay; how many bytes that took."""
        if self.trusted:
            return 0
        self.kept.append(rows)
        size = rows.size
        self.held_bytes += size
        return size

    def release(self) -> int:
        """Give up the frames; how many bytes that freed."""
        freed, self.held_bytes = self.held_bytes, 0
        self.kept = []
        self.trusted = True
        return freed

    def frames(self) -> Iterator[Frame]:
        frames = itertools.chain.from_iterable(rows.frames() for rows in self.kept)
        if self.shown:
            yield from (replace(frame, shown=self.shown) for frame in itertools.islice(frames, 1))
        yield from frames

    def piece(self, direction: int, data: bytes) -> tuple[bytes, bool]:
        """New bytes of a direction behind the old ones that the screen wants again; are they all there ever were?"""
        self.scanned[direction] += len(data)
        joined = self.tails[direction] + data if self.tails[direction] else data
        return joined, self.scanned[direction] == len(joined)
