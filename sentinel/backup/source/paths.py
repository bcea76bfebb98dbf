"""Files and folders: what must be found again of them. (Reading them is the archive's work.)

In: the job's paths and excludes, and the root under which a restored copy lies. Out: invariants: the number of files
below each path and a checksum over a sample of them. The sample is chosen by a hash of the path, so a copy gives the
same one. Live folders change while they are read: measured before and after, only what was stable is kept.
"""

# Names are bytes here, because a file's name need not be UTF-8; pathlib knows only text.
# ruff: noqa: PTH112, PTH114, PTH118, PTH123

from __future__ import annotations

import hashlib
import heapq
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel.backup.exclude import PathFilter
from sentinel.backup.source.invariants import Invariants, Table
from sentinel.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from sentinel.backup.source.source import Opener, Part

HEAD_BYTES = 65_536  # of each sampled file, beside its size
MOST_SAMPLED = 200


@dataclass(frozen=True, slots=True)
class Paths:
    include: tuple[Path, ...]
    exclude: tuple[str, ...] = ()
    one_file_system: bool = False
    root: Path = Path("/")
    sample_files: int = 100

    @property
    def kind(self) -> str:
        return "paths"

    def probe(self) -> str:
        for path in self.include:
            if not os.path.lexists(self._found(path)):
                raise SourceError(f"paths: {self._found(path)}: there is no such file or folder")
        return self.address()

    def address(self) -> str:
        return f"paths:{self.root.resolve()}:{':'.join(map(str, self.include))}"

    def dump(self) -> AbstractContextManager[list[Part]]:
        raise SourceError("paths: files are archived as they are, there is nothing to dump")

    def load(self, parts: Opener, *, replace: bool) -> None:
        raise SourceError("paths: restore files with `sentinel backup restore`")

    def measure(self) -> Invariants:
        self.probe()
        filter_ = PathFilter(self.exclude)
        tables = {str(path): self._table(path, filter_) for path in self.include}
        return Invariants(self.kind, time.time_ns(), tables)

    def ask(self, query: str) -> str:
        """The content of a file of the copy, without its last line end: enough to compare a marker."""
        try:
            return self._found(Path(query)).read_text(errors="replace").rstrip("\n")
        except OSError as error:
            raise SourceError(f"paths: {query}: {error.strerror}") from error

    # --- inside ---------------------------------------------------------------------------------------------

    def _found(self, path: Path) -> Path:
        return self.root / path.relative_to("/")

    def _table(self, path: Path, excluded: PathFilter) -> Table:
        sample: list[tuple[bytes, bytes]] = []
        wanted, count = min(self.sample_files, MOST_SAMPLED), 0
        for name in self._files(os.fsencode(self._found(path)), excluded):
            count += 1
            # A heap of the smallest hashes: negated bytes make the largest come out first.
            rank = bytes(255 - byte for byte in hashlib.sha256(self._original(name)).digest()[:8])
            push = heapq.heappush if len(sample) < wanted else heapq.heappushpop
            if wanted:
                push(sample, (rank, name))
        digest, taken = hashlib.sha256(), 0
        for _, name in sorted(sample):
            content = _fingerprint(name)
            if content is not None:
                digest.update(self._original(name) + b"\0" + content)
                taken += 1
        return Table.exactly(count, sample=digest.hexdigest(), sampled=taken)

    def _files(self, top: bytes, excluded: PathFilter) -> Iterator[bytes]:
        """Regular files only; what cannot be listed the archive reports."""
        if excluded.matches(self._original(top)):
            return
        if not os.path.isdir(top) or os.path.islink(top):
            if stat.S_ISREG(os.lstat(top).st_mode):
                yield top
            return
        device = os.lstat(top).st_dev
        for folder, folders, files in os.walk(top):
            if self.one_file_system:
                folders[:] = [
                    name for name in folders if os.lstat(os.path.join(folder, name)).st_dev == device
                ]
            folders[:] = [
                name for name in folders if not excluded.matches(self._original(os.path.join(folder, name)))
            ]
            for name in files:
                path = os.path.join(folder, name)
                if not excluded.matches(self._original(path)) and _is_regular(path):
                    yield path

    def _original(self, name: bytes) -> bytes:
        """The path at the source of a file that may lie in a copy."""
        return b"/" + os.path.relpath(name, os.fsencode(self.root))


def _is_regular(path: bytes) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False  # removed meanwhile


def _fingerprint(path: bytes) -> bytes | None:
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            return size.to_bytes(8, "big") + hashlib.sha256(file.read(HEAD_BYTES)).digest()
    except OSError:
        return None
