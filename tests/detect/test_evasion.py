"""Detection does not depend on how an attack is cut, ordered, repeated, overlapped or spelled.

Each property draws a way to send the same bytes and expects the same sids as for the plain way; Ptacek and Newsham,
"Insertion, Evasion, and Denial of Service" (1998). Overlaps carry other bytes only where every policy keeps the first.
"""

import gzip
import itertools
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from sentinel.pipeline import replay_network

CLIENT, SERVER = "10.1.1.2", "192.168.5.6"
BODY = b"user=admin&cmd=%2Fbin%2Fsh+-i&x=" + b"y" * 40
REQUEST = (
    b"POST /shop/admin/upload.php?file=../../etc/passwd HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: sqlmap/1.7\r\n"
    b"Content-Length: %d\r\n\r\n" % len(BODY)
) + BODY
PAGE = b"<html><script>eval(unescape('%61'))</script></html>" + b" filler" * 30
RULES = """
alert http any any -> any any (flow:established,to_server; http.uri; content:"/admin/upload.php"; sid:1;)
alert http any any -> any any (flow:to_server; http.user_agent; content:"sqlmap"; startswith; sid:2;)
alert http any any -> any any (http.request_body; content:"/bin/sh"; sid:3;)
alert http any any -> any any (http.request_body; content:"%2Fbin%2Fsh"; sid:4;)
alert tcp any any -> any any (content:"etc/passwd"; sid:5;)
alert tcp any any -> any any (flow:established; content:"sqlmap"; content:"admin&cmd"; distance:0; sid:6;)
alert http any any -> any any (flow:to_client; file.data; content:"eval(unescape("; sid:7;)
alert http any any -> any any (http.method; content:"POST"; http.uri; pcre:"/passwd$/"; sid:8;)
alert udp any any -> any any (content:"attack at dawn"; sid:9;)
alert udp any any -> any any (content:"attack"; content:"dawn"; distance:1; within:8; sid:10;)
"""
PLAIN = {1, 2, 4, 5, 6, 8}  # what the request fires, however it is sent

PROPERTY = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def sids(tmp_path):
    count = itertools.count()
    rules = tmp_path / "evasion.rules"
    rules.write_text(RULES)

    def run(packets):
        capture = tmp_path / f"{next(count)}.pcap"
        for i, packet in enumerate(packets):
            packet.time = 1_700_000_000 + i * 0.001
        wrpcap(str(capture), packets)
        return {alert.signature_id for alert in replay_network(capture, [rules])}

    return run


def frame(packet):
    return Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / packet


def segment(offset, data, *, flags="PA", back=False, ack=0):
    """Bytes of one side at an offset of its stream, acknowledging `ack` bytes of the other."""
    ends, ports = (CLIENT, SERVER), (40000, 80)
    base = (1001, 5001)
    me = int(back)
    tcp = TCP(
        sport=ports[me], dport=ports[1 - me], flags=flags, seq=base[me] + offset, ack=base[1 - me] + ack
    )
    return frame(IP(src=ends[me], dst=ends[1 - me]) / tcp / data)


def opening():
    return [segment(-1, b"", flags="S"), segment(-1, b"", flags="SA", back=True), segment(0, b"", flags="A")]


def closing(sent, answered=0):
    return [
        segment(answered, b"", flags="A", back=True, ack=sent),
        segment(sent, b"", flags="FA", ack=answered),
        segment(answered, b"", flags="FA", back=True, ack=sent + 1),
    ]


def cut(data, places):
    marks = sorted({0, len(data), *(place % len(data) for place in places)})
    return [(a, data[a:b]) for a, b in itertools.pairwise(marks)]


cuts = st.lists(st.integers(1, 400), max_size=30)


@PROPERTY
@given(cuts)
def test_any_segmentation(sids, places):
    pieces = [segment(at, data) for at, data in cut(REQUEST, places)]
    assert sids([*opening(), *pieces, *closing(len(REQUEST))]) == PLAIN


