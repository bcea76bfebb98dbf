"""Decoding frame by frame: layers, tunnels, and an event for each thing that can be wrong."""

import struct

import pytest
from frames import ethernet, events, ipv4, ipv6, run, tcp, udp
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.model import Packet
from sentinel.protocol.decode import LINK_TYPES, Decoder

INNER = ipv4(udp(b"inside", 7, 8), 17)


def decode(frame, link_type=1):
    packet = Packet(1, 0, frame)
    return packet, Decoder().frame(packet, link_type)


def tag(number, kind):
    return struct.pack(">HH", number, kind)


@pytest.mark.parametrize(
    ("frame", "link_type"),
    [
        (ethernet(INNER), 1),
        (INNER, 101),
        (struct.pack("<I", 2) + INNER, 0),
        (struct.pack(">I", 2) + INNER, 0),
        (b"\0" * 14 + b"\x08\0" + INNER, 113),
        (b"\x08\0" + b"\0" * 18 + INNER, 276),
        (b"\xff\x03\0\x21" + INNER, 9),
        (ethernet(tag(5, 0x0800) + INNER, 0x8100), 1),
        (ethernet(tag(5, 0x8100) + tag(6, 0x0800) + INNER, 0x88A8), 1),
        (ethernet(b"\x11\0\0\1\0\x24\0\x21" + INNER, 0x8864), 1),
        (ethernet(struct.pack(">I", 100 << 12 | 0x100) + INNER, 0x8847), 1),
    ],
)
def test_every_link_leads_to_ip(frame, link_type):
    packet, inner = decode(frame, link_type)
    assert packet.payload == b"inside"
    assert (packet.sport, packet.dport, packet.proto, packet.events, inner) == (7, 8, 17, [], [])


def test_vlan_tags_are_kept():
    packet, _ = decode(ethernet(tag(0x6005, 0x8100) + tag(6, 0x0800) + INNER, 0x8100))
    assert packet.vlan == (5, 6)


@pytest.mark.parametrize(
    ("carrier", "name"),
    [
        (ipv4(INNER, 4), "IP in IP"),
        (ipv4(ipv6(udp(b"inside", 7, 8), 17), 41), "6in4"),
        (ipv6(INNER, 4), "IPv4 in IPv6"),
        (ipv6(ipv6(udp(b"inside", 7, 8), 17), 41), "IPv6 in IPv6"),
        (ipv4(b"\0\0\x08\0" + INNER, 47), "GRE"),
        (ipv4(b"\x30\0\x08\0" + b"\0" * 8 + INNER, 47), "GRE with key and sequence"),
        (ipv4(udp(b"\x08" + b"\0" * 7 + ethernet(INNER), 9, 4789), 17), "VXLAN"),
        (ipv4(udp(b"\0\0\x65\x58" + b"\0" * 4 + ethernet(INNER), 9, 6081), 17), "Geneve"),
        (ipv4(udp(ipv6(udp(b"inside", 7, 8), 17), 9, 3544), 17), "Teredo"),
    ],
)
def test_tunnels_give_the_inner_packet_first(carrier, name):
    packets, _ = run([ethernet(carrier, 0x86DD if carrier[0] >> 4 == 6 else 0x0800)])
    inner, outer = packets
    assert inner.payload == b"inside", name
    assert (inner.tunnel_depth, outer.tunnel_depth) == (1, 0)
    assert inner.flow is not outer.flow


