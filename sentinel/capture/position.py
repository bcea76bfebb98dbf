"""Where a followed log has been read to: what a checkpoint holds, and whether a file is the one it speaks of.

A file is recognised by device and inode and by a hash of its first bytes: an inode is reused after a delete, and a
copy or a gzip of a rotated file has an inode of its own but the same beginning.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from typing import Any

HEAD_BYTES = 1024  # enough to hold a whole line with its time: two generations of a log differ within it


@dataclass(frozen=True, slots=True)
class Position:
    """`offset` bytes (uncompressed) and `lines` lines were handled; `skipping` inside a line cut for its length.

    `after` marks the newest rotated generation when reading of this file began (see `rotation.mark`): while nothing
    was read yet, a newer one than that is a generation that came and went unseen.
    """

    device: int
    inode: int
    offset: int = 0
    lines: int = 0
    head: str = ""
    head_bytes: int = 0
    skipping: bool = False
    after: str = ""

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, value: object) -> Position | None:
        """None for what no Position ever wrote (a state file that was edited or is of another version)."""
        if not isinstance(value, dict) or not {"device", "inode"} <= value.keys():
            return None
        try:
            return cls(**value)
        except TypeError:
            return None

    def advanced(self, offset: int, lines: int, first_bytes: bytes, *, skipping: bool) -> Position:
        """After reading on; `first_bytes` are the file's first HEAD_BYTES as far as they are there."""
        head, size = self.head, self.head_bytes
        known = min(HEAD_BYTES, offset, len(first_bytes))
        if known > size:
            head, size = hash_of(first_bytes[:known]), known
        return replace(self, offset=offset, lines=lines, head=head, head_bytes=size, skipping=skipping)

    def begins(self, first_bytes: bytes) -> bool:
        """Whether a file with these first bytes can be the one that was read."""
        return len(first_bytes) >= self.head_bytes and hash_of(first_bytes[: self.head_bytes]) == self.head


def hash_of(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest() if data else ""


def start_of(descriptor: int, after: str = "") -> Position:
    """The beginning of an open file."""
    status = os.fstat(descriptor)
    return Position(status.st_dev, status.st_ino, after=after)
