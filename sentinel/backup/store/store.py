"""What the engine needs of a place for repository files: nine operations, nothing about restic's format.

A file has a kind and a name. Files are written once, whole and atomically (a reader sees all of it or nothing) and
never changed. Contract of every implementation and wrapper (tests/backup/test_store.py runs one suite over all):
- StoreError: the operation failed and may be tried again; FileNotFoundError: there is no such file;
- PermissionError: the place refused; EOFError: the file is shorter than what was asked for. Trying again is useless:
  the outermost wrapper (retry) makes both a StoreError;
- `load` returns exactly the bytes asked for or raises, `list` shows finished files only.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator


Buffer: TypeAlias = bytes | bytearray | memoryview


class Kind(enum.Enum):
    """File kinds and the folder each lives in (restic design.rst, "Repository Layout", default layout)."""

    CONFIG = "config"
    KEY = "keys"
    LOCK = "locks"
    SNAPSHOT = "snapshots"
    INDEX = "index"
    DATA = "data"


class Store(Protocol):
    """One repository's place. All methods may be called from several threads."""

    @property
    def location(self) -> str: ...

    @property
    def connections(self) -> int:
        """How many requests at once make sense: a disk is kept busy by two, a distant server needs more."""

    def create(self) -> None:
        """Prepare an empty place (folders, bucket). Harmless where it exists."""

    def save(self, kind: Kind, name: str, data: Buffer) -> None:
        """Durable when it returns. A second save of the same name is harmless: names are content hashes."""

    def load(self, kind: Kind, name: str, offset: int = 0, length: int | None = None) -> bytes: ...

    def size(self, kind: Kind, name: str) -> int: ...

    def list(self, kind: Kind) -> Iterator[tuple[str, int]]:
        """Name and size of each file of a kind, in no order."""

    def remove(self, kind: Kind, name: str) -> None: ...

    def is_retained(self, kind: Kind, name: str) -> bool:
        """Whether the place would refuse to remove this file now (Object Lock)."""

    def renew(self, kind: Kind, name: str, days: int) -> bool:
        """Retain the file for `days` from now if less than half of that is left; whether that was necessary."""

    def sweep(self) -> int:
        """Remove what interrupted writers left behind; only under an exclusive lock. Returns how many."""

    def close(self) -> None: ...


def relative_path(kind: Kind, name: str) -> str:
    if kind is Kind.CONFIG:
        return "config"
    if kind is Kind.DATA:
        return f"data/{name[:2]}/{name}"
    return f"{kind.value}/{name}"
