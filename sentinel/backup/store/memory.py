"""A store in memory, for tests: the same contract as a directory, gone with the object."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from sentinel.backup.store.store import Buffer, Kind, relative_path

if TYPE_CHECKING:
    from collections.abc import Iterator


class MemoryStore:
    def __init__(self, name: str = "memory") -> None:
        self.files: dict[tuple[Kind, str], bytes] = {}
        self._name = name
        self._lock = threading.Lock()

    @property
    def location(self) -> str:
        return f"memory:{self._name}"

    @property
    def connections(self) -> int:
        return 2

    def create(self) -> None:
        pass

    def save(self, kind: Kind, name: str, data: Buffer) -> None:
        with self._lock:
            self.files[kind, name] = bytes(data)

    def load(self, kind: Kind, name: str, offset: int = 0, length: int | None = None) -> bytes:
        data = self._get(kind, name)
        part = data[offset:] if length is None else data[offset : offset + length]
        if length is not None and len(part) != length:
            raise EOFError(f"{relative_path(kind, name)}: {len(part)} bytes at {offset}, wanted {length}")
        return part

    def size(self, kind: Kind, name: str) -> int:
        return len(self._get(kind, name))

    def list(self, kind: Kind) -> Iterator[tuple[str, int]]:
        with self._lock:
            found = [(name, len(data)) for (each, name), data in self.files.items() if each is kind]
        yield from found

    def remove(self, kind: Kind, name: str) -> None:
        with self._lock:
            self._require(kind, name)
            del self.files[kind, name]

    def is_retained(self, kind: Kind, name: str) -> bool:
        return False

    def renew(self, kind: Kind, name: str, days: int) -> bool:
        return False

    def sweep(self) -> int:
        return 0

    def close(self) -> None:
        pass

    def _get(self, kind: Kind, name: str) -> bytes:
        with self._lock:
            self._require(kind, name)
            return self.files[kind, name]

    def _require(self, kind: Kind, name: str) -> None:
        if (kind, name) not in self.files:
            raise FileNotFoundError(relative_path(kind, name))
