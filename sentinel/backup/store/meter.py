"""Counts what goes to and comes from any store: requests, failures, bytes, for metrics.py and for reports."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, TypeVar

from sentinel import metrics
from sentinel.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sentinel.backup.store.store import Buffer, Kind, Store

Result = TypeVar("Result")
DIRECTIONS = frozenset({"sent", "received"})


class MeterStore:
    """`counts` maps (operation, kind) to a number; bytes are under "sent" and "received"."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self._lock = threading.Lock()
        self.counts: Counter[tuple[str, str]] = Counter()

    @property
    def location(self) -> str:
        return self._inner.location

    @property
    def connections(self) -> int:
        return self._inner.connections

    def create(self) -> None:
        self._inner.create()

    def save(self, kind: Kind, name: str, data: Buffer) -> None:
        self._run("save", kind, lambda: self._inner.save(kind, name, data))
        self._count("sent", kind, len(data))

    def load(self, kind: Kind, name: str, offset: int = 0, length: int | None = None) -> bytes:
        data = self._run("load", kind, lambda: self._inner.load(kind, name, offset, length))
        self._count("received", kind, len(data))
        return data

    def size(self, kind: Kind, name: str) -> int:
        return self._run("size", kind, lambda: self._inner.size(kind, name))

    def list(self, kind: Kind) -> Iterator[tuple[str, int]]:
        yield from self._run("list", kind, lambda: list(self._inner.list(kind)))

    def remove(self, kind: Kind, name: str) -> None:
        self._run("remove", kind, lambda: self._inner.remove(kind, name))

    def is_retained(self, kind: Kind, name: str) -> bool:
        return self._run("look", kind, lambda: self._inner.is_retained(kind, name))

    def renew(self, kind: Kind, name: str, days: int) -> bool:
        return self._run("renew", kind, lambda: self._inner.renew(kind, name, days))

    def sweep(self) -> int:
        return self._inner.sweep()

    def close(self) -> None:
        self._inner.close()

    def _run(self, operation: str, kind: Kind, action: Callable[[], Result]) -> Result:
        result = "ok"
        try:
            return action()
        except (StoreError, PermissionError, EOFError):
            result = "failed"
            raise
        except FileNotFoundError:
            result = "missing"
            raise
        finally:
            self._count(operation, kind, 1)
            metrics.backup_store_requests.inc(operation=operation, result=result)

    def _count(self, what: str, kind: Kind, amount: int) -> None:
        with self._lock:
            self.counts[what, kind.value] += amount
        if what in DIRECTIONS:
            metrics.backup_store_bytes.inc(amount, direction=what)
