"""Fragments: any cutting and order gives the datagram; overlaps go by policy; floods are bounded."""

import struct

import pytest
from frames import ethernet, events, ipv4, ipv6, run, udp
from hypothesis import given, settings
from hypothesis import strategies as st

PAYLOAD = udp(bytes(range(200)), 7, 8)


def piece(low, high, *, last=False, ident=1, payload=PAYLOAD):
    field = low // 8 | (0 if last else 0x2000)
    return ethernet(ipv4(payload[low:high], 17, ident=ident, fragment=field))


def piece_6(low, high, *, last=False):
    header = struct.pack(">BBHI", 17, 0, low | (not last), 77)
    return ethernet(ipv6(header + PAYLOAD[low:high], 44), 0x86DD)


@pytest.mark.parametrize("make", [piece, piece_6])
@settings(max_examples=40)
@given(data=st.data())
def test_any_cutting_and_order(make, data):
    cuts = sorted({0, *(8 * n for n in data.draw(st.sets(st.integers(1, 25), min_size=1)))})
    ends = [*cuts[1:], len(PAYLOAD)]
    frames = [make(low, high, last=high == len(PAYLOAD)) for low, high in zip(cuts, ends, strict=True)]
    packets, apps = run(data.draw(st.permutations(frames)))
    assert apps.datagrams == [(True, PAYLOAD[8:])]
    assert [packet.reassembled for packet in packets].count(True) == 1
    assert packets[-2].reassembled, "the datagram comes before the fragment that completed it"


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("windows", b"A"), ("linux", b"B"), ("bsd", b"A"), ("last", b"B"), ("first", b"A")],
)
def test_same_place_twice(policy, expected):
    first, second = udp(b"A" * 16, 7, 8), udp(b"B" * 16, 7, 8)
    frames = [
        piece(8, 24, last=True, payload=first),
        piece(8, 24, last=True, payload=second),
        piece(0, 8, payload=first),
    ]
    packets, apps = run(frames, {f"host-os-policy.{policy}.0": "0.0.0.0/0"})
    assert apps.datagrams == [(True, expected * 16)]
    assert "ipv4.frag_overlap" in events(packets)


def test_a_datagram_that_would_be_too_large():
    frames = [ethernet(ipv4(b"x" * 100, 17, fragment=0x1FFF))]
    packets, _ = run(frames)
    assert "ipv4.frag_pkt_too_large" in events(packets)


def test_a_flood_of_first_fragments_makes_the_oldest_leave():
    frames = [piece(0, 8, ident=number) for number in range(300)]
    _, apps = run(
        [*frames, piece(8, len(PAYLOAD), last=True, ident=299), piece(8, 208, last=True, ident=1)],
        fragments=100,
    )
    assert len(apps.datagrams) == 1
