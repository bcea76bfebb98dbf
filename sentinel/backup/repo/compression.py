"""zstd, as restic's format version 2 uses it for blobs and for JSON files. The only importer of zstandard.

Compressors are per thread (the library's objects are not safe to share) and release the interpreter lock.
Sizes are bounded before memory is taken: a frame says how large it will become.
"""

from __future__ import annotations

import enum
import threading
from typing import TYPE_CHECKING

import zstandard

from sentinel.errors import RepositoryError

if TYPE_CHECKING:
    from sentinel.backup.store.store import Buffer

LARGEST_PLAINTEXT_BYTES = 1 << 30  # far above any blob (8 MiB) or index file

_local = threading.local()


class Compression(enum.Enum):
    """restic's words. `OFF` is for data that is compressed already; trees and JSON files always shrink."""

    AUTO = "auto"
    MAX = "max"
    OFF = "off"


# 3 is zstd's own default, as small as restic's "auto" within a per cent or two; 12 takes five times as long.
LEVELS = {Compression.AUTO: 3, Compression.MAX: 12, Compression.OFF: 3}


def compress(data: Buffer, compression: Compression = Compression.AUTO) -> bytes:
    try:
        compressors = _local.compressors
    except AttributeError:
        compressors = _local.compressors = {}
    compressor = compressors.get(compression)
    if compressor is None:
        compressor = compressors[compression] = zstandard.ZstdCompressor(level=LEVELS[compression])
    result: bytes = compressor.compress(data)
    return result


def decompress(data: Buffer, size: int | None = None) -> bytes:
    """`size` is the length the index promises; anything else is damage."""
    try:
        decompressor = _local.decompressor
    except AttributeError:
        decompressor = _local.decompressor = zstandard.ZstdDecompressor()
    try:
        declared = zstandard.frame_content_size(data)
        limit = LARGEST_PLAINTEXT_BYTES if size is None else size
        if declared > limit:
            raise RepositoryError(f"compressed data would grow to {declared} bytes, more than {limit}")
        if declared < 0:
            plain = _decompress_unknown(decompressor, data, limit)
        else:
            plain = decompressor.decompress(data)
    except zstandard.ZstdError as error:
        raise RepositoryError(f"compressed data is damaged: {error}") from error
    if size is not None and len(plain) != size:
        raise RepositoryError(f"decompressed to {len(plain)} bytes where the index says {size}")
    return plain


def _decompress_unknown(decompressor: zstandard.ZstdDecompressor, data: Buffer, limit: int) -> bytes:
    """A frame that does not tell its size (written by a stream): read no further than the limit."""
    with decompressor.stream_reader(data) as reader:
        plain = reader.read(limit + 1)
    if len(plain) > limit:
        raise RepositoryError(f"compressed data grows beyond {limit} bytes")
    return plain
