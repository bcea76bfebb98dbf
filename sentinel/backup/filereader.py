"""File contents -> blobs, in threads: small files in batches, large ones cut here and sealed by all workers.

Batches keep the hand-over between threads cheap (a hundred thousand small files are the common case); what is under
way is bounded in bytes, so that memory stays flat whatever is backed up.
"""

from __future__ import annotations

import os
import stat
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from sentinel.backup.filenode import node_from_stat, read_xattrs
from sentinel.backup.repo.chunker import MIN_BYTES, Chunker, Reader
from sentinel.backup.repo.pack import BlobType
from sentinel.errors import Problem, SourceError

if TYPE_CHECKING:
    from sentinel.backup.progress import ProgressMeter
    from sentinel.backup.repo.repository import Repository
    from sentinel.backup.repo.tree import Node
    from sentinel.backup.repo.writer import BlobWriter

WORKERS = max(2, min(os.cpu_count() or 2, 8))
BATCH_FILES = 64
BATCH_BYTES = 2 * 1024 * 1024
WHOLE_FILE_BYTES = (
    16 * 1024 * 1024
)  # larger ones are cut by the walking thread, so that all workers share one file
IN_FLIGHT = 2 * WORKERS + 2  # batches or chunks queued or at work
OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


@dataclass(slots=True)
class WantedFile:
    """A file whose content is needed; the reader sets `node`, or leaves None where there is nothing to save."""

    path: bytes
    name: bytes
    size: int
    was_known: bool
    with_atime: bool
    node: Node | None = None


