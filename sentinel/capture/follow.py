"""One followed log: reads on from a position, over rotation by rename, by copy and truncate, and over archives.

In: a path and the position of a checkpoint. Out: Batches of whole lines; `cookie` is the Position after them, for
the checkpoint. A torn last line waits for its rest while the file is live, and counts as a line once the file was
rotated away. Invariant: bytes are accepted only if the file still begins as it did, so a file that was truncated
and written again between two reads is never read in the middle.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from sentinel import metrics
from sentinel.capture import rotation
from sentinel.capture.logfile import CHUNK_BYTES, LineCutter, open_archive
from sentinel.capture.position import HEAD_BYTES, Position, start_of

if TYPE_CHECKING:
    from pathlib import Path

    from sentinel.model import Batch

MOST_TURNS = 16  # files opened and found at their end within one call
LINGER_SECONDS = 0.5  # a server's workers reopen their log one after the other; late lines go to the old file


class Follower:
    """`read` gives the next batch, or None when there is nothing new."""

    def __init__(self, path: Path, position: Position | None = None, *, at_end: bool = False) -> None:
        self.path = path
        self.position = position
        self.lost = 0  # generations that were gone before they were read to their end
        self._at_end = at_end
        self._stored: BinaryIO | None = None
        self._file: BinaryIO | None = None
        self._live = False
        self._cutter = LineCutter()
        self._raw = 0  # bytes read of the current file, the torn rest included
        self._finished = False  # the file of `position` was read to its end and will not grow
        self._moved: float | None = None  # since when another file stands at our path

    def read(self) -> Batch | None:
        """At most one chunk. Files that vanish or cannot be opened are tried again at the next call."""
        try:
            for _ in range(MOST_TURNS):
                if self._file is None and not self.open():
                    return None
                before = self._raw
                batch = self._read_live() if self._live else self._read_finished()
                if batch is not None or (self._file is not None and self._raw == before):
                    return batch
        except (OSError, EOFError):
            self.close()
        return None

    def behind(self) -> int:
        """Bytes of the open file that are there and not read; of an archive nobody knows before it is read."""
        if self._stored is None or self._file is not self._stored:
            return 0
        return max(0, os.fstat(self._stored.fileno()).st_size - self._raw)

    def begin(self) -> None:
        """Open the file if it is there, so that `position` can be stored before the first line is read."""
        try:
            self.open()
        except (OSError, EOFError):
            self.close()

    def close(self) -> None:
        for file in (self._file, self._stored):
            if file is not None:
                file.close()
        self._file = self._stored = None

    # --- which file --------------------------------------------------------------------------------------------

    def open(self) -> bool:
        """Open what is to be read next; False while there is no file."""
        found = rotation.segments(self.path, self.position)
        if self._finished:
            found = [segment for segment in found if segment.position is None]
        if not found:
            return False
        segment = found[0]
        self._stored = segment.path.open("rb")
        self._file = open_archive(self._stored)
        self._live = segment.live
        here = start_of(self._stored.fileno(), segment.before)
        if here.inode != segment.inode:
            self.close()  # rotated between the look and the opening
            return False
        if segment.position is not None:
            here = replace(segment.position, device=here.device, inode=here.inode)
            here = here if here.offset else replace(here, after=segment.before)
        elif self._at_end and segment.live:
            here = self._end_of(self._stored, here)
        self._at_end = self._finished = False
        self.position = here
        self._file.seek(here.offset)
        self._raw = here.offset
        self._cutter = LineCutter(here.lines + 1)
        self._cutter.skipping = here.skipping
        self._moved = None
        return True

    def _end_of(self, stored: BinaryIO, here: Position) -> Position:
        """After the last whole line: a first start does not read what was there before."""
        end, lines = 0, 0
        while chunk := stored.read(CHUNK_BYTES):
            cut = chunk.rfind(b"\n")
            if cut >= 0:
                end = stored.tell() - len(chunk) + cut + 1
                lines += chunk.count(b"\n")
        return here.advanced(end, lines, self._head(stored), skipping=False)

    def _head(self, stored: BinaryIO) -> bytes:
        return os.pread(stored.fileno(), HEAD_BYTES, 0)

    # --- reading -----------------------------------------------------------------------------------------------

    def _read_live(self) -> Batch | None:
        assert self._stored is not None
        assert self.position is not None
        descriptor = self._stored.fileno()
        data = os.pread(descriptor, CHUNK_BYTES, self._raw)
        head = self._head(self._stored)
        if os.fstat(descriptor).st_size < self._raw or not self.position.begins(head):
            self._restart()  # truncated, or truncated and written again
            return None
        if self._raw == 0 and not rotation.is_newest(self.path, self.position.after):
            self._restart()  # copied and truncated before we had read a byte of it
            return None
        if data:
            return self._accept(data, head)
        if self._replaced(descriptor):
            return self._finish()
        return None

    def _replaced(self, descriptor: int) -> bool:
        """Whether another file stands at our path, and the writers had time to turn to it."""
        try:
            status = self.path.stat()
        except OSError:
            return False  # renamed, the new one is not there yet
        mine = os.fstat(descriptor)
        if (status.st_dev, status.st_ino) == (mine.st_dev, mine.st_ino):
            self._moved = None
            return False
        now = time.monotonic()
        if self._moved is None:
            self._moved = now
        return now - self._moved >= LINGER_SECONDS

    def _may_grow(self) -> bool:
        """A file that was renamed a moment ago, perhaps before we began to read it, still gets its writers' last lines."""
        assert self._stored is not None
        if self._file is not self._stored:
            return False  # an archive
        return 0 <= time.time() - os.fstat(self._stored.fileno()).st_ctime < LINGER_SECONDS

    def _read_finished(self) -> Batch | None:
        assert self._file is not None
        data = self._file.read(CHUNK_BYTES)
        if not data:
            return None if self._may_grow() else self._finish()
        head = b""
        if self.position is not None and self.position.head_bytes < HEAD_BYTES:
            place = self._file.tell()
            self._file.seek(0)
            head = self._file.read(HEAD_BYTES)
            self._file.seek(place)
        return self._accept(data, head)

    def _accept(self, data: bytes, head: bytes) -> Batch | None:
        self._raw += len(data)
        batch = self._cutter.cut_lines(data, str(self.path))
        if batch is None and not self._cutter.skipping:
            return None
        self._advance(head)
        if batch is not None:
            batch.cookie = self.position
        return batch

    def _advance(self, head: bytes) -> None:
        assert self.position is not None
        cutter = self._cutter
        self.position = self.position.advanced(
            self._raw - len(cutter.rest), cutter.number - 1, head, skipping=cutter.skipping
        )

    def _finish(self) -> Batch | None:
        """The file will not grow any more: its torn last line is a line; then on to the next file."""
        batch = self._cutter.finish(str(self.path))
        assert self.position is not None
        self.position = self.position.advanced(self._raw, self._cutter.number - 1, b"", skipping=False)
        if batch is not None:
            batch.cookie = self.position
        self.close()
        self._finished = True
        return batch

    def _restart(self) -> None:
        """What we had open is no longer what we read: look for it among the generations."""
        self.close()
        if not any(segment.position for segment in rotation.segments(self.path, self.position)):
            self.lost += 1
            metrics.log_generations_lost.inc()
