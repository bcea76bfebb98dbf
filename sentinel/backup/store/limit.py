"""A ceiling on bytes per second, up and down, for any store: backups must not starve the shop's own traffic.

A token bucket over whole files: a file is paid for before it is sent and after it was received, by waiting.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sentinel.backup.store.store import Buffer, Kind, Store


class Bucket:
    """Bytes may be spent `rate` per second; 0 is no limit. Threads queue for their turn in time, not for a lock."""

    def __init__(
        self,
        rate: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._free_at = 0.0

    def spend(self, size: int) -> None:
        if not self._rate:
            return
        with self._lock:
            now = self._clock()
            start = max(now, self._free_at)
            self._free_at = start + size / self._rate
            wait = self._free_at - now
        self._sleep(wait)


class LimitStore:
    def __init__(self, inner: Store, upload: Bucket, download: Bucket) -> None:
        self._inner = inner
        self._upload = upload
        self._download = download

    @property
    def location(self) -> str:
        return self._inner.location

    @property
    def connections(self) -> int:
        return self._inner.connections

    def create(self) -> None:
        self._inner.create()

    def save(self, kind: Kind, name: str, data: Buffer) -> None:
        self._upload.spend(len(data))
        self._inner.save(kind, name, data)

    def load(self, kind: Kind, name: str, offset: int = 0, length: int | None = None) -> bytes:
        data = self._inner.load(kind, name, offset, length)
        self._download.spend(len(data))
        return data

    def size(self, kind: Kind, name: str) -> int:
        return self._inner.size(kind, name)

    def list(self, kind: Kind) -> Iterator[tuple[str, int]]:
        return self._inner.list(kind)

    def remove(self, kind: Kind, name: str) -> None:
        self._inner.remove(kind, name)

    def is_retained(self, kind: Kind, name: str) -> bool:
        return self._inner.is_retained(kind, name)

    def renew(self, kind: Kind, name: str, days: int) -> bool:
        return self._inner.renew(kind, name, days)

    def sweep(self) -> int:
        return self._inner.sweep()

    def close(self) -> None:
        self._inner.close()
