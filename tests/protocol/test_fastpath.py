"""The columnar path: what it passes on is what NetworkParser alone would say, and what it keeps back had no candidate."""

import functools
import operator

import pytest
from frames import ACK, RST, SYN, Recorder, Talk, batch, ethernet, ipv4, udp
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.protocol.fastpath import FastParser
from sentinel.protocol.network import NetworkParser
from sentinel.protocol.settings import ProtocolSettings


class Words:
    """A screen that looks for one word, as detection would: it asks for enough overlap to see it across pieces."""

    usable = True

    def __init__(self, word=b"EVIL", flagged=0):
        self.word, self.flagged = word, flagged
        self.scanned = 0

    def rows(self, headers):
        return (headers.tcp_flags == self.flagged) & (self.flagged > 0)

    def stream(self, ends, to_server, data, first):
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


def test_what_is_unusual_is_inspected():
    odd = {
        "gap": Talk().handshake().send(b"a").send(b"c", seq=500),
        "again with other bytes": Talk().handshake().send(b"aa").send(b"bb", seq=101),
        "reset with words": Talk().handshake().answer(b"bye", flags=RST | ACK),
        "no flags": Talk().send(b"x", flags=0),
        "second SYN": Talk().handshake().send(flags=SYN, seq=100),
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
