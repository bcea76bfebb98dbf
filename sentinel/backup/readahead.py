"""The parent snapshot's trees, read while a lock settles: that time would pass idle.

In: a repository, its root tree, seconds. Out: some of the trees, verified as always. Invariant: bounded in time and in bytes;
what could not be read is left to the walk, which knows what to do about it.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from sentinel.backup.repo.pack import BlobType
from sentinel.errors import RepositoryError

if TYPE_CHECKING:
    from sentinel.backup.repo.repository import Repository

MOST_BYTES = 32 * 1024 * 1024
_SUBTREE = re.compile(rb'"subtree":"([0-9a-f]{64})"')  # a quote inside a JSON string would be escaped


def read_ahead(repository: Repository, root: bytes, seconds: float) -> dict[bytes, bytes]:
    """Tree id -> document, from the root downwards."""
    end = time.monotonic() + seconds
    found: dict[bytes, bytes] = {}
    size = 0
    waiting = [root]
    while waiting and size < MOST_BYTES and time.monotonic() < end:
        tree = waiting.pop()
        if tree in found:
            continue
        try:
            document = found[tree] = repository.load_blob(BlobType.TREE, tree)
        except RepositoryError:
            break
        size += len(document)
        waiting += [bytes.fromhex(subtree.decode()) for subtree in _SUBTREE.findall(document)]
    return found
