"""Which pack holds a blob, and where: the index files of a repository, merged in memory.

Rows live in arrays (16 bytes each beside the id) because a large shop has millions of blobs. Data and tree blobs
are looked up apart: a backed-up file may have the very bytes of a tree. restic doc/design.rst, "Indexing".
"""

from __future__ import annotations

import json
from array import array
from typing import TYPE_CHECKING, Any, NamedTuple

from sentinel.backup.repo.pack import BlobType, Entry
from sentinel.errors import RepositoryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

BLOBS_PER_FILE = 40_000  # keeps a file below 8 MiB, restic's limit, at about 190 bytes a blob
WORDS = {"data": BlobType.DATA, "tree": BlobType.TREE}


class Location(NamedTuple):
    pack: bytes
    offset: int
    length: int
    raw_length: int


class Index:
    """Not locked: one thread adds, others may look up (dict reads are atomic)."""

    def __init__(self) -> None:
        self._rows: tuple[dict[bytes, int], dict[bytes, int]] = ({}, {})
        self._ids: list[bytes] = []
        self._types = array("B")
        self._pack_numbers = array("I")
        self._offsets = array("I")
        self._lengths = array("I")
        self._raw_lengths = array("I")
        self._packs: list[bytes] = []
        self._ranges: dict[bytes, list[range]] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def add_pack(self, pack: bytes, entries: Iterable[Entry]) -> None:
        """A pack listed twice (two index files that overlap) is kept once."""
        if pack in self._ranges:
            known = {(entry.type, entry.id) for entry in self.entries(pack)}
            entries = [entry for entry in entries if (entry[0], entry[1]) not in known]
            if not entries:
                return
        entries = list(entries)
        start = len(self._ids)
        number = len(self._packs)
        self._ids += [entry[1] for entry in entries]
        self._types.extend([entry[0] for entry in entries])
        self._pack_numbers.extend([number] * len(entries))
        self._offsets.extend([entry[2] for entry in entries])
        self._lengths.extend([entry[3] for entry in entries])
        self._raw_lengths.extend([entry[4] for entry in entries])
        self._packs.append(pack)
        self._ranges.setdefault(pack, []).append(range(start, len(self._ids)))
        data, trees = self._rows
        for row, entry in enumerate(entries, start):
            (trees if entry[0] else data).setdefault(entry[1], row)

    def has(self, kind: BlobType, blob_id: bytes) -> bool:
        return blob_id in self._rows[kind]

    def find(self, kind: BlobType, blob_id: bytes) -> Location | None:
        row = self._rows[kind].get(blob_id)
        if row is None:
            return None
        return Location(
            self._packs[self._pack_numbers[row]],
            self._offsets[row],
            self._lengths[row],
            self._raw_lengths[row],
        )

    def find_all(self, kind: BlobType, blob_id: bytes) -> Iterator[Location]:
        """Every copy; for when the first turned out to be damaged. Slow: looks through all rows."""
        for pack in self._ranges:
            for entry in self.entries(pack):
                if entry.id == blob_id and entry.type is kind:
                    yield Location(pack, entry.offset, entry.length, entry.raw_length)

    def plain_length(self, blob_id: bytes) -> int | None:
        """Of a data blob."""
        row = self._rows[BlobType.DATA].get(blob_id)
        if row is None:
            return None
        return self._raw_lengths[row] or self._lengths[row] - 32

    def packs(self) -> Iterable[bytes]:
        return self._ranges.keys()

    def has_pack(self, pack: bytes) -> bool:
        return pack in self._ranges

    def entries(self, pack: bytes) -> Iterator[Entry]:
        for rows in self._ranges[pack]:
            for row in rows:
                yield Entry(
                    BlobType(self._types[row]),
                    self._ids[row],
                    self._offsets[row],
                    self._lengths[row],
                    self._raw_lengths[row],
                )

    def blobs(self, kind: BlobType) -> Iterable[bytes]:
        return self._rows[kind].keys()


def decode(document: bytes) -> tuple[dict[bytes, list[Entry]], list[str]]:
    """One index file: packs with their entries, and the ids of index files it supersedes."""
    try:
        content = json.loads(document)
        if isinstance(content, list):  # format of 2014, still readable by restic
            content = {"packs": content}
        packs = {bytes.fromhex(pack["id"]): _decode_blobs(pack) for pack in content.get("packs") or ()}
        return packs, list(content.get("supersedes") or ())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RepositoryError(f"index file is invalid: {error}") from error


def _decode_blobs(pack: dict[str, Any]) -> list[Entry]:
    fromhex = bytes.fromhex
    return [
        Entry(
            WORDS[blob["type"]],
            fromhex(blob["id"]),
            blob["offset"],
            blob["length"],
            blob.get("uncompressed_length", 0),
        )
        for blob in pack["blobs"]
    ]


def encode(packs: Mapping[bytes, Sequence[Entry]]) -> bytes:
    documents = []
    for pack, entries in packs.items():
        blobs = ",".join(_encode_blob(entry) for entry in entries)
        documents.append(f'{{"id":"{pack.hex()}","blobs":[{blobs}]}}')
    return f'{{"packs":[{",".join(documents)}]}}\n'.encode()


def _encode_blob(entry: Entry) -> str:
    kind, blob_id, offset, length, raw_length = entry
    raw = f',"uncompressed_length":{raw_length}' if raw_length else ""
    word = "tree" if kind else "data"
    return f'{{"id":"{blob_id.hex()}","type":"{word}","offset":{offset},"length":{length}{raw}}}'


def split(packs: Mapping[bytes, Sequence[Entry]]) -> Iterator[dict[bytes, Sequence[Entry]]]:
    """Portions of at most BLOBS_PER_FILE blobs, a pack never torn apart."""
    portion: dict[bytes, Sequence[Entry]] = {}
    count = 0
    for pack, entries in packs.items():
        if portion and count + len(entries) > BLOBS_PER_FILE:
            yield portion
            portion, count = {}, 0
        portion[pack] = entries
        count += len(entries)
    if portion:
        yield portion
