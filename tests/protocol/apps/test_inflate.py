"""Decompression layers."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.protocol.apps.inflate import Chain, gzip_header_length


def run(kinds, pieces):
    out, notes = [], []
    chain = Chain(kinds, out.append, notes.append, 1 << 20)
    for piece in pieces:
        chain.feed(piece)
    chain.finish()
    return b"".join(out), notes


@given(st.binary(max_size=30000), st.integers(1, 5000), st.sampled_from(["gzip", "deflate"]))
def test_any_segmentation_gives_the_data_back(data, size, kind):
    packed = gzip.compress(data) if kind == "gzip" else zlib.compress(data)[2:-4]
    assert run([kind], [packed[i : i + size] for i in range(0, len(packed), size)])[0] == data


@given(st.binary(max_size=2000), st.sampled_from(["gzip", "deflate", "lzma"]), st.integers(1, 500))
def test_garbage_never_raises(data, kind, size):
    run([kind, "gzip"], [data[i : i + size] for i in range(0, len(data), size)])


def test_what_was_decoded_before_a_fault_counts():
    packed = bytearray(gzip.compress(bytes(range(256)) * 40))
    packed[-8:-4] = b"\xff\xff\xff\xff"  # the checksum is wrong
    out, notes = run(["gzip"], [bytes(packed)])
    assert out == bytes(range(256)) * 40
    assert notes == ["gzip_decompression_failed"]


def test_output_leaves_in_buffers_of_8k():
    out = []
    chain = Chain(["gzip"], out.append, lambda _: None, 1 << 20)
    packed = gzip.compress(bytes(20000))
    chain.feed(packed)
    assert [len(piece) for piece in out] == [8192, 8192, 3616]


@pytest.mark.parametrize(
    ("data", "length"),
    [
        (b"\x1f\x8b\x08\0", 0),
        (b"\x1f\x8b\x08\x08......abc\0rest", 14),
        (b"\x1f\x8b\x08\x02........rest", 12),
        (b"xx", 0),
    ],
)
def test_gzip_headers(data, length):
    assert gzip_header_length(data) == length
