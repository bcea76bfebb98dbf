"""The screen may say yes too often, never no wrongly: with it, exactly the alerts that come without it."""

import gzip
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentinel.capture.pcap import read
from sentinel.detect.anchors import pieces
from sentinel.detect.build import build
from sentinel.detect.screen import CANDIDATE, OVERLAP
from sentinel.detect.screen_rows import RowScreen
from sentinel.detect.settings import STOCK_VARIABLES
from sentinel.detect.templates import template
from sentinel.detect.verify import holds
from sentinel.detect.view import View
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
alert http any any -> any any (http.uri; pcre:"/^\\/(?:admin|ev.l$)|[?&]q=a b$/i"; sid:11;)
alert http any any -> any any (http.uri; pcre:"/(?<!list)\\?page=\\d$/"; sid:12;)
alert http any any -> any any (http.uri.raw; pcre:"/%2[0f]/i"; sid:13;)
alert http any any -> any any (http.user_agent; pcre:"/^curl\\/\\d+$/"; http.uri; pcre:"/id/"; sid:14;)
alert http any any -> any any (http.request_body; pcre:"/^user=\\w/"; sid:15;)
alert http any any -> any any (http.response_body; pcre:"/stack\\s+trace|^fin$/i"; sid:16;)
alert tcp any any -> any any (flow:established; pcre:"/RAW.?b(?:yte|it)s\\b|no such/i"; sid:17;)
alert http any any -> any any (http.uri; pcre:"/[?&](?:uid|pages)=\\d|\\/adm(?:in)?$/"; sid:18;)
"""
URIS = [
    *("/", "/evil", "/e%76il", "//evil", "/a%20b", "/?id=12345", "/?id=1", "/x/../evil", "/list?page=3"),
    *("/lost?page=3", "/%61dmin", "/x%2f%2fevil", "/x?q=a%20b", "/x?q=a+b", "/a/%2e%2e/admin", "/evil?x=%zz"),
]
EXTRA = ["", "X-Bad: 1\r\n", "X-Bad:1\r\n", "X-Other: y\r\n", "Cookie: a=b\r\n"]
ANSWERS = [
    *(("200 OK", b"fine"), ("500 Oops", b"Stack Trace"), ("200 OK", b"raw-bytes"), ("204 Nothing", b"")),
    *(
        ("500 Oops", b"Stack Trace", "gzip"),
        ("500 Oops", b"Stack Trace", "chunked"),
        ("200 OK", b"fine", "gzip"),
    ),
    *(
        ("200 OK", b"fine", "chunked"),
        ("200 OK", b"fin", "gzip, chunked"),
        ("200 OK", b"no raw-bytes" * 9, "gzip"),
    ),
]
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
    return request.encode() + body, reply_of(*answer)


def reply_of(status, body, coding=""):
    lines = [f"HTTP/1.1 {status}"]
    if "gzip" in coding:
        lines.append("Content-Encoding: gzip")
        body = gzip.compress(body, mtime=0)
    if "chunked" in coding:
        lines.append("Transfer-Encoding: chunked")
        body = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (2, body[:2], len(body) - 2, body[2:])
    else:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


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
    assert ask(screen, request * 20, apps={"http"}) == 0
    assert ask(screen, reply * 20, to_server=False, apps={"http"}) == 0
    assert ask(screen, request + request[:30], apps={"http"}) == 30
    assert ask(screen, request.replace(b"/list", b"/evil"), apps={"http"}) == CANDIDATE
    assert ask(screen, b"SSH-2.0-x\r\n", to_server=False, apps={"http"}) == CANDIDATE
    assert ask(screen, b"SSH-2.0-x\r\n", to_server=False, apps={"ssh"}) == OVERLAP


def test_what_is_coded_is_read(engines):
    screen = engines().screen
    for coding in ("chunked", "gzip", "gzip, chunked"):
        quiet, loud = (reply_of("200 OK", body, coding) for body in (b"all is fine", b"a stack trace of it"))
        assert ask(screen, quiet * 3, to_server=False, apps={"http"}) == 0
        assert ask(screen, quiet + loud, to_server=False, apps={"http"}) == CANDIDATE
        assert ask(screen, quiet + loud[:-9], to_server=False, apps={"http"}) in {CANDIDATE, len(loud) - 9}
        assert ask(screen, quiet[:-1] + b"x", to_server=False, apps={"http"}) == CANDIDATE
    until_close = b"HTTP/1.0 200 OK\r\n\r\nall is fine"
    assert ask(screen, until_close, to_server=False, apps={"http"}) == len(until_close)
    assert ask(screen, until_close + b" stack trace", to_server=False, apps={"http"}) == CANDIDATE


def ask(screen, data, *, to_server=True, proto=6, apps=(), notes=None, packets=None, whole=True):
    return screen.stream(
        (proto, 40000, 80, 0x0A000001, 0xC0A80506), to_server, data,
        packets=packets, whole=whole, apps=set(apps), notes=set() if notes is None else notes,
    )  # fmt: skip


@pytest.fixture
def screen(tmp_path):
    def make(*rules):
        (tmp_path / "x.rules").write_text(
            "\n".join(f"{rule[:-1]} sid:{n + 1};)" for n, rule in enumerate(rules))
        )
        return build([tmp_path / "x.rules"], STOCK_VARIABLES).engine.screen

    return make


def test_pieces_of_a_stream_may_come_apart(screen):
    made = screen('alert tcp any any -> any any (content:"anchor-text"; content:"ab";)')
    assert ask(made, b"x" * 300 + b"anchor-text ab", packets=[b""]) == CANDIDATE
    assert ask(made, b"anchor-text", packets=[b"anchor-text"]) == len(b"anchor-text")
    assert ask(made, b"x" * 70_000 + b"anchor-text", packets=[b""]) == CANDIDATE
    assert ask(made, b"anchor-text", whole=False) == CANDIDATE
    assert ask(made, b"ab" * 500) == OVERLAP


def test_rules_about_packets_are_judged_by_packet(screen):
    made = screen('alert tcp-pkt any any -> any any (content:"one"; depth:3; content:"two";)')
    assert ask(made, b"one two", packets=[b"one", b" two"]) == OVERLAP
    assert ask(made, b"x one two", packets=[b"x one two"]) == OVERLAP
    assert ask(made, b"x one two", packets=[b"x ", b"one two"]) == CANDIDATE
    assert ask(made, b"x one two") == CANDIDATE


def test_datagrams_are_judged_whole(screen):
    made = screen('alert udp any any -> any any (content:"one"; depth:3; content:!"three";)')
    for datagram, found in ((b"one", True), (b"x one", False), (b"one three", False)):
        assert (ask(made, datagram, proto=17, packets=[datagram]) == CANDIDATE) is found


def test_what_the_wire_does_not_show_is_parsed(screen):
    made = screen(
        'alert tls any any -> any any (ja3.hash; content:"e7d705a3286e19ea42f587b344ee6865";)',
        'alert tcp any any -> any any (file.data; content:"MZ-file";)',
    )
    for name in ("tls", "smtp", "ftp", "nfs", "http2"):
        assert ask(made, b"anything", apps={name}) == CANDIDATE, name
    for name in ("ssh", "dns", "mqtt"):
        assert ask(made, b"anything", apps={name}) == OVERLAP, name
    assert ask(screen("alert tcp any any -> any any (app-layer-protocol:ssh;)"), b"", apps=()) == OVERLAP


def test_files_in_parts_of_smb_are_parsed(screen):
    made = screen('alert smb any any -> any any (flow:to_client; file.data; content:"MZ-file";)')
    answer = b"\0\0\0\x50\xfeSMB" + b"\x40\0\0\0\0\0\0\0" + b"\x08\0" + b"\0" * 50
    notes = set()
    assert ask(made, answer, to_server=False, apps={"smb"}, notes=notes) == OVERLAP
    assert ask(made, answer, to_server=False, apps={"smb"}, notes=notes) == CANDIDATE
    assert ask(made, answer + b"MZ-file", to_server=False, apps={"smb"}) == CANDIDATE
    assert ask(made, answer * 2, apps={"smb"}) == OVERLAP
    assert ask(made, b"\0\0\0\x50\xffSMB\x2e" * 2, to_server=False, apps={"smb"}) == CANDIDATE
    assert ask(made, b"\0\0\0\x50\xffSMB\x72" * 2, to_server=False, apps={"smb"}) == OVERLAP


def test_rules_of_other_applications_do_not_count(screen):
    made = screen('alert dns any any -> any any (dns.query; content:"evil";)')
    assert ask(made, b"evil", proto=17, apps={"sip"}, packets=[b"evil"]) == 0
    assert ask(made, b"evil", proto=17, apps={"dns"}, packets=[b"evil"]) == CANDIDATE


def test_flow_bits_are_joined(screen):
    made = screen(
        'alert tcp any any -> any any (content:"opens"; flowbits:set,door; flowbits:noalert;)',
        'alert tcp any any -> any any (content:"enters"; flowbits:isset,door|gate;)',
        'alert tcp any any -> any any (content:"never"; flowbits:isset,unknown;)',
        'alert tcp any any -> any any (content:"loud"; flowbits:set,noise;)',
        'alert tcp any any -> any any (content:"follows"; flowbits:isset,noise;)',
    )
    for words in (b"opens opens", b"enters", b"never", b"follows"):
        assert ask(made, words) == OVERLAP, words
    assert ask(made, b"loud") == CANDIDATE
    for order in ((b"opens", b"enters"), (b"enters", b"opens")):
        notes = set()
        assert [ask(made, words, notes=notes) for words in order] == [OVERLAP, CANDIDATE]


@pytest.mark.parametrize(
    ("options", "expression"),
    [
        ('content:"|18 03|"; depth:2; byte_test:1,<,3,2;', rb"\x18\x03[\x00\x01\x02]"),
        ('content:"ab"; content:"cd"; distance:2; within:2;', rb"\x61\x62.{2}\x63\x64"),
        ('content:"ab"; offset:4; depth:2; content:"c"; offset:8; depth:1;', rb"\x61\x62.{2}\x63"),
        ('content:"ab"; content:"cdef"; distance:2; within:9;', rb"\x63\x64\x65\x66"),
        ('content:"abc"; pcre:"/x/"; content:"d"; distance:0; within:1;', rb"\x61\x62\x63"),
        ('content:!"abc"; dsize:5;', None),
    ],
)
def test_templates(rule, options, expression):
    found = template(rule(f"alert tcp any any -> any any ({options} sid:1;)").payload)
    assert (found and found.expression) == expression


CONTENTS = st.lists(
    st.tuples(st.sampled_from([b"a", b"ab", b"ba", b"bb"]), st.sampled_from(["", "offset:1; depth:{n};", "distance:1; within:{n};", "distance:0;"])),
    min_size=1, max_size=4,
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    CONTENTS,
    st.sampled_from(["", "byte_test:1,>,97,3;", "byte_test:1,=,98,1,relative;"]),
    st.text("ab", min_size=1, max_size=12),
)
def test_template_property(rule, contents, test, text):
    options = "".join(
        f'content:"{pattern.decode()}"; ' + places.format(n=len(pattern)) for pattern, places in contents
    )
    made = rule(f"alert udp any any -> any any ({options} {test} sid:1;)")
    found = template(made.payload)
    if found is not None and holds(made.payload, View(text.encode())):
        assert re.search(found.expression, text.encode(), re.DOTALL)


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
    scan = rule("alert tcp any any -> any 4444 (flags:S; flowbits:set,x; sid:1;)")
    lone = rule(
        "alert tcp any any -> any 4444 (flags:S; threshold:type limit,track by_src,count 1,seconds 9; sid:3;)"
    )
    listed = rule("alert ip 9.9.9.0/24 any -> any any (sid:2;)")
    assert RowScreen([scan], [listed]).rows(headers.decode(batch)).tolist() == [True, False, False, True]
    assert RowScreen([lone], []).lone(headers.decode(batch)).tolist() == [True, False, False, False]
    assert not np.any(RowScreen([lone], []).rows(headers.decode(batch)))
    assert not np.any(RowScreen([scan], []).lone(headers.decode(batch)))
    assert not np.any(RowScreen([], []).rows(headers.decode(batch)))


def test_rules_about_sizes_ask_for_packets_of_large_sessions_only(rule):
    sized = "alert tcp any any -> any 80 (stream_size:client,>,5000; stream_size:server,<,9; flow:to_server; {}sid:1;)"
    limit = "threshold:type limit,track by_src,count 1,seconds 9; "
    assert RowScreen([rule(sized.format(limit))], []).large == 5000
    assert RowScreen([rule(sized.format(""))], []).large > 1 << 32  # wants every packet
    assert RowScreen([rule(sized.format(limit).replace(",>,", ",<,"))], []).large > 1 << 32


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


def test_the_plan_is_kept_and_belongs_to_its_rules(tmp_path):
    file, cache = tmp_path / "a.rules", tmp_path / "kept"
    text = 'alert tcp any any -> any any (content:"needle"; sid:{};)\n'
    file.write_text(text.format(1))

    def asked(data):
        screen = build([file], STOCK_VARIABLES, cache=cache).engine.screen
        ends = (6, 1000, 2000, 1, 2)
        return screen.stream(ends, True, data, packets=[data], whole=True, apps=set(), notes=set())

    def plans():
        return {path.name: path.stat().st_mtime_ns for path in cache.glob("*.plan.pickle")}

    assert [asked(b"needle") < 0, asked(b"nothing") < 0] == [True, False]
    first = plans()
    assert len(first) == 1
    assert asked(b"needle") < 0
    assert plans() == first, "it was read, not made again"
    file.write_text(text.format(1) + text.format(2).replace("needle", "thread"))
    assert asked(b"thread") < 0
    assert len(plans()) == 2
    for path in cache.glob("*.plan.pickle"):
        path.write_bytes(b"not a plan")
    assert asked(b"thread") < 0
