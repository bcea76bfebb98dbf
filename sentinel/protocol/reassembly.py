"""One direction of a TCP stream: segments in, bytes in stream order out, overlaps resolved as the target host would.

In: segments by sequence number. Out: `contiguous(offset)` and blocks by absolute stream offset (0 is the first byte
after the SYN). The receiving host's operating system decides which copy of an overlapped byte counts (Ptacek and
Newsham 1998; Novak and Sturges, "Target-based TCP stream reassembly", 2007); policies and their names are Suricata's.

Invariant: blocks are sorted, never touch or overlap, and hold exactly the bytes that policies chose.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Wins = Callable[[int, int, int, int], bool]

BSD, WINDOWS, OLD_LINUX, LINUX, SOLARIS, HPUX10, HPUX11, IRIX, MACOS, VISTA, WINDOWS2K3, FIRST, LAST = (
    *("bsd", "windows", "old-linux", "linux", "solaris", "hpux10", "hpux11", "irix", "macos"),
    *("vista", "windows2k3", "first", "last"),
)
# Which copy wins, by how the new segment lies against an old one: policies that prefer the new one.
NEW_WINS_SAME_START_LONGER = frozenset({LINUX, OLD_LINUX, SOLARIS, HPUX11})
NEW_WINS_SAME_START_EQUAL = frozenset({OLD_LINUX, SOLARIS, HPUX11})
NEW_WINS_BEFORE = frozenset({BSD, HPUX10, IRIX, WINDOWS, WINDOWS2K3, OLD_LINUX, LINUX, MACOS})
NEW_WINS_BEFORE_AND_COVERS = NEW_WINS_BEFORE | {SOLARIS, HPUX11}
NEW_WINS_AFTER_AND_BEYOND = frozenset({SOLARIS, HPUX11})


def new_wins(policy: str, start: int, end: int, old_start: int, old_end: int) -> bool:
    """Does a segment [start, end) replace the bytes of an older [old_start, old_end) where both overlap?"""
    if policy == LAST:
        return True
    if start == old_start:
        if end < old_end:
            return False
        return policy in (NEW_WINS_SAME_START_LONGER if end > old_end else NEW_WINS_SAME_START_EQUAL)
    if start < old_start:
        return policy in (NEW_WINS_BEFORE if end < old_end else NEW_WINS_BEFORE_AND_COVERS)
    return end > old_end and policy in NEW_WINS_AFTER_AND_BEYOND


class Reassembly:
    """Bytes of one direction from `base` on. `segments` remembers what arrived how, for overlaps."""

    __slots__ = ("base", "blocks", "edge", "segments")

    def __init__(self) -> None:
        self.base = 0  # everything before was used up and dropped
        self.blocks: list[tuple[int, bytearray]] = []
        self.segments: list[tuple[int, int]] = []  # (start, end), sorted
        self.edge = 0  # the highest end of any segment

    @property
    def held_bytes(self) -> int:
        return sum(len(data) for _, data in self.blocks)

    def insert(self, start: int, payload: bytes, policy: str, wins: Wins | None = None) -> bool:
        """Add a segment; True when an overlap had other bytes. `wins` replaces the policy."""
        end = start + len(payload)
        if start >= self.edge:  # the common case: nothing to argue about
            self.segments.append((start, end))
            self.edge = end
            blocks = self.blocks
            if blocks and blocks[-1][0] + len(blocks[-1][1]) == start:
                blocks[-1][1].extend(payload)
            else:
                blocks.append((start, bytearray(payload)))
            return False
        chosen = bytearray(payload)
        differs = self._keep_old(start, end, chosen, wins or partial(new_wins, policy))
        position = bisect_right(self.segments, (start, end))
        if not (position and self.segments[position - 1] == (start, end)):
            self.segments.insert(position, (start, end))
        self.edge = max(self.edge, end)
        cut = max(0, self.base - start)
        self._write(start + cut, chosen[cut:])
        return differs

    def _keep_old(self, start: int, end: int, chosen: bytearray, wins: Wins) -> bool:
        """Put the old bytes back wherever the old copy wins; were there any that differ?"""
        differs = False
        for old_start, old_end in self.segments:
            if old_start >= end:
                break
            low, high = max(start, old_start, self.base), min(end, old_end)
            if low >= high:
                continue
            old = self.read(low, high)
            if chosen[low - start : high - start] == old:
                continue
            differs = True
            if not wins(start, end, old_start, old_end):
                chosen[low - start : high - start] = old
        return differs

    def read(self, low: int, high: int) -> bytes:
        """Bytes [low, high) that are known to lie in one block."""
        for start, data in self.blocks:
            if start <= low < start + len(data):
                return bytes(data[low - start : high - start])
        return b""

    def _write(self, start: int, data: bytearray) -> None:
        """Lay bytes over the blocks and join those that now touch."""
        end = start + len(data)
        kept: list[tuple[int, bytearray]] = []
        for block_start, block in self.blocks:
            block_end = block_start + len(block)
            if block_end < start or block_start > end:
                kept.append((block_start, block))
                continue
            if block_start < start:
                data = block[: start - block_start] + data
                start = block_start
            if block_end > end:
                data += block[len(block) - (block_end - end) :]
                end = block_end
        kept.append((start, data))
        kept.sort()
        self.blocks = kept

    def contiguous(self, offset: int) -> tuple[bytes, int]:
        """What follows `offset` without a hole: (bytes, 0), or (b"", size of the hole before the next block)."""
        for start, data in self.blocks:
            if start > offset:
                return b"", start - offset
            if offset < start + len(data):
                return bytes(data[offset - start :]) if offset > start else bytes(data), 0
        return b"", 0

    def slide(self, offset: int) -> None:
        """Forget everything before `offset`."""
        if offset <= self.base:
            return
        self.base = offset
        while self.blocks and self.blocks[0][0] < offset:
            start, data = self.blocks[0]
            if start + len(data) <= offset:
                del self.blocks[0]
            else:
                del data[: offset - start]
                self.blocks[0] = (offset, data)
        segments = self.segments
        gone = 0
        while gone < len(segments) and segments[gone][1] <= offset:
            gone += 1
        del segments[:gone]
