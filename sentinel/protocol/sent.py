"""What one side of a deferred flow sent before, looked up in the frames that are kept of it.

In: a flow and a direction; then a sequence number and a size. Out: the bytes, or None where they are not all there.
The frames are decoded when the first question comes, which is rarely. A flow that keeps asking, batch after batch, is no
longer worth it: all its frames would be decoded each time. It gets no answer, and goes to the real reassembly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sentinel.protocol import headers
from sentinel.protocol.reorder import distance

if TYPE_CHECKING:
    from sentinel.protocol.deferred import Deferred


MOST_READINGS = 4


class Sent:
    def __init__(self, flow: Deferred, direction: int, seed: int) -> None:
        self._flow, self._forward, self._seed = flow, flow.forward == (direction == 0), seed
        self._segments: list[tuple[int, bytes]] | None = None
        self._exact: dict[tuple[int, int], bytes] = {}

    def __call__(self, seq: int, size: int) -> bytes | None:
        if self._segments is None:
            self._flow.reread += 1
            if self._flow.reread > MOST_READINGS:
                return None
            self._segments = self._read()
            self._exact = {(at, len(data)): data for at, data in self._segments}
        exact = self._exact.get((seq, size))
        return exact if exact is not None else self._composed(self._segments, seq, size)

    def _composed(self, segments: list[tuple[int, bytes]], seq: int, size: int) -> bytes | None:
        found, missing = bytearray(size), set(range(size))
        for at, data in segments:
            offset = distance(at, seq)
            low, high = max(offset, 0), min(offset + len(data), size)
            if low < high:
                found[low:high] = data[low - offset : high - offset]
                missing.difference_update(range(low, high))
        return None if missing else bytes(found)

    def _read(self) -> list[tuple[int, bytes]]:
        segments = []
        for kept in self._flow.kept:
            batch = kept.batch()
            rows = headers.decode(batch, seed=self._seed)
            mine = rows.plain & (rows.forward == self._forward) & (rows.payload_end > rows.payload_start)
            for row in np.flatnonzero(mine).tolist():
                data = batch.data[rows.payload_start[row] : rows.payload_end[row]]
                segments.append((int(rows.seq[row]), data))
        return segments
