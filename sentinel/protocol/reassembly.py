"""One direction of a TCP stream: segments in, bytes in stream order out, overlaps resolved as the target host would.

In: segments by sequence number. Out: `contiguous(offset)` and blocks by absolute stream offset (0 is the first byte
after the SYN). The receiving host's operating system decides which copy of an overlapped byte counts (Ptacek and
Newsham 1998; Novak and Sturges, "Target-based TCP stream reassembly", 2007); policies and their names are Suricata's.

Invariant: blocks are sorted, never touch or overlap, and hold exactly the bytes that policies chose.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from functools import partial
from operator import itemgetter
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

# More pieces than this between two acknowledgements are an attack on our time; then only bytes are remembered.
MAXIMUM_SEGMENTS = 4096


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

    __slots__ = ("base", "blocks", "edge", "held_bytes", "longest", "segments")

    def __init__(self) -> None:
        self.base = 0  # everything before was used up and dropped
        self.blocks: list[tuple[int, bytearray]] = []
        self.segments: list[tuple[int, int]] = []  # (start, end), sorted
        self.longest = self.held_bytes = 0
        self.edge = 0  # the highest end of any segment

    def insert(self, start: int, payload: bytes, policy: str, wins: Wins | None = None) -> bool:
        """Add a segment; True when an overlap had other bytes. `wins` replaces the policy."""
        end = start + len(payload)
        if start >= self.edge:  # the common case: nothing to argue about
            self._remember(start, end)
            self.edge = end
            self.held_bytes += len(payload)
            blocks = self.blocks
            if blocks and blocks[-1][0] + len(blocks[-1][1]) == start:
                blocks[-1][1].extend(payload)
            else:
                blocks.append((start, bytearray(payload)))
            return False
        chosen = bytearray(payload)
        differs = self._keep_old(start, end, chosen, wins or partial(new_wins, policy))
        self._remember(start, end)
        self.edge = max(self.edge, end)
        cut = max(0, self.base - start)
        self._write(start + cut, chosen[cut:])
        return differs

    def _keep_old(self, start: int, end: int, chosen: bytearray, wins: Wins) -> bool:
        """Put the old bytes back wherever the old copy wins; were there any that differ?"""
        differs = False
        segments = self.segments
        first = bisect_left(segments, (start - self.longest, 0))
        for position in range(first, len(segments)):
            old_start, old_end = segments[position]
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

    def _remember(self, start: int, end: int) -> None:
        if len(self.segments) >= MAXIMUM_SEGMENTS:
            self.segments = [(low, low + len(data)) for low, data in self.blocks]
            self.longest = max(high - low for low, high in self.segments)
            if len(self.segments) >= MAXIMUM_SEGMENTS:
                return
        insort(self.segments, (start, end))
        self.longest = max(self.longest, end - start)

    def overlaps(self, start: int, end: int) -> bool:
        """Is any byte of [start, end) here already?"""
        if start >= self.edge:
            return False
        position = self._block_after(start)
        return position < len(self.blocks) and self.blocks[position][0] < end

    def _block_after(self, offset: int) -> int:
        """Index of the first block that ends after `offset`."""
        position = bisect_right(self.blocks, offset, key=itemgetter(0))
        if position and self.blocks[position - 1][0] + len(self.blocks[position - 1][1]) > offset:
            position -= 1
        return position

    def read(self, low: int, high: int) -> bytes:
        """Bytes [low, high) that are known to lie in one block."""
        position = self._block_after(low)
        if position == len(self.blocks):
            return b""
        start, data = self.blocks[position]
        return bytes(data[low - start : high - start])

    def _write(self, start: int, data: bytearray) -> None:
        """Lay bytes over the blocks and join those that now touch."""
        end = start + len(data)
        blocks = self.blocks
        first = self._block_after(start - 1)
        last = first
        while last < len(blocks) and blocks[last][0] <= end:
            block_start, block = blocks[last]
            block_end = block_start + len(block)
            self.held_bytes -= len(block)
            if block_start < start:
                data = block[: start - block_start] + data
                start = block_start
            if block_end > end:
                data += block[len(block) - (block_end - end) :]
                end = block_end
            last += 1
        self.held_bytes += len(data)
        blocks[first:last] = [(start, data)]

    def contiguous(self, offset: int) -> tuple[bytes, int]:
        """What follows `offset` without a hole: (bytes, 0), or (b"", size of the hole before the next block)."""
        position = self._block_after(offset)
        if position == len(self.blocks):
            return b"", 0
        start, data = self.blocks[position]
        if start > offset:
            return b"", start - offset
        return bytes(data[offset - start :]) if offset > start else bytes(data), 0

    def slide(self, offset: int) -> None:
        """Forget everything before `offset`."""
        if offset <= self.base:
            return
        self.base = offset
        while self.blocks and self.blocks[0][0] < offset:
            start, data = self.blocks[0]
            if start + len(data) <= offset:
                self.held_bytes -= len(data)
                del self.blocks[0]
            else:
                self.held_bytes -= offset - start
                del data[: offset - start]
                self.blocks[0] = (offset, data)
        segments = self.segments
        gone = 0
        while gone < len(segments) and segments[gone][1] <= offset:
            gone += 1
        del segments[:gone]