class FileReader:
    """`submit` gathers files into batches; a future is done when its files have their nodes."""

    def __init__(
        self,
        repository: Repository,
        writer: BlobWriter,
        meter: ProgressMeter,
        stop: threading.Event | None = None,
    ) -> None:
        self._polynomial = repository.config.chunker_polynomial
        self._writer = writer
        self._meter = meter
        self._stop = stop or threading.Event()
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="read")
        self._slots = threading.Semaphore(IN_FLIGHT)
        self._local = threading.local()
        self._lock = threading.Lock()
        self._batch: list[WantedFile] = []
        self._batch_bytes = 0
        self._batch_future: Future[None] = Future()
        self.problems: list[Problem] = []
        self.files_new = 0
        self.files_changed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, wanted: WantedFile) -> Future[None]:
        if wanted.size > WHOLE_FILE_BYTES:
            return self._read_large(wanted)
        future = self._batch_future
        self._batch.append(wanted)
        self._batch_bytes += wanted.size
        if len(self._batch) >= BATCH_FILES or self._batch_bytes >= BATCH_BYTES:
            self.send()
        return future

    def send(self) -> None:
        """Start on what was gathered so far."""
        if self._batch:
            batch, future = self._batch, self._batch_future
            self._batch, self._batch_bytes, self._batch_future = [], 0, Future()
            self._slots.acquire()
            self._pool.submit(self._read_batch, batch, future)

    def read_stream(self, reader: Reader, name: str) -> tuple[list[bytes], int]:
        """Blob ids and size of everything a stream gives."""
        blobs: deque[Future[bytes]] = deque()
        size = 0
        for chunk in self._chunker().cut(reader):
            self.check_stopped()
            size += len(chunk)
            self._slots.acquire()
            blobs.append(self._pool.submit(self._add_chunk, chunk))
            self._meter.add(0, len(chunk), name)
        return [blob.result() for blob in blobs], size

    def start_again(self) -> None:
        """What was read so far will be asked for once more."""
        self.send()
        with self._lock:
            self.problems.clear()
            self.files_new = self.files_changed = 0

    def check_stopped(self) -> None:
        if self._stop.is_set():
            raise SourceError("the backup was stopped; there is no snapshot")

    # --- inside ---------------------------------------------------------------------------------------------

    def _read_batch(self, batch: list[WantedFile], future: Future[None]) -> None:
        try:
            for wanted in batch:
                self.check_stopped()
                self._read(wanted)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            future.set_exception(error)
        else:
            future.set_result(None)
        finally:
            self._slots.release()

    def _read(self, wanted: WantedFile) -> None:
        try:
            descriptor = os.open(wanted.path, OPEN_FLAGS)
            try:
                node = self._open_node(wanted, descriptor)
                if node is None:
                    return
                if wanted.size < MIN_BYTES:
                    data = _read_whole(descriptor, node.size)
                    node.content = self._add_small(data) if data else []
                    node.size = len(data)
                else:
                    node.content, node.size = self._cut_here(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            self._failed(wanted, error)
            return
        self._done(wanted, node)

    def _read_large(self, wanted: WantedFile) -> Future[None]:
        """In the calling thread; cutting runs at several GB/s, the workers hash, compress and seal."""
        future: Future[None] = Future()
        future.set_result(None)
        try:
            descriptor = os.open(wanted.path, OPEN_FLAGS)
            try:
                node = self._open_node(wanted, descriptor)
                if node is None:
                    return future
                stream = _Descriptor(descriptor)
                node.content, node.size = self.read_stream(stream, os.fsdecode(wanted.path))
            finally:
                os.close(descriptor)
        except OSError as error:
            self._failed(wanted, error)
            return future
        self._done(wanted, node, metered=True)
        return future

    def _open_node(self, wanted: WantedFile, descriptor: int) -> Node | None:
        """From the file that is open, not from the name: what was looked at before may have been replaced."""
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode):
            self._note(Problem(os.fsdecode(wanted.path), 0, "is no regular file any more"))
            return None
        node = node_from_stat(wanted.name, info, with_atime=wanted.with_atime)
        node.xattrs = read_xattrs(descriptor)
        return node

    def _add_small(self, data: bytes) -> list[bytes]:
        if len(data) < MIN_BYTES:
            return [self._writer.add(BlobType.DATA, data)]
        return [self._writer.add(BlobType.DATA, chunk) for chunk in self._chunker().cut(_Bytes(data))]

    def _cut_here(self, descriptor: int) -> tuple[list[bytes], int]:
        content = []
        size = 0
        for chunk in self._chunker().cut(_Descriptor(descriptor)):
            content.append(self._writer.add(BlobType.DATA, chunk))
            size += len(chunk)
        return content, size

    def _add_chunk(self, chunk: memoryview) -> bytes:
        try:
            return self._writer.add(BlobType.DATA, chunk)
        finally:
            self._slots.release()

    def _chunker(self) -> Chunker:
        try:
            return self._local.chunker  # type: ignore[no-any-return]
        except AttributeError:
            self._local.chunker = Chunker(self._polynomial)
            return self._local.chunker  # type: ignore[no-any-return]

    def _done(self, wanted: WantedFile, node: Node, *, metered: bool = False) -> None:
        wanted.node = node
        with self._lock:
            if wanted.was_known:
                self.files_changed += 1
            else:
                self.files_new += 1
        self._meter.add(1, 0 if metered else node.size, wanted.path)

    def _failed(self, wanted: WantedFile, error: OSError) -> None:
        """A file removed since its folder was listed is no failure: the backup might as well have come later."""
        if not isinstance(error, FileNotFoundError):
            self._note(Problem(os.fsdecode(wanted.path), 0, error.strerror or str(error)))

    def _note(self, problem: Problem) -> None:
        with self._lock:
            self.problems.append(problem)


class _Descriptor:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, size: int, /) -> bytes:
        return os.read(self._descriptor, size)


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, size: int, /) -> bytes:
        part, self._data = self._data[:size], self._data[size:]
        return part


def _read_whole(descriptor: int, size: int) -> bytes:
    """Until the end, which may be elsewhere than the size said (a log that grows)."""
    data = os.read(descriptor, size + 1)
    if len(data) == size:
        return data
    parts = [data]
    while data:
        data = os.read(descriptor, 1 << 20)
        parts.append(data)
    return b"".join(parts)
