"""The columnar path: what it passes on is what NetworkParser alone would say, and what it keeps back had no candidate."""

import functools
import operator
import struct

import pytest
from frames import ACK, RST, SYN, Recorder, Talk, batch, ethernet, ipv4, ipv6, tcp, udp
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.protocol.fastpath import FastParser
from sentinel.protocol.network import NetworkParser
from sentinel.protocol.settings import ProtocolSettings


class Words:
    """A screen that looks for one word, as detection would: it asks for enough overlap to see it across pieces."""

    usable = True
    decoder_events = False
    large = 1 << 62

    def __init__(self, word=b"EVIL", flagged=0, lone=0):
        self.word, self.flagged, self.alone = word, flagged, lone
        self.scanned = 0

    def rows(self, headers):
        return (headers.tcp_flags == self.flagged) & (self.flagged > 0)

    def lone(self, headers):
        return (headers.tcp_flags == self.alone) & (self.alone > 0)

    def sized(self, headers):
        return headers.proto == 6

    def stream(self, ends, to_server, data, *, packets, whole, apps, notes):
        self.scanned += len(data)
        return -1 if self.word in data else len(self.word) - 1


def port(frames, number):
    """The same conversation on another client port."""
    old, new = (1000).to_bytes(2, "big"), number.to_bytes(2, "big")
    return [f[:34] + new + f[36:] if f[34:36] == old else f[:36] + new + f[38:] for f in frames]


def seen(parser, frames, rows):
    """Per flow and in order: what an engine would inspect."""
    flows = {}
    packets = [
        packet
        for at in range(0, len(frames), rows)
        for packet in parser.feed(batch(frames[at : at + rows], start=10**18 + at * 10**6, first=at + 1))
    ]
    for packet in packets + list(parser.finish()):
        key = frozenset([(packet.src, packet.sport), (packet.dst, packet.dport)])
        facts = (
            packet.pseudo,
            packet.to_server,
            packet.established,
            packet.stream_data,
            tuple(packet.events),
        )
        flows.setdefault(key, []).append(facts)
    return flows


def both(frames, rows=4096, screen=None, **limits):
    slow = seen(NetworkParser(ProtocolSettings(), {}, Recorder()), frames, rows)
    parser = FastParser(ProtocolSettings(**limits), {}, screen or Words(), Recorder())
    return slow, seen(parser, frames, rows), parser


def talk(*words):
    conversation = Talk().handshake()
    for word in words:
        conversation.send(word).answer(b"ok")
    return conversation.close()


@pytest.mark.parametrize("rows", [1, 3, 4096])
def test_only_the_flow_with_a_candidate_is_inspected(rows):
    good = [port(talk(b"one", b"two").frames, 2000 + number) for number in range(5)]
    bad = talk(b"one", b"two EV", b"IL three").frames
    slow, fast, parser = both(functools.reduce(operator.iadd, good, []) + bad, rows)
    assert list(fast) == [key for key in slow if any(number == 1000 for _, number in key)]
    assert fast == {key: slow[key] for key in fast}
    assert parser.passed >= 5 * len(good[0])


@pytest.mark.parametrize("rows", [3, 4096])
def test_of_a_large_session_a_packet_of_each_direction_is_shown(rows):
    conversation = talk(b"x" * 900, b"y" * 900)
    screen = Words()
    screen.large = 1500
    parser = FastParser(ProtocolSettings(), {}, screen, Recorder())
    shown = [
        (packet.to_server, packet.flow.src == packet.src, packet.established, tuple(packet.flow.stream_size))
        for at in range(0, len(conversation.frames), rows)
        for packet in parser.feed(batch(conversation.frames[at : at + rows], first=at + 1))
    ]
    exact = list(NetworkParser(ProtocolSettings(), {}, Recorder()).feed(batch(conversation.frames)))
    assert {to_server for to_server, *_ in shown} == {True, False}
    assert all(from_client is to_server and known for to_server, from_client, known, _ in shown)
    assert shown[-1][3] == tuple(exact[-1].flow.stream_size)
    assert len(parser.deferred) == 1


