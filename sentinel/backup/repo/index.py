"""Which pack holds a blob, and where: the index files of a repository, merged in memory.

Rows live in arrays (16 bytes each beside the id) because a large shop has millions of blobs. Data and tree blobs
are looked up apart: a backed-up file may have the very bytes of a tree. Packs of data are decoded when the first place
in one is asked for (rawindex.py); a backup never asks. restic doc/design.rst, "Indexing".
"""

from __future__ import annotations

import json
import threading
from array import array
from typing import TYPE_CHECKING, Any, NamedTuple

from sentinel.backup.repo.pack import BlobType, Entry, packed_size
from sentinel.backup.repo.rawindex import MOST_BYTES, Sizes, data_ids, sizes_of, split_packs
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
    """Many threads may look up while one adds: dict reads are atomic, and whoever adds rows holds the lock."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._rows: tuple[dict[bytes, int], dict[bytes, int]] = ({}, {})
        self._ids: list[bytes] = []
        self._types = array("B")
        self._pack_numbers = array("I")
        self._offsets = array("I")
        self._lengths = array("I")
        self._raw_lengths = array("I")
        self._packs: list[bytes] = []
        self._ranges: dict[bytes, list[range]] = {}
        self._raw: dict[bytes, bytes] = {}  # packs of data that nobody has asked for yet, as text
        self._raw_ids: set[bytes] = set()
        self._raw_blobs = 0
        self._raw_bytes = 0

    def __len__(self) -> int:
        return len(self._ids) + self._raw_blobs

    def add_document(self, document: bytes) -> None:
        """One index file; RepositoryError when it is none."""
        packs = split_packs(document)
        if packs is None or self._raw_bytes + len(document) > MOST_BYTES:
            for pack, entries in decode(document)[0].items():
                self.add_pack(pack, entries)
            return
        for pack, blobs in packs:
            ids = data_ids(blobs)
            if ids is None or self.has_pack(pack):
                self.add_pack(pack, _decode_raw(blobs))
            else:
                self._raw[pack] = blobs
                self._raw_ids.update(ids)
                self._raw_blobs += len(ids)
                self._raw_bytes += len(blobs)

    def add_pack(self, pack: bytes, entries: Iterable[Entry]) -> None:
        """A pack listed twice (two index files that overlap) is kept once."""
        with self._lock:
            if pack in self._raw:
                self._decode_all()
            if pack in self._ranges:
                known = {(entry.type, entry.id) for entry in self.entries(pack)}
                entries = [entry for entry in entries if (entry[0], entry[1]) not in known]
                if not entries:
                    return
            self._append(pack, list(entries))

    def has(self, kind: BlobType, blob_id: bytes) -> bool:
        """The text's ids first: they leave it after they have become rows."""
        return (not kind and blob_id in self._raw_ids) or blob_id in self._rows[kind]

    def missing(self, blobs: Iterable[bytes]) -> list[bytes]:
        """Of many data blobs those that are not here."""
        raw, rows = self._raw_ids, self._rows[BlobType.DATA]
        return [blob for blob in blobs if blob not in raw and blob not in rows]

    def find(self, kind: BlobType, blob_id: bytes) -> Location | None:
        if kind == BlobType.DATA:
            self._decode_all()
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
        self._decode_all()
        for pack in self._ranges:
            for entry in self.entries(pack):
                if entry.id == blob_id and entry.type is kind:
                    yield Location(pack, entry.offset, entry.length, entry.raw_length)

    def plain_length(self, blob_id: bytes) -> int | None:
        """Of a data blob."""
        self._decode_all()
        row = self._rows[BlobType.DATA].get(blob_id)
        if row is None:
            return None
        return self._raw_lengths[row] or self._lengths[row] - 32

    def packs(self) -> Iterable[bytes]:
        return [*self._ranges, *self._raw]

    def has_pack(self, pack: bytes) -> bool:
        return pack in self._raw or pack in self._ranges

    def pack_bytes(self, pack: bytes) -> int:
        """How long the pack file must be."""
        return packed_size(*self._sizes(pack))

    def entries(self, pack: bytes) -> Iterator[Entry]:
        if pack in self._raw:
            self._decode_all()
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
        self._decode_all()
        return self._rows[kind].keys()

    # --- inside ---------------------------------------------------------------------------------------------

    def _append(self, pack: bytes, entries: list[Entry]) -> None:
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

    def _decode_all(self) -> None:
        """Only when all of it has become rows it stops being text, so that `has` is right at any moment."""
        if not self._raw:
            return
        with self._lock:
            for pack, blobs in self._raw.items():
                self._append(pack, _decode_raw(blobs))
            self._raw_ids = set()
            self._raw = {}
            self._raw_blobs = self._raw_bytes = 0

    def _sizes(self, pack: bytes) -> Sizes:
        with self._lock:
            if pack in self._raw:
                sizes = sizes_of(self._raw[pack])
                if sizes is not None:
                    return sizes
                self._decode_all()
        count = compressed = total = 0
        for rows in self._ranges[pack]:
            count += len(rows)
            compressed += len(rows) - self._raw_lengths[rows.start : rows.stop].count(0)
            total += sum(self._lengths[rows.start : rows.stop])
        return Sizes(count, compressed, total)


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


def _decode_raw(blobs: bytes) -> list[Entry]:
    try:
        return _decode_blobs({"blobs": json.loads(b"[" + blobs + b"]")})
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
