"""Sessions of which no more than the first SYN was seen: a flood has a million of them, so each is one small record.

In: the SYN of a flow that the columnar path puts aside. Out: the same as a Deferred, once something follows it. At most
`bound` are kept; the oldest gives way and is counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sentinel.protocol.deferred import TCP, Deferred, Kept
from sentinel.protocol.oldest import Oldest
from sentinel.protocol.reorder import MASK

if TYPE_CHECKING:
    from sentinel.protocol.deferred import Rows

LARGEST_BYTES = 128  # of a frame; a SYN with every option over IPv6 and two VLAN tags has 122


class Attempt(NamedTuple):
    forward: bool
    seq: int
    time: int
    sequence: int
    number: int
    data: bytes
    length: int
    tag: int
    link_type: int
    shown: int


class Attempts:
    def __init__(self, bound: int) -> None:
        self.bound = bound
        self.evicted = 0
        self._kept: dict[int, Attempt] = {}
        self._oldest = Oldest(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, key: int, row: int, rows: Rows, *, forward: bool, seq: int) -> bool:
        """False: the frame is too large to be kept here."""
        batch, (low, high) = rows.batch, rows.offsets[row : row + 2]
        if high - low > LARGEST_BYTES:
            return False
        if len(self._kept) >= self.bound:
            del self._kept[self._oldest.pop()]
            self.evicted += 1
        self._kept[key] = Attempt(
            forward=forward,
            seq=seq,
            time=rows.times[row],
            sequence=rows.sequence + row,
            number=batch.first + row,
            data=batch.data[low:high],
            length=rows.lengths[row] if rows.lengths else high - low,
            tag=rows.tags[row] if rows.tags else 0,
            link_type=batch.link_type,
            shown=0,
        )
        return True

    def show(self, key: int, flow_id: int) -> bool:
        """Its SYN was looked at with a flow of this number."""
        found = self._kept.get(key)
        if found is not None:
            self._kept[key] = found._replace(shown=flow_id)
        return found is not None

    def take(self, key: int) -> Deferred | None:
        found = self._kept.pop(key, None)
        if found is None:
            return None
        flow = Deferred(TCP, found.forward, found.time, session=True, shown=found.shown)
        flow.expected[0], flow.begun[0] = (found.seq + 1) & MASK, found.seq
        kept = Kept(
            rows=[0],
            first=found.number,
            sequence=found.sequence,
            times=[found.time],
            data=[found.data],
            lengths=[found.length],
            tags=[found.tag] if found.tag else None,
            link_type=found.link_type,
        )
        flow.keep(kept)
        return flow

    def forget_before(self, edge: int) -> None:
        for key in [key for key, attempt in self._kept.items() if attempt.time < edge]:
            del self._kept[key]

    def clear(self) -> None:
        self._kept.clear()
