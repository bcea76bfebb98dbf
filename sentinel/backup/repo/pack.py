"""Pack files: blobs in a row, then a sealed header that lists them, then the header's length (4 bytes, LE).

restic doc/design.rst, "Pack Format". `PackBuilder` fills a buffer by sealing straight into it; `finish` decodes the
header it has just sealed and compares, so that a pack that could not be read back never leaves this process.
"""

from __future__ import annotations

import enum
import hashlib
import struct
from typing import TYPE_CHECKING, NamedTuple

from sentinel.backup.repo.crypto import OVERHEAD_BYTES, SLACK_BYTES, MasterKey
from sentinel.errors import RepositoryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentinel.backup.store.store import Buffer


TARGET_BYTES = 16 * 1024 * 1024  # restic's default --pack-size
LENGTH_BYTES = 4
PLAIN_ENTRY = struct.Struct("<BI32s")
COMPRESSED_ENTRY = struct.Struct("<BII32s")
LARGEST_HEADER_BYTES = 16 * 1024 * 1024  # restic's own limit


class BlobType(enum.IntEnum):
    """The value is the type byte of an uncompressed entry; compressed ones add 2."""

    DATA = 0
    TREE = 1

    @property
    def word(self) -> str:
        return "tree" if self else "data"


COMPRESSED_BIT = 2


class Entry(NamedTuple):
    """One blob in a pack. `raw_length` is 0 for a blob that is not compressed."""

    type: BlobType
    id: bytes
    offset: int
    length: int
    raw_length: int


def packed_size(blobs: int, compressed: int, sealed_bytes: int) -> int:
    """Bytes of a pack file: so many blobs, and the header that lists them."""
    header = compressed * COMPRESSED_ENTRY.size + (blobs - compressed) * PLAIN_ENTRY.size
    return sealed_bytes + header + OVERHEAD_BYTES + LENGTH_BYTES


def encode_header(entries: Sequence[Entry]) -> bytes:
    parts = []
    for entry in entries:
        if entry.raw_length:
            code = entry.type | COMPRESSED_BIT
            parts.append(COMPRESSED_ENTRY.pack(code, entry.length, entry.raw_length, entry.id))
        else:
            parts.append(PLAIN_ENTRY.pack(entry.type, entry.length, entry.id))
    return b"".join(parts)


def decode_header(header: bytes) -> list[Entry]:
    entries = []
    position = offset = 0
    while position < len(header):
        code = header[position]
        layout = COMPRESSED_ENTRY if code & COMPRESSED_BIT else PLAIN_ENTRY
        if code > (BlobType.TREE | COMPRESSED_BIT) or position + layout.size > len(header):
            raise RepositoryError("pack header is invalid")
        fields = layout.unpack_from(header, position)
        raw_length = fields[2] if code & COMPRESSED_BIT else 0
        entries.append(Entry(BlobType(code & 1), fields[-1], offset, fields[1], raw_length))
        position += layout.size
        offset += fields[1]
    return entries


def read_header(key: MasterKey, pack: Buffer) -> list[Entry]:
    """Entries of a whole pack file; offsets must add up to its size exactly."""
    view = memoryview(pack)
    if len(view) < LENGTH_BYTES + OVERHEAD_BYTES:
        raise RepositoryError("pack file is too short")
    length = int.from_bytes(view[-LENGTH_BYTES:], "little")
    start = len(view) - LENGTH_BYTES - length
    if length > LARGEST_HEADER_BYTES or start < 0:
        raise RepositoryError("pack header length is invalid")
    entries = decode_header(key.open(view[start:-LENGTH_BYTES]))
    if sum(entry.length for entry in entries) != start:
        raise RepositoryError("pack header does not match the size of the pack")
    return entries


class PackBuilder:
    """Blobs of one type until TARGET_BYTES are reached. One thread at a time."""

    def __init__(self, key: MasterKey) -> None:
        self._key = key
        self._buffer = bytearray()
        self.entries: list[Entry] = []
        self.size = 0

    def add(self, kind: BlobType, blob_id: bytes, data: Buffer, raw_length: int) -> None:
        """`data` is compressed already when `raw_length` is not 0."""
        self._reserve(memoryview(data).nbytes)
        length = self._key.seal_into(data, self._buffer, self.size)
        self._append(kind, blob_id, length, raw_length)

    def add_sealed(self, entry: Entry, sealed: Buffer) -> None:
        """A blob taken over from another pack as it is (repack)."""
        view = memoryview(sealed)
        self._reserve(view.nbytes)
        self._buffer[self.size : self.size + view.nbytes] = view
        self._append(entry.type, entry.id, view.nbytes, entry.raw_length)

    def finish(self) -> tuple[bytes, memoryview]:
        """Pack id and content."""
        header = encode_header(self.entries)
        self._reserve(len(header) + LENGTH_BYTES)
        length = self._key.seal_into(header, self._buffer, self.size)
        end = self.size + length + LENGTH_BYTES
        self._buffer[end - LENGTH_BYTES : end] = length.to_bytes(LENGTH_BYTES, "little")
        content = memoryview(self._buffer)[:end]
        if read_header(self._key, content) != self.entries:
            raise RepositoryError(
                "a pack header just written does not decode to itself; memory may be faulty"
            )
        return hashlib.sha256(content).digest(), content

    def _append(self, kind: BlobType, blob_id: bytes, length: int, raw_length: int) -> None:
        self.entries.append(Entry(kind, blob_id, self.size, length, raw_length))
        self.size += length

    def _reserve(self, size: int) -> None:
        needed = self.size + size + OVERHEAD_BYTES + SLACK_BYTES
        if needed > len(self._buffer):
            grown = max(needed, min(2 * len(self._buffer), TARGET_BYTES + TARGET_BYTES // 4), 1 << 16)
            self._buffer.extend(bytes(grown - len(self._buffer)))
