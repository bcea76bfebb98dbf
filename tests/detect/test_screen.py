"""The screen may say yes too often, never no wrongly: with it, exactly the alerts that come without it."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentinel.capture.pcap import read
from sentinel.detect.anchors import pieces
from sentinel.detect.build import build
from sentinel.detect.screen import CANDIDATE
from sentinel.detect.screen_rows import RowScreen
from sentinel.detect.settings import STOCK_VARIABLES
from sentinel.protocol import headers
from sentinel.protocol.fastpath import FastParser
from sentinel.protocol.network import NetworkParser
from sentinel.protocol.settings import ProtocolSettings

RULES = """
alert http any any -> any any (http.uri; content:"/evil"; sid:1;)
alert http any any -> any any (http.method; content:"POST"; http.request_body; content:"passwd="; sid:2;)
alert http any any -> any any (http.user_agent; content:"sqlmap"; nocase; sid:3;)
alert http any any -> any any (http.header; content:"X-Bad|3a 20|1"; sid:4;)
alert http any any -> any any (http.stat_code; content:"500"; file.data; content:"Trace"; sid:5;)
alert http any any -> any any (http.host; content:"bad"; startswith; sid:6;)
alert http any any -> any any (http.uri; content:"a b"; sid:7;)
alert tcp any any -> any any (content:"raw-bytes"; sid:8;)
alert tcp any any -> any 4444 (flags:S; sid:9;)
alert http any any -> any any (http.uri; pcre:"/id=\\d{5}/"; content:"id="; sid:10;)
"""
URIS = ["/", "/evil", "/e%76il", "//evil", "/a%20b", "/?id=12345", "/?id=1", "/x/../evil", "/list?page=3"]
EXTRA = ["", "X-Bad: 1\r\n", "X-Bad:1\r\n", "X-Other: y\r\n", "Cookie: a=b\r\n"]
ANSWERS = [("200 OK", b"fine"), ("500 Oops", b"Stack Trace"), ("200 OK", b"raw-bytes"), ("204 Nothing", b"")]
exchanges = st.lists(
    st.tuples(
        st.sampled_from(URIS), st.sampled_from(["curl/8", "SqlMap/1"]), st.sampled_from(EXTRA),
        st.sampled_from([b"", b"user=a&passwd=b", b"raw-bytes"]), st.sampled_from(ANSWERS),
        st.sampled_from(["shop", "bad.example:80"]),
    ),
    min_size=1, max_size=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    file = tmp_path_factory.mktemp("rules") / "x.rules"
    file.write_text(RULES)
    return lambda: build([file], STOCK_VARIABLES).engine


def messages(uri, agent, extra, body, answer, host):
    method = "POST" if body else "GET"
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    request = f"{method} {uri} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\n{extra}{length}\r\n"
    reply = f"HTTP/1.1 {answer[0]}\r\nContent-Length: {len(answer[1])}\r\n\r\n"
    return request.encode() + body, reply.encode() + answer[1]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(exchanges, st.integers(3, 40))
def test_same_alerts_with_and_without(engines, conversation, tmp_path_factory, talks, rows):
    from scapy.utils import wrpcap

    talk = conversation(dport=80)
    for each in talks:
        request, reply = messages(*each)
        talk.request(request).response(reply)
    capture = tmp_path_factory.mktemp("x") / "x.pcap"
    packets = talk.close()
    for i, packet in enumerate(packets):
        packet.time = 1_700_000_000 + i * 0.01
    wrpcap(str(capture), packets)
    options = {"checksum-validation": "none"}
    limits = ProtocolSettings.model_validate({})
    plain, fast = engines(), engines()
    found = []
    for engine, parser in (
        (plain, NetworkParser(limits, options)),
        (fast, FastParser(limits, options, fast.screen)),
    ):
        seen = [
            packet for batch in read(capture, rows=rows) for packet in map(engine.inspect, parser.feed(batch))
        ]
        seen += map(engine.inspect, parser.finish())
        found.append(sorted(alert.signature_id for alerts in seen for alert in alerts))
    assert found[0] == found[1]


def test_quiet_traffic_is_quiet(engines):
    screen = engines().screen
    request, reply = messages("/list?page=3", "curl/8", "", b"", ("200 OK", b"fine"), "shop")
    ends = (6, 40000, 80, 0x0A000001, 0xC0A80506)
    assert screen.stream(ends, True, request * 20, True) == 0
    assert screen.stream(ends, False, reply * 20, True) == 0
    assert screen.stream(ends, True, request + request[:30], True) == 30
    assert screen.stream(ends, True, request.replace(b"/list", b"/evil"), True) == CANDIDATE
    assert screen.stream(ends, False, b"SSH-2.0-x\r\n", True) == CANDIDATE


def test_rows_find_flags_and_addresses(rule, tmp_path):
    from scapy.layers.inet import IP, TCP
    from scapy.layers.l2 import Ether
    from scapy.utils import wrpcap

    frames = [
        Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
        / IP(src=src, dst="10.0.0.2")
        / TCP(dport=port, flags=flags)
        for src, port, flags in (
            ("10.0.0.1", 4444, "S"),
            ("10.0.0.1", 4444, "A"),
            ("10.0.0.1", 80, "S"),
            ("9.9.9.9", 80, "A"),
        )
    ]
    wrpcap(str(tmp_path / "x.pcap"), frames)
    (batch,) = read(tmp_path / "x.pcap")
    scan = rule("alert tcp any any -> any 4444 (flags:S; sid:1;)")
    listed = rule("alert ip 9.9.9.0/24 any -> any any (sid:2;)")
    assert RowScreen([scan], [listed]).rows(headers.decode(batch)).tolist() == [True, False, False, True]
    assert not np.any(RowScreen([], []).rows(headers.decode(batch)))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ('http.uri; content:"/A"; content:"bcd";', {b"/a", b"bcd"}),
        ('http.header; content:"X-Y|3a 20|value";', {b"x-y", b"value"}),
        ('dns.query; content:"evil.example";', {b"evil", b"example"}),
        ('tls.cert_subject; content:"CN=x";', set()),
        ('http.uri; to_md5; content:"abc";', set()),
        ('content:!"abc"; content:"def";', {b"def"}),
    ],
)
def test_pieces(rule, options, expected):
    assert set(pieces(rule(options), 0)) == expected or set(pieces(rule(options), 1)) == expected