def test_what_is_unusual_is_inspected():
    odd = {
        "gap": Talk().handshake().send(b"a").send(b"c", seq=500),
        "hole that is not filled": Talk()
        .handshake()
        .send(b"a")
        .send(b"c", seq=110)
        .send(b"d", seq=120)
        .close(),
        "again with other bytes": Talk().handshake().send(b"aa").send(b"bb", seq=101),
        "reset with words": Talk().handshake().answer(b"bye", flags=RST | ACK),
        "no flags": Talk().send(b"x", flags=0),
        "second SYN": Talk().handshake().send(flags=SYN, seq=77),
    }
    for name, conversation in odd.items():
        slow, fast, _ = both(conversation.frames)
        assert fast == slow, name


def test_a_flow_with_an_odd_frame_goes_with_all_its_frames():
    conversation = talk(b"one")
    optioned = ethernet(ipv4(conversation.frames[3][34:], options=b"\x94\x04\0\0"))
    frames = [*conversation.frames[:3], optioned, *conversation.frames[4:]]
    slow, fast, _ = both(frames, 2)
    assert fast == slow


def test_an_icmp_error_brings_the_flow_it_quotes():
    query = ipv4(udp(b"q", 1000, 53), 17)
    error = ethernet(
        ipv4(b"\x03\x03" + b"\0" * 6 + query, 1, src=bytes([192, 168, 0, 2]), dst=bytes([10, 0, 0, 1]))
    )
    slow, fast, _ = both([ethernet(query), error], 1)
    assert fast == slow


def test_headers_may_be_wanted():
    frames = port(talk(b"one").frames, 2000) + talk(b"two").frames
    _, fast, _ = both(frames, screen=Words(flagged=SYN))
    assert len(fast) == 2


@pytest.mark.parametrize("rows", [1, 2, 4096])
@pytest.mark.parametrize("word", [b"two", b"EVIL"])
def test_a_first_packet_may_be_looked_at_alone(rows, word):
    """The packet is shown once, and the rest of its flow only if there is a reason."""
    frames = talk(b"one", word).frames
    slow, fast, _ = both(frames, rows, Words(lone=SYN))
    (key,) = slow
    assert fast[key] == (slow[key] if word == b"EVIL" else slow[key][:1])
    twice = [frames[0], *frames]
    slow, fast, _ = both(twice, rows, Words(lone=SYN))
    assert fast == slow


def test_a_flow_keeps_its_number_when_it_was_looked_at():
    for rows in (1, 4096):
        parser = FastParser(ProtocolSettings(), {}, Words(lone=SYN), Recorder())
        frames = talk(b"one", b"EVIL").frames
        packets = [
            packet
            for at in range(0, len(frames), rows)
            for packet in parser.feed(batch(frames[at : at + rows], first=at + 1))
        ]
        assert len(packets) == len(frames)
        assert len({packet.flow.id for packet in packets}) == 1


def test_memory_is_bounded_and_a_flow_without_frames_is_still_watched():
    conversation = Talk().handshake()
    for _ in range(7000):
        conversation.send(b"x" * 1400).answer()
    conversation.send(b"now EVIL comes").answer()
    settings_ = {"stream.reassembly.depth": "64mb"}
    parser = FastParser(ProtocolSettings(stream_memory_megabytes=8), settings_, Words(), apps := Recorder())
    packets = []
    for at in range(0, len(conversation.frames), 500):
        packets += parser.feed(batch(conversation.frames[at : at + 500], first=at + 1))
        assert parser.held_bytes <= 9 << 20
    packets += parser.finish()
    assert parser.trusted == 1
    assert packets[0].stream_established
    assert b"now EVIL comes" in bytes(apps.data[True])


def test_beyond_the_depth_nothing_is_kept_or_scanned():
    conversation = Talk().handshake()
    for _ in range(30):
        conversation.send(b"x" * 1000).answer(b"y" * 1000)
    screen = Words()
    parser = FastParser(ProtocolSettings(), {"stream.reassembly.depth": "5000"}, screen, Recorder())
    for at in range(0, len(conversation.frames), 4):
        assert not list(parser.feed(batch(conversation.frames[at : at + 4], first=at + 1)))
    assert screen.scanned < 20_000
    assert parser.held_bytes == 0


PIECES = st.lists(st.sampled_from([b"aaaa", b"EV", b"IL", b"EVIL", b"bb" * 50]), max_size=6)


