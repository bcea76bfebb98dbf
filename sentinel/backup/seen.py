"""What the last backup of the same paths saw, kept on this host: folder -> digest of its entries, tree it became.

An unchanged folder then needs neither its tree nor the index. Invariants: believed only beside the very snapshot it was
written for, and only while each index file of that day is still there, so whatever blobs were known then are known now;
a folder of which anything could not be saved is not in it; what is damaged or not ours to read is as if it were not there.
No name and no content is in the file. Bounded: MOST_FILES of them, the longest unused go first.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
from hashlib import blake2b, sha256
from typing import TYPE_CHECKING, NamedTuple

from sentinel import ownership

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

VERSION = 1
MOST_FILES = 100
_ROW = struct.Struct("=16s32s32s")


class Row(NamedTuple):
    digest: bytes
    tree: bytes


class Seen:
    """`find` asks what was seen the last time, `note` says what was seen now."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._rows: dict[bytes, tuple[bytes, bytes]] = {}
        self._noted: list[bytes] = []

    def __bool__(self) -> bool:
        """Whether there is anything to find."""
        return bool(self._rows)

    @property
    def is_kept(self) -> bool:
        return self._file is not None

    def load(self, snapshot: str, index_files: Iterable[str]) -> None:
        if self._file is None:
            return
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            head, _, body = self._file.read_bytes().partition(b"\n")
            header = json.loads(head)
            if (
                header["version"] == VERSION
                and header["snapshot"] == snapshot
                and header["sha256"] == sha256(body).hexdigest()
                and set(header["index"]) <= set(index_files)
                and len(body) % _ROW.size == 0
            ):
                self._rows = {path: (digest, tree) for path, digest, tree in _ROW.iter_unpack(body)}

    def forget(self) -> None:
        self._rows = {}
        self._noted = []

    def find(self, path: bytes) -> Row | None:
        row = self._rows.get(_key(path))
        return Row(*row) if row else None

    def note(self, path: bytes, row: Row) -> None:
        if self._file is not None:
            self._noted.append(_ROW.pack(_key(path), *row))

    def save(self, snapshot: str, index_files: Iterable[str]) -> None:
        """For the next backup. Failing at it costs speed, nothing else."""
        if self._file is None:
            return
        body = b"".join(self._noted)
        header = {
            "version": VERSION,
            "snapshot": snapshot,
            "sha256": sha256(body).hexdigest(),
            "index": sorted(index_files),
        }
        with contextlib.suppress(OSError):
            _write(self._file, json.dumps(header).encode() + b"\n" + body)
            _drop_old(self._file.parent)


def seen_file(folder: Path | None, *what: object) -> Path | None:
    """Of a repository, a host, paths, excludes: whatever the trees depend on."""
    return None if folder is None else folder / sha256(repr(what).encode()).hexdigest()


def _key(path: bytes) -> bytes:
    return blake2b(path, digest_size=16).digest()


def _write(file: Path, content: bytes) -> None:
    if not file.parent.exists():
        file.parent.mkdir(mode=0o700)
        ownership.follow(file.parent)
    temporary = file.with_name(f"{file.name}-{os.getpid()}")
    descriptor = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
    )
    with open(descriptor, "wb") as stream:
        stream.write(content)
    ownership.follow(temporary)
    temporary.replace(file)


def _drop_old(folder: Path) -> None:
    """Those of jobs that are no more, and what a killed process left."""
    files = sorted(folder.iterdir(), key=lambda file: -file.stat().st_mtime)
    for file in files[MOST_FILES:]:
        file.unlink()