def test_one_byte_at_a_time(sids):
    pieces = [segment(at, REQUEST[at : at + 1]) for at in range(len(REQUEST))]
    assert sids([*opening(), *pieces, *closing(len(REQUEST))]) == PLAIN


@PROPERTY
@given(cuts, st.randoms(use_true_random=False))
def test_any_order_within_the_window(sids, places, chance):
    pieces = [segment(at, data) for at, data in cut(REQUEST, places)]
    chance.shuffle(pieces)
    assert sids([*opening(), *pieces, *closing(len(REQUEST))]) == PLAIN


@PROPERTY
@given(cuts, st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=8))
def test_repeated_with_the_same_or_other_bytes(sids, places, repeats):
    """The host took the first copy: a later one with other bytes changes nothing."""
    pieces = cut(REQUEST, places)
    packets = [segment(at, data) for at, data in pieces]
    for number, other in repeats:
        at, data = pieces[number % len(pieces)]
        packets.append(segment(at, b"z" * len(data) if other else data))
    assert sids([*opening(), *packets, *closing(len(REQUEST))]) == PLAIN


@PROPERTY
@given(cuts, st.lists(st.tuples(st.integers(0, 300), st.integers(1, 60)), max_size=8))
def test_overlaps_with_the_same_bytes(sids, places, overlaps):
    packets = [segment(at, data) for at, data in cut(REQUEST, places)]
    for at, size in overlaps:
        start = at % len(REQUEST)
        packets.insert(at % (len(packets) + 1), segment(start, REQUEST[start : start + size]))
    assert sids([*opening(), *packets, *closing(len(REQUEST))]) == PLAIN


@PROPERTY
@given(
    cuts, st.lists(st.tuples(st.integers(0, 20), st.sampled_from(["ttl", "rst", "seq", "syn"])), max_size=5)
)
def test_insertions_the_server_ignores(sids, places, insertions):
    """A reset or data far outside of the window, a late SYN: nothing a host would act on."""
    packets = [segment(at, data) for at, data in cut(REQUEST, places)]
    strange = {
        "rst": segment(1 << 30, b"", flags="R"),
        "seq": segment((1 << 30) + 5, b"nothing to see here"),
        "syn": segment(-1, b"", flags="S"),
        "ttl": segment(0, b"", flags="A"),
    }
    for at, kind in insertions:
        packets.insert(at % (len(packets) + 1), strange[kind].copy())
    assert sids([*opening(), *packets, *closing(len(REQUEST))]) == PLAIN


# --- fragments --------------------------------------------------------------------------------------------------------
DATAGRAM = bytes(UDP(sport=4000, dport=5000) / (b"x" * 30 + b"attack at dawn" + b"y" * 60))