@settings(max_examples=80)
@given(st.lists(PIECES, min_size=1, max_size=4), st.integers(1, 40), st.randoms(use_true_random=False))
def test_never_a_candidate_less(conversations, rows, random):
    """Interleaved and cut into batches at random: flows with the word are inspected exactly as without this path."""
    queues = [port(talk(*words).frames, 1000 + number) for number, words in enumerate(conversations)]
    frames = []
    while any(queues):
        queue = random.choice([queue for queue in queues if queue])
        frames.append(queue.pop(0))
    slow, fast, _ = both(frames, rows)
    for number, words in enumerate(conversations):
        (key,) = (key for key in slow if any(p == 1000 + number for _, p in key))
        if b"EVIL" in b"".join(words):
            assert fast[key] == slow[key]
    assert set(fast) <= set(slow)


def test_a_screen_that_needs_everything_gets_everything():
    screen = Words()
    screen.usable = False
    slow, fast, _ = both(talk(b"one").frames, screen=screen)
    assert fast == slow


def test_an_empty_batch():
    parser = FastParser(ProtocolSettings(), {}, Words(), Recorder())
    assert not list(parser.feed(batch([])))


def pieces_of(payload, sizes, six=False, ident=7):
    """The datagram in fragments of these many bytes, the last one as long as needed."""
    frames, at = [], 0
    for size in [*sizes, len(payload)]:
        part, more = payload[at : at + size], at + size < len(payload)
        if six:
            head = struct.pack(">BBHI", 17, 0, at | more, ident)
            frames.append(ethernet(ipv6(head + part, 44), 0x86DD))
        else:
            word = at >> 3 | 0x2000 * more
            frames.append(ethernet(ipv4(part, 17, ident=ident, fragment=word)))
        at += size
        if not more:
            break
    return frames


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([8, 16, 24]), max_size=4),
    st.booleans(),
    st.integers(1, 9),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_whole_datagrams_are_inspected_and_lone_pieces_are_not(sizes, six, rows, whole, random):
    frames = pieces_of(udp(b"word" * 12), [8, *sizes], six)
    if not whole:
        frames.pop(random.choice([0, -1]))
    random.shuffle(frames)
    frames += talk(b"one").frames
    slow, fast, parser = both(frames, rows)
    if whole:
        assert fast == {key: value for key, value in slow.items() if all(p != 80 for _, p in key)}
        assert any(port == 2000 for key in fast for _, port in key)
    else:
        assert not fast
        assert parser.fragments.count


def test_pieces_are_held_within_bounds():
    flood = [pieces_of(udp(b"x" * 40), [8], ident=number)[0] for number in range(5000)]
    parser = FastParser(ProtocolSettings(fragments=100), {}, Words(), Recorder())
    for at in range(0, 5000, 50):
        assert not list(parser.feed(batch(flood[at : at + 50], first=at + 1)))
    assert parser.fragments.count < 200
    assert parser.fragments.evicted > 4800
    late = batch(flood[:1], start=10**18 + 10**12, first=6000)
    assert not list(parser.feed(late))
    assert parser.fragments.count == 1
    assert parser.fragments.timed_out == 100


def test_rules_about_decoding_see_every_piece():
    screen = Words()
    screen.decoder_events = True
    slow, fast, _ = both(pieces_of(udp(b"x" * 40), [8])[:1], screen=screen)
    assert fast == slow


def test_a_piece_with_options_brings_the_others():
    first, last = pieces_of(udp(b"x" * 40), [8])
    optioned = ethernet(ipv4(last[34:], 17, options=b"\x01\x01\x01\0" * 2, ident=7, fragment=1))
    slow, fast, _ = both([first, optioned], 1)
    assert fast == slow


SEGMENT = st.tuples(st.integers(0, 11), st.integers(1, 4))
STREAM = b"good EVIL text with more words.."


@settings(max_examples=300, deadline=None)
@given(st.permutations(range(8)), st.lists(SEGMENT, max_size=4), st.integers(1, 12), st.booleans())
def test_segments_in_any_order_are_judged_as_one_stream(order, again, rows, evil):
    """With the word the flow is inspected as without this path; without it, late and repeated segments are no reason to."""
    stream = STREAM if evil else STREAM.replace(b"EVIL", b"evil")
    conversation = Talk().handshake()
    for number in order:
        conversation.send(stream[number * 4 : number * 4 + 4], seq=101 + number * 4)
    for start, size in again:
        conversation.send(stream[start : start + size], seq=101 + start)
    conversation.client += len(stream)
    conversation.answer(b"ok").close()
    slow, fast, _ = both(conversation.frames, rows)
    if evil:
        assert fast == slow
    elif rows == 12 and all(start >= 0 for start, _ in again):
        assert not fast


