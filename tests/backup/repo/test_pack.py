"""Packs: headers decode to themselves, damage is noticed, what is odd is refused."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.backup.repo.crypto import MasterKey
from sentinel.backup.repo.pack import (
    BlobType,
    Entry,
    PackBuilder,
    decode_header,
    encode_header,
    packed_size,
    read_header,
)
from sentinel.errors import RepositoryError

KEY = MasterKey.random()
ENTRIES = st.lists(
    st.tuples(
        st.sampled_from(BlobType),
        st.binary(min_size=32, max_size=32),
        st.integers(32, 2**25),
        st.integers(0, 2**25),
    ),
    max_size=20,
)


def with_offsets(rows):
    offset = 0
    for kind, blob, length, raw in rows:
        yield Entry(kind, blob, offset, length, raw)
        offset += length


@given(ENTRIES)
def test_headers_decode_to_themselves(rows):
    entries = list(with_offsets(rows))
    assert decode_header(encode_header(entries)) == entries


@given(st.binary(max_size=200))
def test_any_header_is_decoded_or_refused(data):
    try:
        entries = decode_header(data)
    except RepositoryError:
        return
    assert encode_header(entries) == data or any(entry.raw_length == 0 for entry in entries)


@given(st.lists(st.binary(max_size=3000), min_size=1, max_size=10))
def test_a_pack_holds_its_blobs(blobs):
    builder = PackBuilder(KEY)
    for data in blobs:
        builder.add(BlobType.DATA, hashlib.sha256(data).digest(), data, 0)
    pack_id, content = builder.finish()
    assert hashlib.sha256(content).digest() == pack_id
    entries = read_header(KEY, content)
    compressed = sum(1 for entry in entries if entry.raw_length)
    assert len(content) == packed_size(len(entries), compressed, sum(entry.length for entry in entries))
    for entry, data in zip(entries, blobs, strict=True):
        assert KEY.open(content[entry.offset : entry.offset + entry.length]) == data


def test_a_pack_that_does_not_read_back_never_leaves(monkeypatch):
    """As with faulty memory: the header that was sealed is not the one that was meant."""
    builder = PackBuilder(KEY)
    builder.add(BlobType.DATA, bytes(32), b"data", 0)
    real = KEY.seal_into

    def faulty(plaintext, buffer, offset):
        broken = bytearray(plaintext)
        broken[1] ^= 4
        return real(broken, buffer, offset)

    monkeypatch.setattr(KEY, "seal_into", faulty)
    with pytest.raises(RepositoryError):
        builder.finish()


@pytest.mark.parametrize(
    "content", [b"", b"short", bytes(36), b"x" * 40 + b"\xff\xff\xff\xff", b"x" * 99 + b"\x21\0\0\0"]
)
def test_what_is_no_pack_is_refused(content):
    with pytest.raises(RepositoryError):
        read_header(KEY, content)


def test_a_cut_pack_is_refused():
    builder = PackBuilder(KEY)
    builder.add(BlobType.TREE, bytes(32), b"data" * 100, 0)
    _, content = builder.finish()
    with pytest.raises(RepositoryError):
        read_header(KEY, content[10:])