def fragment(start, data, *, more):
    return frame(
        IP(src=CLIENT, dst=SERVER, proto=17, id=77, frag=start // 8, flags="MF" if more else 0) / data
    )


def fragments(places):
    size = len(DATAGRAM)
    marks = sorted({0, size, *(place % (size // 8) * 8 for place in places)})
    return [fragment(a, DATAGRAM[a:b], more=b < size) for a, b in itertools.pairwise(marks)]


@PROPERTY
@given(st.lists(st.integers(0, 13), max_size=14), st.randoms(use_true_random=False))
def test_any_fragments_in_any_order(sids, places, chance):
    pieces = fragments(places)
    chance.shuffle(pieces)
    assert sids(pieces) == {9, 10}


def test_tiny_fragments(sids):
    assert sids(fragments(range(14))) == {9, 10}


@PROPERTY
@given(st.lists(st.integers(0, 13), min_size=1, max_size=6), st.lists(st.integers(0, 100), max_size=4))
def test_repeated_fragments(sids, places, repeats):
    pieces = fragments(places)
    packets = list(pieces[:-1])
    for number in repeats:
        packets.append(pieces[number % len(pieces)].copy())
        if bytes(packets[-1]) == bytes(pieces[-1]):
            packets.pop()  # the last one completes the datagram
    assert sids([*packets, pieces[-1]]) == {9, 10}


@PROPERTY
@given(st.integers(1, 5), st.integers(1, 3))
def test_overlapping_fragments_inside_an_older_one(sids, at, blocks):
    """Other bytes within a fragment that came first: BSD and Windows keep the first."""
    half = 64
    packets = [fragment(0, DATAGRAM[:half], more=True)]
    size = min(blocks * 8, half - at * 8)
    packets.append(fragment(at * 8, b"z" * size, more=True))
    packets.append(fragment(half, DATAGRAM[half:], more=False))
    assert sids(packets) == {9, 10}


# --- spellings --------------------------------------------------------------------------------------------------------
def exchange(request, answer=b""):
    packets = [*opening(), segment(0, request)]
    if answer:
        packets += [
            segment(at, answer[at : at + 1400], flags="PA", back=True, ack=len(request))
            for at in range(0, len(answer), 1400)
        ]
        packets.append(segment(len(request), b"", flags="A", ack=len(answer)))
    return [*packets, *closing(len(request), len(answer))]


def get(uri):
    return b"GET " + uri + b" HTTP/1.1\r\nHost: shop.example\r\n\r\n"


SPELL = st.sampled_from(["plain", "lower", "upper", "unicode"])


def spelled(byte, how):
    """A letter of a path as itself, percent-encoded, or in the %u form that IIS took."""
    forms = {"plain": b"%c", "lower": b"%%%02x", "upper": b"%%%02X", "unicode": b"%%u%04x"}
    return forms[how] % byte


@PROPERTY
@given(st.data())
def test_percent_and_unicode_encoded_paths(sids, data):
    path = b"/admin/upload.php"
    ways = [data.draw(SPELL) if byte not in b"/" else "plain" for byte in path]
    uri = b"".join(spelled(byte, how) for byte, how in zip(path, ways, strict=True))
    assert 1 in sids(exchange(get(uri)))


@PROPERTY
@given(st.lists(st.sampled_from([b"/", b"/./", b"//", b"/x/../", b"/a/b/../../"]), min_size=2, max_size=2))
def test_detours_in_paths(sids, gaps):
    uri = gaps[0] + b"admin" + gaps[1] + b"upload.php"
    assert 1 in sids(exchange(get(uri)))


def _deflated(body):
    """Deflate without zlib's two bytes around it: with them, a first chunk of 1-3 bytes is not
    decoded, here as in Suricata 7.0.10.
    """
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


@PROPERTY
@given(
    st.lists(st.integers(1, 200), min_size=1, max_size=20),
    st.sampled_from([b"", b";x=1", b" "]),
    st.sampled_from(["", "gzip", "deflate"]),
    st.booleans(),
)
def test_chunks_and_compression(sids, sizes, extension, coding, capitals):
    body = {"gzip": gzip.compress, "deflate": _deflated, "": bytes}[coding](PAGE)
    chunks, at = b"", 0
    for size in itertools.cycle(sizes):
        piece = body[at : at + size]
        if not piece:
            break
        length = b"%X" if capitals else b"%x"
        chunks += length % len(piece) + extension + b"\r\n" + piece + b"\r\n"
        at += size
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
    if coding:
        head += b"Content-Encoding: " + coding.encode() + b"\r\n"
    assert sids(exchange(get(b"/"), head + b"\r\n" + chunks + b"0\r\n\r\n")) == {7}


@PROPERTY
@given(st.lists(st.booleans(), min_size=10, max_size=10), st.integers(0, 5), st.integers(0, 5))
def test_header_spelling(sids, capitals, before, after):
    name = bytes(
        chr(byte).upper().encode()[0] if up else byte
        for byte, up in zip(b"user-agent", capitals, strict=True)
    )
    head = (
        b"GET / HTTP/1.1\r\nHost: a\r\n"
        + name
        + b":"
        + b" " * before
        + b"sqlmap/1.7"
        + b" " * after
        + b"\r\n\r\n"
    )
    assert sids(exchange(head)) == {2}


@PROPERTY
@given(st.integers(0, 30))
def test_behind_pipelined_requests(sids, count):
    found = sids(exchange(get(b"/index.html") * count + REQUEST))
    assert found == PLAIN