def test_repeated_with_other_bytes_in_a_later_batch():
    conversation = Talk().handshake().send(b"first words").answer(b"ok").send(b"second", seq=101 + 3)
    slow, fast, _ = both(conversation.frames, 1)
    assert fast == slow
    conversation = Talk().handshake().send(b"first words").answer(b"ok").send(b"st wor", seq=101 + 3)
    _, fast, _ = both(conversation.frames, 1)
    assert not fast


def test_sessions_on_the_same_ports_are_told_apart():
    def later(word, isn):
        return Talk(isn, isn + 700).handshake().send(word).answer(b"ok").close().frames

    frames = later(b"one", 100) + later(b"two", 9000) + later(b"EVIL", 70_000)
    slow, fast, _ = both(frames)
    (key,) = slow
    sent = [fact for fact in slow[key] if not fact[0]]
    assert [fact for fact in fast[key] if not fact[0]] == sent[-len(sent) // 3 :]
    repeated = later(b"one", 100) * 3
    assert not both(repeated)[1]
    assert not both(repeated, 5)[1]
    other = later(b"one", 100) + later(b"two", 100)
    slow, fast, _ = both(other, 30)
    assert fast == slow
    again = Talk().send(flags=SYN, seq=100).handshake().send(b"x").close()
    assert not both(again.frames, 2)[1]
    unclosed = Talk().handshake().send(b"one").frames + later(b"two", 9000)
    slow, fast, _ = both(unclosed)
    assert fast == slow


def test_what_the_other_side_said_before_the_protocol_was_known():
    conversation = Talk().handshake().answer(b"hello there").send(b"GET / HTTP/1.1\r\n\r\n").close()
    slow, fast, _ = both(conversation.frames, 4)
    assert fast == slow


def test_what_is_known_about_flows_is_bounded_and_a_busy_one_stays_known():
    parser = FastParser(ProtocolSettings(flows=1000), {}, Words(flagged=SYN))
    flood = [ethernet(ipv4(tcp(sport=2000 + number, flags=SYN))) for number in range(3000)]
    busy = talk(b"EVIL").frames[:5]
    list(parser.feed(batch(busy)))
    for at in range(0, 3000, 500):
        again = ethernet(ipv4(tcp(b"more", seq=2000 + at, flags=ACK)))
        passed = list(parser.feed(batch([*flood[at : at + 500], again])))
        assert any(packet.sport == 1000 for packet in passed)
    assert len(parser.slow) == 1000


def test_a_flow_that_repeats_itself_in_every_batch_is_not_decoded_again_and_again():
    """Its cost would grow with all that was kept of it; the real reassembly knows what was sent."""
    parser = FastParser(ProtocolSettings.model_validate({}), {}, Words())
    frames = talk(b"first words", b"more words").frames
    list(parser.feed(batch(frames)))
    repeated = [frame for frame in frames if b"first words" in frame]
    passed = [len(list(parser.feed(batch(repeated, start=10**18 + n)))) for n in range(8)]
    assert passed[:4] == [0, 0, 0, 0]
    assert sum(passed) >= len(frames)
    assert len(parser.slow) == 1


def test_a_loss_that_tears_many_flows_is_not_followed_by_a_replay_of_all(monkeypatch):
    monkeypatch.setattr("sentinel.protocol.fastpath.REPLAYED_BYTES", 20_000)
    parser = FastParser(ProtocolSettings.model_validate({}), {}, Words())
    talks = [port(talk(b"a" * 1000, b"b" * 1000, b"EVIL").frames, 2000 + number) for number in range(30)]
    begins = [frame for frames in talks for frame in frames[:5]]
    list(parser.feed(batch(begins)))
    assert len(parser.deferred) == 30
    rest = [frame for frames in talks for frame in frames[5:] if b"b" * 100 not in frame]
    passed = list(parser.feed(batch(rest, start=10**18 + 10**10, first=1000)))
    passed += list(parser.feed(batch(rest[:1], start=10**18 + 10**11, first=2000)))
    whole = sum(packet.number < 1000 and not packet.pseudo for packet in passed)
    assert 0 < whole < len(begins), "not all of it was gone through"
    assert {packet.sport for packet in passed if b"EVIL" in packet.payload} == set(range(2000, 2030))
