"""Follows log files, globs among them, and yields what is appended as Batches of whole lines.

In: LogFile settings and the positions of the last checkpoint. Out: (LogFile, Batch) pairs, one chunk of one file at
a time in turn, so one busy log cannot starve the others, and nothing is read before the consumer asks: that is the
backpressure. `Batch.cookie` is the Position to store once the batch was handled; `Batch.source` is the path.
A file that is there at the very first start is read from its end, one that appears later from its beginning.
"""

from __future__ import annotations

import glob
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sentinel import metrics
from sentinel.capture import journald
from sentinel.capture.follow import Follower
from sentinel.capture.position import Position
from sentinel.capture.rotation import generations
from sentinel.capture.wake import Wake

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping, Sequence

    from sentinel.capture.settings import LogFile
    from sentinel.model import Batch

MOST_FILES = 1000  # followed at a time; each costs a descriptor and, at most, a torn line
ARCHIVES = frozenset({".gz", ".bz2", ".xz", ".zst", ".zip", ".lz4"})


class Idle(Protocol):
    """Called whenever all files are read to their end (about once a second): liveness checks, housekeeping."""

    def __call__(self) -> None: ...


class Reader(Protocol):
    """A followed source: a file, or the systemd journal. `position` is what a checkpoint stores."""

    position: Any

    def begin(self) -> None: ...

    def read(self) -> Batch | None: ...

    def behind(self) -> int:
        """Bytes that are there and not read."""

    def close(self) -> None: ...


class Tail:
    """`positions` maps paths to stored positions; `begun` are the patterns that were followed before."""

    def __init__(
        self, files: Sequence[LogFile], positions: Mapping[str, object], begun: frozenset[str] = frozenset()
    ) -> None:
        self._files = tuple(files)
        self._positions = dict(positions)
        self._begun = set(begun)
        self._followers: dict[Path, tuple[LogFile, Reader]] = {}
        self._wake = Wake()
        self.find()

    @property
    def patterns(self) -> list[str]:
        return [file.path for file in self._files]

    def positions(self) -> dict[str, Any]:
        """Where every followed file stands (a Position; for the journal its cursor), also those of which nothing was read."""
        return {
            str(path): follower.position
            for path, (_, follower) in self._followers.items()
            if follower.position
        }

    def batches(self, stop: threading.Event, idle: Idle | None = None) -> Iterator[tuple[LogFile, Batch]]:
        """Until `stop` is set. Every file gets its turn; `idle` runs when none had anything."""
        try:
            while not stop.is_set():
                quiet = True
                for file, follower in list(self._followers.values()):
                    batch = follower.read()
                    if batch is not None:
                        quiet = False
                        metrics.log_lines.inc(len(batch), file=batch.source)
                        metrics.log_last_line_timestamp.set(time.time(), file=batch.source)
                        metrics.log_behind.set(follower.behind(), file=batch.source)
                        yield file, batch
                    if stop.is_set():
                        return
                if quiet:
                    if idle is not None:
                        idle()
                    self._wake.wait()
                    self.find()
        finally:
            self.close()

    def drain(self) -> Iterator[tuple[LogFile, Batch]]:
        """Everything there is now, then return: for tests and one-shot runs."""
        again = True
        while again:
            again = False
            for file, follower in list(self._followers.values()):
                while (batch := follower.read()) is not None:
                    again = True
                    yield file, batch

    def poke(self) -> None:
        self._wake.poke()

    def close(self) -> None:
        for _, follower in self._followers.values():
            follower.close()
        self._wake.close()

    def find(self) -> None:
        """Expand the patterns; begin to follow what is new."""
        directories = set()
        for file in self._files:
            for path in _expand(file.path):
                directories.add(path.parent)
                if path in self._followers or len(self._followers) >= MOST_FILES:
                    continue
                follower = self._reader(path, file)
                follower.begin()
                self._followers[path] = (file, follower)
            self._begun.add(file.path)
        self._wake.watch(directory for directory in directories if directory.is_dir())
        metrics.log_files.set(len(self._followers))

    def _reader(self, path: Path, file: LogFile) -> Reader:
        stored = self._positions.get(str(path))
        at_end = file.read_from == "end"
        if str(path) == journald.NAME:
            return journald.JournalReader(stored, at_end=at_end)
        position = Position.from_json(stored)
        at_end &= file.path not in self._begun
        return Follower(path, position, at_end=at_end and position is None and path.exists())


def _expand(pattern: str) -> list[Path]:
    """The files of a pattern without the rotated generations of others; a plain path also while it is missing."""
    if not glob.has_magic(pattern):
        return [Path(pattern)]
    found = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 - an absolute pattern
    rotated = {old for path in found for old in generations(path)}
    return [path for path in found if path not in rotated and path.suffix not in ARCHIVES and path.is_file()]
