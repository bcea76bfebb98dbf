"""What comes into the rings while packets are judged: taken out in time, given to the judge in order.

In: rings. Out: (ring, batch). Some traffic takes seconds to judge; a ring that nobody empties meanwhile is full and loses
packets. `serve`, called between two packets, moves what the rings hold into memory of our own, up to a bound; beyond it
packets wait in the ring, and are lost and counted there when that is full too.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from sentinel.capture.ring import JOINED_BLOCKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentinel.capture.ring import Ring
    from sentinel.model import Batch


class Backlog:
    def __init__(self, rings: Sequence[Ring], limit_bytes: int) -> None:
        self._rings = rings
        self._limit = limit_bytes
        self._waiting: deque[tuple[Ring, Batch]] = deque()
        self._bytes = 0
        self._turn = 0

    def serve(self, most_blocks: int = JOINED_BLOCKS) -> None:
        while self._bytes < self._limit and (found := self._from_rings(most_blocks)) is not None:
            self._waiting.append(found)
            self._bytes += len(found[1].data)

    def take(self, most_blocks: int = JOINED_BLOCKS) -> tuple[Ring, Batch] | None:
        """The oldest batch; None when nothing waits and all rings are empty."""
        if not self._waiting:
            return self._from_rings(most_blocks)
        found = self._waiting.popleft()
        self._bytes -= len(found[1].data)
        return found

    def _from_rings(self, most_blocks: int) -> tuple[Ring, Batch] | None:
        """Of each ring in its turn."""
        for _ in self._rings:
            ring = self._rings[self._turn]
            self._turn = (self._turn + 1) % len(self._rings)
            batch = ring.take(most_blocks)
            if batch is not None:
                return ring, batch
        return None