BAD = {
    "ethernet.pkt_too_small": b"x" * 13,
    "ipv4.pkt_too_small": ethernet(b"\x45"),
    "ipv4.wrong_ip_version": ethernet(b"\x65" + b"\0" * 30),
    "ipv4.hlen_too_small": ethernet(b"\x44" + b"\0" * 30),
    "ipv4.iplen_smaller_than_hlen": ethernet(ipv4(b"", total=19)),
    "ipv4.trunc_pkt": ethernet(ipv4(b"", total=100)),
    "ipv4.opt_invalid_len": ethernet(ipv4(b"", options=b"\x07\x09\x04\0")),
    "ipv4.opt_malformed": ethernet(ipv4(b"", options=b"\x07\x03\x01\0")),
    "ipv4.opt_invalid": ethernet(ipv4(b"", options=b"\x99\x04\0\0")),
    "ipv4.opt_duplicate": ethernet(ipv4(b"", options=b"\x94\x04\0\0\x94\x04\0\0")),
    "ipv4.opt_pad_required": ethernet(ipv4(b"", options=b"\x01\x01\x01\0")),
    "ipv4.icmpv6": ethernet(ipv4(b"\0" * 8, 58)),
    "ipv6.trunc_pkt": ethernet(ipv6(b"", length=1), 0x86DD),
    "ipv6.trunc_exthdr": ethernet(ipv6(b"\x06\x09" + b"\0" * 6, 0), 0x86DD),
    "ipv6.zero_len_padn": ethernet(ipv6(b"\x3b\0\x01\0\x05\x02\0\0", 0), 0x86DD),
    "ipv6.rh_type_0": ethernet(ipv6(b"\x3b\0\0\0" + b"\0" * 4, 43), 0x86DD),
    "ipv6.exthdr_useless_fh": ethernet(ipv6(b"\x3b" + b"\0" * 7, 44), 0x86DD),
    "ipv6.unknown_next_header": ethernet(ipv6(b"\0" * 8, 99), 0x86DD),
    "ipv6.icmpv4": ethernet(ipv6(b"\0" * 8, 1), 0x86DD),
    "tcp.pkt_too_small": ethernet(ipv4(b"\0" * 19)),
    "tcp.hlen_too_small": ethernet(ipv4(b"\0" * 12 + b"\xf0" + b"\0" * 7)),
    "tcp.opt_invalid_len": ethernet(ipv4(tcp(options=b"\x02\x03\0\0"))),
    "tcp.opt_duplicate": ethernet(ipv4(tcp(options=b"\x04\x02\x04\x02"))),
    "udp.pkt_too_small": ethernet(ipv4(udp(length=9), 17)),
    "udp.len_invalid": ethernet(ipv4(udp(length=7), 17)),
    "icmpv4.unknown_type": ethernet(ipv4(b"\x63\0" + b"\0" * 6, 1)),
    "icmpv4.unknown_code": ethernet(ipv4(b"\x08\x01" + b"\0" * 6, 1)),
    "icmpv4.ipv4_trunc_pkt": ethernet(ipv4(b"\x03\x01" + b"\0" * 7, 1)),
    "icmpv6.unknown_code": ethernet(ipv6(b"\x80\x01" + b"\0" * 6, 58), 0x86DD),
    "vlan.header_too_small": ethernet(b"\0\1", 0x8100),
    "vlan.unknown_type": ethernet(tag(1, 0x1234), 0x8100),
    "vlan.too_many_layers": ethernet(tag(1, 0x8100) * 3 + tag(1, 0x0800), 0x8100),
    "gre.wrong_version": ethernet(ipv4(b"\0\x02\x08\0", 47)),
    "gre.version0_hdr_too_big": ethernet(ipv4(b"\x30\0\x08\0", 47)),
    "gre.version1_no_key": ethernet(ipv4(b"\0\x01\x88\x0b" + b"\0" * 4, 47)),
    "mpls.bad_label_reserved": ethernet(struct.pack(">I", 5 << 12 | 0x100) + INNER, 0x8847),
    "pppoe.wrong_code": ethernet(b"\x11\x42\0\0\0\0", 0x8863),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_has_a_name(name):
    packets, _ = run([BAD[name]])
    assert name in events(packets)


def test_a_packet_of_only_layers_ends():
    data = b"\x45"
    for _ in range(40):
        data = ipv4(data, 4)
    packets, _ = run([ethernet(data)])
    assert "too_many_layers" in events(packets)
    assert len(packets) < 20


def test_what_has_an_ip_header_is_not_invalid():
    assert decode(BAD["tcp.hlen_too_small"])[0].invalid is False
    assert decode(BAD["ipv4.trunc_pkt"])[0].invalid is True


@settings(max_examples=300)
@given(st.sampled_from(sorted(BAD.values())), st.sampled_from(sorted(LINK_TYPES)), st.data())
def test_garbage_never_raises(frame, link_type, data):
    changed = bytearray(frame)
    for _ in range(data.draw(st.integers(0, 5))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    packets, _ = run([bytes(changed[: data.draw(st.integers(0, len(changed)))])], link_type=link_type)
    for packet in packets:
        assert 0 <= packet.payload_start <= packet.payload_end <= len(packet.data)
