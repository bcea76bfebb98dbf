"""Another try for what may succeed then: any store, wrapped; waits grow, with jitter so that hosts do not march in step.

A file that is not there and a refusal are answers, not failures: they are not tried again. A refusal leaves here as
StoreError, so that nobody further out needs to know two kinds.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, TypeVar

from sentinel.backup.store.store import Buffer, Kind, Store, relative_path
from sentinel.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Result = TypeVar("Result")
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0


class RetryStore:
    def __init__(
        self,
        inner: Store,
        *,
        retries: int = 5,
        first_wait_seconds: float = FIRST_WAIT_SECONDS,
        on_retry: Callable[[str], None] | None = None,
    ) -> None:
        self._inner = inner
        self._retries = retries
        self._first_wait = first_wait_seconds
        self._on_retry = on_retry

    @property
    def location(self) -> str:
        return self._inner.location

    @property
    def connections(self) -> int:
        return self._inner.connections

    def create(self) -> None:
        self._try("create", self.location, self._inner.create)

    def save(self, kind: Kind, name: str, data: Buffer) -> None:
        self._try("save", relative_path(kind, name), lambda: self._inner.save(kind, name, data))

    def load(self, kind: Kind, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._try(
            "load", relative_path(kind, name), lambda: self._inner.load(kind, name, offset, length)
        )

    def size(self, kind: Kind, name: str) -> int:
        return self._try("size", relative_path(kind, name), lambda: self._inner.size(kind, name))

    def list(self, kind: Kind) -> Iterator[tuple[str, int]]:
        """A listing that broke in the middle starts again; nothing is handed out twice."""
        yield from self._try("list", kind.value, lambda: dict(self._inner.list(kind))).items()

    def remove(self, kind: Kind, name: str) -> None:
        """Gone at a second try means that the first one worked and only its answer was lost."""
        tried = False

        def attempt() -> None:
            nonlocal tried
            try:
                self._inner.remove(kind, name)
            except FileNotFoundError:
                if not tried:
                    raise
            except StoreError:
                tried = True
                raise

        self._try("remove", relative_path(kind, name), attempt)

    def is_retained(self, kind: Kind, name: str) -> bool:
        return self._try("look at", relative_path(kind, name), lambda: self._inner.is_retained(kind, name))

    def renew(self, kind: Kind, name: str, days: int) -> bool:
        return self._try("renew", relative_path(kind, name), lambda: self._inner.renew(kind, name, days))

    def sweep(self) -> int:
        return self._try("sweep", self.location, self._inner.sweep)

    def close(self) -> None:
        self._inner.close()

    def _try(self, operation: str, what: str, action: Callable[[], Result]) -> Result:
        wait = self._first_wait
        for attempt in range(self._retries + 1):
            try:
                return action()
            except (PermissionError, EOFError) as error:
                raise StoreError(f"{self.location}: {operation} {what}: {_reason(error)}") from error
            except StoreError:
                if attempt == self._retries:
                    raise
            if self._on_retry is not None:
                self._on_retry(operation)
            time.sleep(wait * random.uniform(0.5, 1.5))  # noqa: S311 - no secret depends on it
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)
        raise AssertionError("the loop above returns or raises")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
