"""Index files and the merged index: every blob is found, twice listed is once kept, broken files are refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.backup.repo.index import BLOBS_PER_FILE, Index, decode, encode, split
from sentinel.backup.repo.pack import BlobType, Entry
from sentinel.errors import RepositoryError

BLOBS = st.binary(min_size=32, max_size=32)
ENTRIES = st.builds(
    Entry,
    type=st.sampled_from(BlobType),
    id=BLOBS,
    offset=st.integers(0, 2**32 - 1),
    length=st.integers(32, 2**32 - 1),
    raw_length=st.integers(0, 2**32 - 1),
)
PACKS = st.dictionaries(
    BLOBS, st.lists(ENTRIES, min_size=1, max_size=5, unique_by=lambda e: (e.type, e.id)), max_size=4
)


@given(PACKS)
def test_documents_survive(packs):
    assert decode(encode(packs)) == (packs, [])


@given(PACKS)
def test_everything_is_found(packs):
    index = Index()
    for _ in range(2):  # listed twice, as two overlapping files do
        for pack, entries in packs.items():
            index.add_pack(pack, entries)
    assert len(index) == sum(len(entries) for entries in packs.values())
    for pack, entries in packs.items():
        assert list(index.entries(pack)) == entries
        for entry in entries:
            assert index.has(entry.type, entry.id)
            assert index.find(entry.type, entry.id) is not None
            assert pack in {location.pack for location in index.find_all(entry.type, entry.id)}


def test_a_pack_torn_between_two_files_is_whole():
    index = Index()
    entries = [Entry(BlobType.DATA, bytes([n]) * 32, n * 100, 100, 0) for n in range(4)]
    index.add_pack(b"p" * 32, entries[:3])
    index.add_pack(b"p" * 32, entries[2:])
    assert list(index.entries(b"p" * 32)) == entries
    assert list(index.packs()) == [b"p" * 32]


def test_types_are_apart():
    index = Index()
    index.add_pack(b"p" * 32, [Entry(BlobType.TREE, b"b" * 32, 0, 50, 0)])
    assert not index.has(BlobType.DATA, b"b" * 32)
    assert index.plain_length(b"b" * 32) is None


def test_old_and_superseding_files_are_read():
    pack = {"id": "aa" * 32, "blobs": [{"id": "bb" * 32, "type": "data", "offset": 0, "length": 40}]}
    entry = Entry(BlobType.DATA, b"\xbb" * 32, 0, 40, 0)
    assert decode(json.dumps([pack]).encode()) == ({b"\xaa" * 32: [entry]}, [])
    document = json.dumps({"supersedes": ["cc" * 32], "packs": [pack]}).encode()
    assert decode(document) == ({b"\xaa" * 32: [entry]}, ["cc" * 32])


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"5",
        b'{"packs":[{}]}',
        b'{"packs":[{"id":"x","blobs":[]}]}',
        b'{"packs":[{"id":"aa","blobs":[{"type":"no"}]}]}',
    ],
)
def test_what_is_no_index_is_refused(document):
    with pytest.raises(RepositoryError):
        decode(document)


def test_files_stay_small():
    entry = Entry(BlobType.DATA, bytes(32), 2**24, 2**23, 2**23)
    packs = {bytes([n]) * 32: [entry] * (BLOBS_PER_FILE // 3) for n in range(7)}
    portions = list(split(packs))
    assert {pack for portion in portions for pack in portion} == set(packs)
    assert all(len(encode(portion)) < 8 * 1024 * 1024 for portion in portions)
