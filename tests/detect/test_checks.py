"""Header keywords on packets made with Scapy."""

import pytest


def frame(layer):
    from scapy.layers.l2 import Ether

    return Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / layer


def tcp(**fields):
    from scapy.layers.inet import IP, TCP

    ip = {
        key: fields.pop(key) for key in ("ttl", "id", "tos", "flags_ip", "options_ip", "dst") if key in fields
    }
    if "flags_ip" in ip:
        ip["flags"] = ip.pop("flags_ip")
    if "options_ip" in ip:
        ip["options"] = ip.pop("options_ip")
    return frame(IP(src="10.0.0.1", **{"dst": "10.0.0.2", **ip}) / TCP(**{"sport": 1, "dport": 2, **fields}))


@pytest.mark.parametrize(
    ("options", "fields", "expected"),
    [
        ("flags:S;", {"flags": "S"}, True),
        ("flags:S;", {"flags": "SA"}, False),
        ("flags:+S;", {"flags": "SA"}, True),
        ("flags:*SF;", {"flags": "FA"}, True),
        ("flags:!S;", {"flags": "A"}, False),  # Suricata asks only packets that open or end a session
        ("flags:!S;", {"flags": "FA"}, True),
        ("flags:S,CE;", {"flags": "SEC"}, True),
        ("flags:0;", {"flags": 0}, True),
        ("seq:77;", {"seq": 77}, True),
        ("ack:78;", {"ack": 77}, False),
        ("window:512;", {"window": 512}, True),
        ("tcp.mss:<600;", {"options": [("NOP", None), ("MSS", 536)]}, True),
        ("tcp.mss:<600;", {"options": []}, False),
        ("ttl:<5;", {"ttl": 4}, True),
        ("ttl:10-20;", {"ttl": 10}, False),
        ("id:!7;", {"id": 7}, False),
        ("tos:!8;", {"tos": 9}, True),
        ("fragbits:D;", {"flags_ip": "DF"}, True),
        ("fragbits:M;", {"flags_ip": "DF"}, False),
        ("fragoffset:0;", {}, True),
        ("ipopts:rr;", {"options_ip": b"\x07\x03\x04\x00"}, True),
        ("ipopts:ts;", {"options_ip": b"\x07\x03\x04\x00"}, False),
        ("sameip;", {"dst": "10.0.0.1"}, True),
        ("sameip;", {}, False),
        ("l3_proto:ipv6;", {}, False),
        ("dsize:0;", {}, True),
        ("tcpv4-csum:valid;", {}, True),
        ("tcpv4-csum:invalid;", {"chksum": 1}, True),
        ("ipv4-csum:valid;", {}, True),
        ('tcp.hdr; content:"|00 01 00 02|"; startswith;', {}, True),
        ('ipv4.hdr; content:"|45|"; startswith;', {}, True),
        ('ip.src; content:"|0a 00 00 01|";', {}, True),
    ],
)
def test_tcp_keywords(fired, options, fields, expected):
    assert (fired(f"alert tcp any any -> any any ({options} sid:1;)", [tcp(**fields)]) == [1]) is expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("itype:8;", True),
        ("itype:>8;", False),
        ("icode:0;", True),
        ("icmp_id:5;", True),
        ("icmp_seq:6;", True),
        ("icmp_seq:7;", False),
        ('icmpv4.hdr; content:"|00 05 00 06|";', True),
        ("dsize:3;", True),
        ("icmpv4-csum:valid;", True),
        ("flags:S;", False),
    ],
)
def test_icmp_keywords(fired, options, expected):
    from scapy.layers.inet import ICMP, IP

    packet = frame(IP(src="10.0.0.1", dst="10.0.0.2") / ICMP(id=5, seq=6) / b"abc")
    assert (fired(f"alert icmp any any -> any any ({options} sid:1;)", [packet]) == [1]) is expected


def test_icmp6_mtu(fired):
    from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6

    packet = frame(IPv6(src="fd00::1", dst="fd00::2") / ICMPv6PacketTooBig(mtu=1280) / IPv6())
    rules = "alert icmpv6 any any -> any any (icmpv6.mtu:<1300; sid:1;)\nalert icmp any any -> any any (itype:3; sid:2;)"
    assert fired(rules, [packet]) == [1]


def test_events_reach_rules(fired):
    from scapy.layers.inet import IP, TCP

    truncated = frame(IP(src="10.0.0.1", dst="10.0.0.2", len=200) / TCP(sport=1, dport=2))
    rules = (
        "alert pkthdr any any -> any any (decode-event:ipv4.trunc_pkt; sid:1;)\n"
        "alert pkthdr any any -> any any (decode-event:ipv6.trunc_pkt; sid:2;)"
    )
    assert fired(rules, [truncated]) == [1]


def test_flow_states(conversation, fired):
    rules = (
        'alert tcp any any -> any any (flow:established,to_server; content:"hello"; sid:1;)\n'
        'alert tcp any any -> any any (flow:to_client; content:"hello"; sid:2;)\n'
        'alert tcp any any -> any any (flow:not_established; content:"hello"; sid:3;)\n'
        "alert tcp any any -> any any (flow:not_established; flags:S; sid:4;)\n"
    )
    assert sorted(fired(rules, conversation(dport=4444).request(b"hello").close())) == [1, 4]


def test_stream_size_and_app_layer(exchange, fired):
    rules = (
        "alert tcp any any -> any any (flags:F; stream_size:client,>,50; sid:1;)\n"
        "alert tcp any any -> any any (flags:F; stream_size:both,>,5000; sid:2;)\n"
        "alert tcp any any -> any any (flags:F; app-layer-protocol:http; sid:3;)\n"
        "alert tcp any any -> any any (flags:F; app-layer-protocol:!http; sid:4;)\n"
    )
    fired_sids = set(fired(rules.replace("flags:F", "flags:+F"), exchange()))
    assert fired_sids == {1, 3}
