"""Blobs out of one pack, read in few and large pieces, each verified; damaged ones from another copy if there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.backup.repo.pack import BlobType
from sentinel.backup.store.store import Kind
from sentinel.errors import RepositoryError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sentinel.backup.repo.repository import Repository

LARGEST_GAP_BYTES = 256 * 1024  # reading over a gap is cheaper than another request
LARGEST_READ_BYTES = 32 * 1024 * 1024
Piece = tuple[int, int, int, bytes]  # offset, length, raw length, blob


class PackReader:
    def __init__(self, repository: Repository, kind: BlobType = BlobType.DATA) -> None:
        self._repository = repository
        self._kind = kind

    def read(self, pack: bytes, blobs: Iterable[bytes]) -> Iterator[tuple[bytes, bytes | Exception]]:
        """Each blob's plaintext, or the error that kept us from having it."""
        pieces: list[Piece] = []
        for blob_id in blobs:
            location = self._repository.index.find(self._kind, blob_id)
            assert location is not None, "the caller looked it up in the same index"
            pieces.append((location.offset, location.length, location.raw_length, blob_id))
        pieces.sort()
        for run in _runs(pieces):
            yield from self._read_run(pack, run)

    def _read_run(self, pack: bytes, run: list[Piece]) -> Iterator[tuple[bytes, bytes | Exception]]:
        start = run[0][0]
        end = max(offset + length for offset, length, _, _ in run)
        try:
            data = memoryview(self._repository.store.load(Kind.DATA, pack.hex(), start, end - start))
        except (StoreError, FileNotFoundError, EOFError):
            data = memoryview(b"")
        for offset, length, raw_length, blob_id in run:
            sealed = data[offset - start : offset - start + length]
            try:
                yield blob_id, self._repository.open_blob(blob_id, sealed, raw_length)
            except RepositoryError:
                yield blob_id, self._again(blob_id)

    def _again(self, blob_id: bytes) -> bytes | Exception:
        try:
            return self._repository.load_blob(self._kind, blob_id)
        except (RepositoryError, StoreError) as error:
            return error


def _runs(pieces: list[Piece]) -> Iterator[list[Piece]]:
    """Neighbours that are read together."""
    run: list[Piece] = []
    for piece in pieces:
        if run:
            end = run[-1][0] + run[-1][1]
            if piece[0] - end > LARGEST_GAP_BYTES or piece[0] + piece[1] - run[0][0] > LARGEST_READ_BYTES:
                yield run
                run = []
        run.append(piece)
    if run:
        yield run
