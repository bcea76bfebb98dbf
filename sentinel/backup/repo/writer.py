"""Blobs in, packs and index files out: hash, known?, compress, seal, pack, upload.

`add` may be called from many threads and does its work in the caller's thread, where hashing, zstd and AES release
the interpreter lock. Each thread fills packs of its own, so that nothing waits for a lock while data is sealed.
Order of writing (restic design.rst, "Read and Write Ordering"): packs, then index files that name them; `flush`
returns when all is durable, so a snapshot may follow. What was packed when we die is found by nobody, harms nobody
and is removed by the next prune; index files are written every few minutes so that a repeated run starts further on.
"""

from __future__ import annotations

import hashlib
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Self

from sentinel.backup.repo import index as index_file
from sentinel.backup.repo.compression import Compression, compress
from sentinel.backup.repo.pack import TARGET_BYTES, BlobType, Entry, PackBuilder
from sentinel.backup.store.store import Buffer, Kind

if TYPE_CHECKING:
    from sentinel.backup.repo.repository import Repository

UPLOADS = 2  # packs on their way at once; each holds up to 20 MiB
INDEX_EVERY_SECONDS = 300.0


class BlobWriter:
    """Use as a context manager: leaving it without `flush` throws away what was not uploaded."""

    def __init__(self, repository: Repository, *, uploads: int = UPLOADS) -> None:
        self._repository = repository
        self._compression = repository.compression
        self._uploads = uploads
        self._pool = ThreadPoolExecutor(uploads, thread_name_prefix="upload")
        self._pending: set[Future[None]] = set()
        self._lock = threading.Lock()
        self._taken: tuple[set[bytes], set[bytes]] = (set(), set())
        self._builders: dict[tuple[int, BlobType], PackBuilder] = {}
        self._unindexed: dict[bytes, list[Entry]] = {}
        self._unindexed_blobs = 0
        self._last_index = time.monotonic()
        self.bytes_added = 0  # plain bytes of new blobs
        self.bytes_stored = 0  # their bytes in packs
        self.blobs_added = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def add(self, kind: BlobType, data: Buffer) -> bytes:
        """Store a blob unless it is there; its id."""
        blob_id = hashlib.sha256(data).digest()
        if not self._repository.index.has(kind, blob_id) and self._take(kind, blob_id):
            self._pack(kind, blob_id, data)
        return blob_id

    def add_sealed(self, entry: Entry, sealed: Buffer) -> None:
        """Take over a blob of another pack as it is (repack); the caller has verified it."""
        if self._take(entry.type, entry.id):
            builder = self._builder(entry.type)
            builder.add_sealed(entry, sealed)
            with self._lock:
                self.bytes_stored += entry.length
            self._sent(entry.type, builder)

    def add_again(self, kind: BlobType, blob_id: bytes, data: Buffer) -> None:
        """A known blob once more, since its present copy is damaged."""
        if self._take(kind, blob_id):
            self._pack(kind, blob_id, data)

    def flush(self) -> None:
        """All packs and their index files are durable when this returns."""
        with self._lock:
            builders = list(self._builders.items())
            self._builders.clear()
        for _, builder in builders:
            if builder.entries:
                self._submit(builder)
        self._wait_for(0)
        self._write_index()

    # --- inside ---------------------------------------------------------------------------------------------

    def _take(self, kind: BlobType, blob_id: bytes) -> bool:
        """True for the one caller that shall store this blob."""
        taken = self._taken[kind]
        with self._lock:
            if blob_id in taken:
                return False
            taken.add(blob_id)
            return True

    def _pack(self, kind: BlobType, blob_id: bytes, data: Buffer) -> None:
        builder = self._builder(kind)
        before = builder.size
        size = memoryview(data).nbytes
        if self._repository.compresses and (kind or self._compression is not Compression.OFF):
            builder.add(kind, blob_id, compress(data, self._compression), size)
        else:
            builder.add(kind, blob_id, data, 0)
        with self._lock:
            self.blobs_added += 1
            self.bytes_added += size
            self.bytes_stored += builder.size - before
        self._sent(kind, builder)

    def _builder(self, kind: BlobType) -> PackBuilder:
        slot = (threading.get_ident(), kind)
        builder = self._builders.get(slot)
        if builder is None:
            builder = self._builders[slot] = PackBuilder(self._repository.key)
        return builder

    def _sent(self, kind: BlobType, builder: PackBuilder) -> None:
        if builder.size >= TARGET_BYTES:
            del self._builders[threading.get_ident(), kind]
            self._submit(builder)

    def _submit(self, builder: PackBuilder) -> None:
        self._wait_for(self._uploads)
        future = self._pool.submit(self._upload, builder)
        with self._lock:
            self._pending.add(future)

    def _wait_for(self, most: int) -> None:
        """Until no more than `most` uploads are under way; an upload's error is raised here."""
        while True:
            with self._lock:
                done = {future for future in self._pending if future.done()}
                self._pending -= done
                pending = set(self._pending)
            for future in done:
                future.result()
            if len(pending) <= most:
                return
            wait(pending, return_when=FIRST_COMPLETED)

    def _upload(self, builder: PackBuilder) -> None:
        pack_id, content = builder.finish()
        self._repository.store.save(Kind.DATA, pack_id.hex(), content)
        with self._lock:
            self._unindexed[pack_id] = builder.entries
            self._unindexed_blobs += len(builder.entries)
            due = time.monotonic() - self._last_index > INDEX_EVERY_SECONDS
            due = due or self._unindexed_blobs >= index_file.BLOBS_PER_FILE
        if due:
            self._write_index()

    def _write_index(self) -> None:
        with self._lock:
            packs, self._unindexed = self._unindexed, {}
            self._unindexed_blobs = 0
            self._last_index = time.monotonic()
        for portion in index_file.split(packs):
            self._repository.save_file(Kind.INDEX, index_file.encode(portion))
        if not packs:
            return
        with self._lock:
            for pack, entries in packs.items():
                self._repository.index.add_pack(pack, entries)
