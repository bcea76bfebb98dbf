"""A whole log file -> batches of lines: plain, gzip, bzip2, xz or zstd, in UTF-8, UTF-16 or any 8-bit encoding.

In: a path. Out: Batches whose rows are lines with their line ends, numbered from 1; the last line may lack its end.
NumPy is loaded with the first line: who waits for alerts that do not come (respond, webhook) holds no array library.
Lines longer than LONGEST_LINE are cut there (the rest is dropped), so memory is bounded whatever the file holds.
UTF-16 and UTF-32 with a byte order mark become UTF-8; a UTF-8 mark is dropped; other bytes are left as they are.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
from typing import TYPE_CHECKING, BinaryIO, cast

from sentinel import metrics
from sentinel.errors import SentinelError
from sentinel.model import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy as np

CHUNK_BYTES = 1 << 20  # a batch: large enough that NumPy's cost per call vanishes, small enough for the cache
REPLAY_BYTES = 2 << 20  # nobody waits for the first line of a whole file
LONGEST_LINE = (
    256 * 1024
)  # nginx's largest request line and headers are 32 KiB; beyond this it is no log line
NEWLINE = b"\n"
ARCHIVES: tuple[tuple[bytes, Callable[[BinaryIO], BinaryIO]], ...] = (
    (b"\x1f\x8b", lambda file: cast("BinaryIO", gzip.GzipFile(fileobj=file))),
    (b"BZh", lambda file: cast("BinaryIO", bz2.BZ2File(file))),
    (b"\xfd7zXZ\x00", lambda file: cast("BinaryIO", lzma.LZMAFile(file))),  # noqa: SIM115 - closed by who opened the archive
)
MARKS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, ""),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class LineCutter:
    """Bytes as they come -> whole lines. Keeps the torn last line for the next call."""

    def __init__(self, first: int = 1) -> None:
        self.number = first  # 1-based number of the next line
        self.rest = b""
        self.skipping = False  # inside the cut-off part of an overlong line

    def cut_lines(self, data: bytes, source: str) -> Batch | None:
        """The whole lines of rest + data, or None when there is none yet."""
        if self.skipping:
            end = data.find(NEWLINE)
            if end < 0:
                return None
            self.skipping, data = False, data[end + 1 :]
        data = self.rest + data
        end = data.rfind(NEWLINE) + 1
        self.rest = data[end:]
        if len(self.rest) > LONGEST_LINE:
            data = data[:end] + self.rest[: LONGEST_LINE - 1] + NEWLINE
            self.rest, self.skipping, end = b"", True, len(data)
            metrics.log_lines_cut.inc()
        return self._batch(data[:end], source) if end else None

    def finish(self, source: str) -> Batch | None:
        """The last line, if it has no line end."""
        data, self.rest = self.rest, b""
        return self._batch(data, source) if data else None

    def _batch(self, data: bytes, source: str) -> Batch:
        import numpy as np

        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == NEWLINE[0]) + 1
        if not len(ends) or ends[-1] != len(data):
            ends = np.append(ends, len(data))
        offsets = np.concatenate([np.zeros(1, np.int64), ends.astype(np.int64)])
        overlong = int(np.count_nonzero(np.diff(offsets) > LONGEST_LINE))
        if overlong:
            data, offsets = _shorten(data, offsets)
            metrics.log_lines_cut.inc(overlong)
        batch = Batch(data, offsets, source, first=self.number)
        self.number += len(batch)
        return batch


def read_file(path: Path, *, progress: Callable[[int], None] | None = None) -> Iterator[Batch]:
    """All lines of a file; `progress` is told the bytes read of the file as stored."""
    cutter = LineCutter()
    try:
        with path.open("rb") as stored:
            for data in _decoded(open_archive(stored)):
                batch = cutter.cut_lines(data, str(path))
                if batch is not None:
                    yield batch
                if progress is not None:
                    progress(stored.tell())
    except (OSError, EOFError, lzma.LZMAError) as error:
        # What was read before the damage was given out; a torn gzip of a crashed rotation is no reason to lose it.
        raise SentinelError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    last = cutter.finish(str(path))
    if last is not None:
        yield last


def open_archive(stored: BinaryIO) -> BinaryIO:
    """The file itself, or what it holds when it is an archive (by its first bytes)."""
    head = stored.read(6)
    stored.seek(0)
    for magic, opener in ARCHIVES:
        if head.startswith(magic):
            return opener(stored)
    return stored


def _decoded(file: BinaryIO) -> Iterator[bytes]:
    data = file.read(REPLAY_BYTES)
    encoding = ""
    for mark, name in MARKS:
        if data.startswith(mark):
            data, encoding = data[len(mark) :], name
            break
    decoder = codecs.getincrementaldecoder(encoding)("replace") if encoding else None
    while data:
        yield decoder.decode(data).encode() if decoder else data
        data = file.read(REPLAY_BYTES)


def _shorten(
    data: bytes, offsets: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> tuple[bytes, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Lines cut at LONGEST_LINE."""
    import numpy as np

    rows = [
        data[a : min(b, a + LONGEST_LINE - 1)]
        for a, b in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    ]
    rows = [row if row.endswith(NEWLINE) else row + NEWLINE for row in rows]
    ends = np.cumsum([len(row) for row in rows], dtype=np.int64)
    return b"".join(rows), np.concatenate([np.zeros(1, np.int64), ends])
