"""Reading an index file as text finds what decoding finds; what is written in another way is left to the decoder."""

import json

from hypothesis import given
from hypothesis import strategies as st

from sentinel.backup.repo import index as index_file
from sentinel.backup.repo import rawindex
from sentinel.backup.repo.index import Index, decode, encode
from sentinel.backup.repo.pack import BlobType, Entry
from sentinel.backup.repo.rawindex import data_ids, split_packs

BLOBS = st.binary(min_size=32, max_size=32)


def entries(kinds):
    return st.builds(
        Entry,
        type=kinds,
        id=BLOBS,
        offset=st.integers(0, 2**32 - 1),
        length=st.integers(32, 2**24),
        raw_length=st.integers(0, 2**24),
    )


PACKS = st.dictionaries(
    BLOBS,
    st.sampled_from([st.just(BlobType.DATA), st.just(BlobType.TREE), st.sampled_from(BlobType)]).flatmap(
        lambda kinds: st.lists(entries(kinds), min_size=1, max_size=5, unique_by=lambda e: (e.type, e.id))
    ),
    max_size=4,
)


def indexes(document):
    """The same file, as text and decoded."""
    text, decoded = Index(), Index()
    text.add_document(document)
    for pack, blobs in decode(document)[0].items():
        decoded.add_pack(pack, blobs)
    return text, decoded


@given(PACKS)
def test_text_agrees_with_decoding(packs):
    text, decoded = indexes(encode(packs))
    assert len(text) == len(decoded)
    blobs = [entry for each in packs.values() for entry in each]
    for pack in packs:
        assert text.has_pack(pack)
        assert text.pack_bytes(pack) == decoded.pack_bytes(pack)
    for entry in blobs:
        for kind in BlobType:
            assert text.has(kind, entry.id) == decoded.has(kind, entry.id)
    wanted = [entry.id for entry in blobs] + [b"?" * 32]
    assert text.missing(wanted) == [blob for blob in wanted if not decoded.has(BlobType.DATA, blob)]
    assert set(text.packs()) == set(packs)
    for pack in packs:
        assert list(text.entries(pack)) == list(decoded.entries(pack))
    for entry in blobs:
        assert {at.pack for at in text.find_all(entry.type, entry.id)} == {
            at.pack for at in decoded.find_all(entry.type, entry.id)
        }
    assert len(text) == len(decoded)


@given(PACKS, st.sampled_from([None, 1]), st.booleans())
def test_other_spellings_are_decoded(packs, indent, turned):
    content = json.loads(encode(packs))
    if turned:
        content = {"packs": [{"blobs": pack["blobs"], "id": pack["id"]} for pack in content["packs"]]}
    text, decoded = indexes(json.dumps(content, indent=indent).encode())
    for pack in packs:
        assert list(text.entries(pack)) == list(decoded.entries(pack)) == packs[pack]


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(index_file, "MOST_BYTES", 500)
    index = Index()
    packs = {
        bytes([number]) * 32: [Entry(BlobType.DATA, bytes([number + 1]) * 32, 0, 50, 0)]
        for number in range(9)
    }
    for pack, blobs in packs.items():
        index.add_document(encode({pack: blobs}))
    assert index._raw_bytes <= 500
    assert 0 < len(index._raw) < len(packs)
    assert {pack: list(index.entries(pack)) for pack in index.packs()} == packs


def test_what_cannot_be_cut_is_left_alone():
    for document in (b"", b"{}", b'{"packs":[]}', b'{"packs":[{"id":"zz","blobs":[]}]}', b"[]"):
        assert split_packs(document) is None
    assert data_ids(b'{"id":"' + b"z" * 64 + b'","type":"data","offset":0,"length":40}') is None
    assert rawindex.sizes_of(b'{"length":40,"offset":0}') is None
