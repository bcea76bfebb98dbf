"""What came into a table first, for tables that are kept at a bound under a flood.

A dict keeps order, but to find its first entry it passes over all places that were emptied before it: taking the oldest
away one by one costs more with each. `Oldest` reads them a run at a time.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

RUN = 1024
K = TypeVar("K")
V = TypeVar("V")


class Oldest(Generic[K, V]):
    """`pop` gives the key of the oldest entry of a table that is not empty; the caller takes it out.

    An entry whose value was replaced since the run was read is as new as that.
    """

    def __init__(self, table: Mapping[K, V]) -> None:
        self._table = table
        self._next: deque[tuple[K, V]] = deque()

    def pop(self) -> K:
        table, waiting = self._table, self._next
        while True:
            if not waiting:
                waiting.extend(islice(table.items(), RUN))
            key, value = waiting.popleft()
            if table.get(key) is value:
                return key
