"""HPACK: the examples of RFC 7541, appendix C."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.protocol.apps.hpack import Hpack, unhuffman


def test_c_4_requests_with_huffman():
    decoder = Hpack()
    first = [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":path", b"/"),
        (b":authority", b"www.example.com"),
    ]
    assert decoder.decode(bytes.fromhex("828684418cf1e3c2e5f23a6ba0ab90f4ff")) == first
    second = decoder.decode(bytes.fromhex("828684be5886a8eb10649cbf"))
    assert second == [*first, (b"cache-control", b"no-cache")]
    third = decoder.decode(bytes.fromhex("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"))
    assert third[-1] == (b"custom-key", b"custom-value")


def test_c_6_eviction():
    decoder = Hpack(limit=256)
    decoder.decode(bytes.fromhex(
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3"
    ))  # fmt: skip
    assert decoder.decode(bytes.fromhex("4883640effc1c0bf"))[0] == (b":status", b"307")
    assert decoder.size <= 256


def test_huffman_text():
    assert unhuffman(bytes.fromhex("f1e3c2e5f23a6ba0ab90f4ff")) == b"www.example.com"


@pytest.mark.parametrize("block", [b"\xff\xff\xff\xff\xff\xff", b"\x80", b"\xfe", b"\x40\x05ab"])
def test_damage_is_noted(block):
    decoder = Hpack()
    decoder.decode(block)
    assert decoder.damaged


@given(st.binary(max_size=300))
def test_never_raises(block):
    decoder = Hpack()
    decoder.decode(block)
    assert decoder.size <= 65536
