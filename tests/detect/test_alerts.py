"""What an alert carries besides its header. Expected values are those that Suricata 7.0.10 wrote for the same packets."""

import base64

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import GRE, Dot1Q, Ether

from sentinel.detect.alerts import community_id
from sentinel.model import Flow

ONE, TWO = "10.0.0.1", "10.0.0.2"
ETHER = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
ALL = {
    f"outputs__1__eve-log__types__0__alert__{name}": "yes"
    for name in ("payload", "payload-printable", "packet")
}


def datagram(payload=b"udp needle3", **addresses):
    return IP(**({"src": ONE, "dst": TWO} | addresses)) / UDP(sport=4000, dport=4001) / payload


@pytest.fixture
def single(replay):
    def run(rule, packets, **options):
        (eve,) = replay(f"alert {rule} sid:1;)", packets, **options)
        return eve

    return run


def test_payload_and_packet_of_a_datagram(single):
    frame = Ether(**ETHER) / datagram()
    eve = single('udp any any -> any any (content:"needle3";', [frame], **ALL)
    assert eve["payload"] == "dWRwIG5lZWRsZTM="
    assert eve["payload_printable"] == "udp needle3"
    assert eve["stream"] == 0
    assert eve["packet"] == base64.b64encode(bytes(frame)).decode()
    assert eve["packet_info"] == {"linktype": 1}
    assert eve["community_id"] == "1:x+SG0P3Gw4m1NM8UYW0WniQcVlY="
    assert eve["direction"] == "to_server"


def test_by_default_no_bytes_of_the_traffic_are_kept(single):
    eve = single('udp any any -> any any (content:"needle3";', [Ether(**ETHER) / datagram()])
    assert not {"payload", "payload_printable", "stream", "packet", "packet_info"} & set(eve)


def test_what_cannot_be_printed_is_a_dot(single):
    eve = single("udp any any -> any any (dsize:>0;", [Ether(**ETHER) / datagram(b"a\xff\0\t~\r\n")], **ALL)
    assert eve["payload_printable"] == "a...~\r\n"


def test_the_payload_of_a_stream_is_what_was_reassembled(single, conversation):
    talk = conversation(dport=9999)
    for part in (b"hello wor", b"ld needle ", b"more"):
        talk.request(part)
    eve = single('tcp any any -> any any (content:"world needle";', talk.close(), **ALL)
    assert eve["payload_printable"] == "hello world needle more"
    assert eve["stream"] == 1


def test_the_payload_of_a_transaction_is_its_stream(single, exchange):
    eve = single('http any any -> any any (http.uri; content:"/x";', exchange("/x"), **ALL)
    assert eve["payload_printable"].startswith("GET /x HTTP/1.1\r\nHost: shop.example\r\n")
    assert eve["stream"] == 1


def test_out_of_a_tunnel_only_the_inner_packet_is_shown(single):
    inner = datagram(src="10.1.0.1", dst="10.1.0.2")
    frame = Ether(**ETHER) / IP(src=ONE, dst=TWO) / GRE(proto=0x0800) / inner
    eve = single('udp any any -> any any (content:"needle3";', [frame], **ALL)
    assert eve["packet"] == base64.b64encode(bytes(inner)).decode()
    assert eve["packet_info"] == {"linktype": 12}
    assert eve["community_id"] == "1:wlT5lSar8b4bumi8WW6BSkOtX+Y="
    outer = single("ip any any -> any any (ip_proto:47;", [frame], **ALL)
    assert "payload" not in outer


def test_community_ids_of_icmp(replay):
    there = Ether(**ETHER) / IP(src=ONE, dst=TWO) / ICMP(type=8, id=7, seq=1) / b"ping needle4"
    back = Ether(**ETHER) / IP(src=TWO, dst=ONE) / ICMP(type=0, id=7, seq=1) / b"ping needle4"
    six = (
        Ether(**ETHER)
        / IPv6(src="2001:db8::1", dst="2001:db8::2")
        / ICMPv6EchoRequest(id=7, seq=1, data=b"needle")
    )
    found = replay('alert icmp any any -> any any (content:"needle"; sid:1;)', [there, back, six])
    assert [eve["community_id"] for eve in found] == [
        "1:YcMyyWJfhc95EW1GfXt6jlZ3DiQ=",
        "1:YcMyyWJfhc95EW1GfXt6jlZ3DiQ=",
        "1:u2vMS3HiWth2lIMKHB1fjELshpQ=",
    ]
    assert [(eve["icmp_type"], eve["direction"]) for eve in found] == [
        (8, "to_server"),
        (0, "to_client"),
        (128, "to_server"),
    ]


def test_community_id_of_the_specification():
    """Baseline values of corelight/community-id-spec."""
    flow = Flow(1, 6, bytes([128, 232, 110, 120]), bytes([66, 35, 250, 204]), 34855, 80, 0, 0)
    assert community_id(flow) == "1:LQU9qZlK+B5F3KDmev6m5PMibrg="
    flow = Flow(1, 17, bytes([192, 168, 1, 52]), bytes([8, 8, 8, 8]), 54585, 53, 0, 0)
    assert community_id(flow) == "1:d/FP5EW3wiY1vCndhwleRRKHowQ="
    flow = Flow(1, 1, bytes([192, 168, 0, 89]), bytes([192, 168, 0, 1]), 8, 0, 0, 0)
    assert community_id(flow) == "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="


def test_community_ids_can_be_seeded_or_left_out(single):
    rule, frames = 'udp any any -> any any (content:"needle3";', [Ether(**ETHER) / datagram()]
    seeded = single(rule, frames, **{"outputs__1__eve-log__community-id-seed": "1"})["community_id"]
    assert seeded.startswith("1:")
    assert seeded != single(rule, frames)["community_id"]
    assert "community_id" not in single(rule, frames, **{"outputs__1__eve-log__community-id": "no"})


def test_vlan_tags_are_named(single):
    frame = Ether(**ETHER) / Dot1Q(vlan=5) / Dot1Q(vlan=7) / datagram()
    assert single('udp any any -> any any (content:"needle3";', [frame])["vlan"] == [5, 7]


def test_a_session_without_payload_has_an_empty_one(single):
    syn = Ether(**ETHER) / IP(src=ONE, dst=TWO) / TCP(sport=40002, dport=9998, flags="S", seq=1)
    eve = single("tcp any any -> any 9998 (flags:S;", [syn], **ALL)
    assert eve["payload_printable"] == ""
    assert "payload" not in eve
    assert eve["community_id"] == "1:8Z8x1ly83SMhkIONpgJUaAi1xjc="
