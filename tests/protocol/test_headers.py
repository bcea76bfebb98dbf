"""The columnar decoder says what the frame-by-frame decoder says, for every row it calls plain."""

import struct

import numpy as np
from frames import CLIENT, SERVER, batch, ethernet, ipv4, ipv6, tcp, udp
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.model import Packet
from sentinel.protocol.decode import Decoder
from sentinel.protocol.defrag import _read_4, _read_6
from sentinel.protocol.fragments import first_piece
from sentinel.protocol.headers import FIRST, LAST, decode

FRAMES = [
    ethernet(ipv4(tcp(b"data", 1000, 80, 5, 6, 24))),
    ethernet(ipv4(tcp(b"", 80, 1000, 9, 8, 18, options=b"\x02\x04\x05\xb4"), src=SERVER, dst=CLIENT)),
    ethernet(ipv4(udp(b"query", 5, 53), 17) + b"padding"),
    ethernet(ipv6(tcp(b"six")), 0x86DD),
    ethernet(ipv6(udp(b"six"), 17), 0x86DD),
    ethernet(b"\0\x05\x08\0" + ipv4(tcp(b"tagged")), 0x8100),
    ethernet(b"\0\x05\x81\0\0\x06\x08\0" + ipv4(tcp(b"twice")), 0x88A8),
    ethernet(ipv4(tcp(b"x"), options=b"\x01\x01\x01\0")),
    ethernet(ipv4(tcp(b"x"), fragment=0x2000)),
    ethernet(ipv4(b"\x08\0" + b"\0" * 6, 1)),
    ethernet(ipv6(b"\x06\0" + b"\0" * 6 + tcp(b"x"), 0), 0x86DD),
    ethernet(ipv6(b"\x2c\0" + b"\0" * 6 + b"\x11\0\0\x09" + b"ident" * 3, 0), 0x86DD),
    ethernet(ipv6(b"\x06\0\0\x01" + b"ident" * 3, 44), 0x86DD),
    ethernet(b"\0" * 28, 0x0806),
    b"short",
]
FIELDS = ("proto", "version", "sport", "dport", "tcp_flags", "seq", "ack")


def agrees(frames, link_type=1):
    """Plain rows have the same values; returns which rows are plain."""
    rows = batch(frames, link_type)
    found = decode(rows)
    for number, frame in enumerate(frames):
        packet = Packet(1, 0, frame)
        Decoder().frame(packet, link_type)
        if found.plain[number]:
            assert packet.flowable
            for name in FIELDS:
                assert getattr(found, name)[number] == getattr(packet, name), name
            start = rows.offsets[number]
            assert found.payload_start[number] - start == packet.payload_start
            assert found.payload_end[number] - start == packet.payload_end
            assert found.ttl[number] == packet.data[packet.l3 + (8 if packet.version == 4 else 7)]
        elif found.fragment[number]:
            assert packet.fragment
            assert (found.proto[number], found.version[number]) == (packet.proto, packet.version)
            assert found.ttl[number] == packet.data[packet.l3 + (8 if packet.version == 4 else 7)]
            _, start, more, _, _ = (_read_4 if packet.version == 4 else _read_6)(packet)
            assert found.part[number] == (0 if start else FIRST) | (0 if more else LAST)
            alike = batch([ethernet(first_piece(packet), 0x0800 if packet.version == 4 else 0x86DD)])
            if not packet.vlan:
                assert decode(alike).key[0] == found.key[number]
        else:
            assert not any(getattr(found, name)[number] for name in FIELDS)
    return found.plain.tolist()


def test_what_is_plain():
    assert agrees(FRAMES) == [True] * 7 + [False] * 8
    assert agrees([frame[14:] for frame in FRAMES[:5]], 101) == [True] * 5


def test_both_directions_share_a_key_and_vlans_do_not():
    found = decode(batch([FRAMES[0], FRAMES[1], FRAMES[5]]))
    assert found.key[0] == found.key[1] != found.key[2]
    tagged = ethernet(b"\0\x05\x08\0" + FRAMES[0][14:], 0x8100)
    assert len(set(decode(batch([FRAMES[0], tagged])).key.tolist())) == 2
    assert len(set(decode(batch([FRAMES[0], tagged]), use_vlan=False).key.tolist())) == 1
    assert found.forward[0] != found.forward[1]


def test_keys_spread():
    frames = [
        ethernet(ipv4(tcp(sport=port, dport=80), src=struct.pack(">I", 0x0A000000 + host)))
        for host in range(100)
        for port in range(1000, 1100)
    ]
    assert len(np.unique(decode(batch(frames), seed=7).key)) == 10_000


@settings(max_examples=300)
@given(st.data(), st.sampled_from([1, 101, 0]))
def test_property(data, link_type):
    frames = []
    for frame in data.draw(st.lists(st.sampled_from(FRAMES), min_size=1, max_size=6)):
        changed = bytearray(frame)
        for _ in range(data.draw(st.integers(0, 3))):
            changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
        frames.append(bytes(changed[: data.draw(st.integers(0, len(changed)))]))
    agrees(frames, link_type)
