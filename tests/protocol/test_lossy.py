"""Flows that miss packets which were lost before us: they stay with the columnar path and are still looked at."""

from frames import Recorder, Talk, batch
from hypothesis import given
from hypothesis import strategies as st
from test_fastpath import Words

from sentinel.protocol.fastpath import LOSS_SECONDS, FastParser
from sentinel.protocol.lossy import stretches
from sentinel.protocol.reorder import MASK, Segment
from sentinel.protocol.settings import ProtocolSettings

START = 10**18


def parsed(frames, rows=2, lossy=True, screen=None):
    """Packets that come out, and the parser, which was told of a loss at the beginning."""
    parser = FastParser(ProtocolSettings(), {}, screen or Words(), apps := Recorder())
    if lossy:
        parser.lost(START)
    packets = []
    for at in range(0, len(frames), rows):
        packets += parser.feed(batch(frames[at : at + rows], start=START + at * 10**6, first=at + 1))
    return packets, parser, apps


def without(conversation, *places):
    return [frame for place, frame in enumerate(conversation.frames) if place not in places]


def torn(*words):
    talk = Talk().handshake()
    for word in words:
        talk.send(word).answer()
    return talk


def test_a_hole_is_no_reason_to_inspect_every_packet_while_packets_are_lost():
    frames = without(torn(*[b"word %d" % number for number in range(20)]), 7, 15)
    packets, parser, _ = parsed(frames)
    assert packets == []
    assert parser.passed == len(frames)
    packets, parser, _ = parsed(frames, lossy=False)
    assert packets != []
    assert parser.slow


def test_what_comes_behind_the_hole_is_looked_at():
    frames = without(torn(b"one", b"two", b"three", b"now EVIL comes", b"more"), 5)
    packets, _, apps = parsed(frames)
    assert packets[0].stream_established
    assert b"EVIL" in bytes(apps.data[True])


def test_a_word_across_two_batches_behind_the_hole():
    frames = without(torn(b"one", b"two", b"three", b"now EV", b"IL comes", b"more"), 5)
    screen = Words()
    packets, _, _ = parsed(frames, screen=screen)
    assert packets != []


def test_the_loss_is_over_some_time_later():
    talk = torn(*[b"word %d" % number for number in range(20)])
    frames = without(talk, 31)
    parser = FastParser(ProtocolSettings(), {}, Words(), Recorder())
    parser.lost(START - (LOSS_SECONDS + 1) * 10**9)
    packets = [
        packet
        for at in range(0, len(frames), 2)
        for packet in parser.feed(batch(frames[at : at + 2], start=START + at * 10**6, first=at + 1))
    ]
    assert packets != []


def test_http_is_read_again_from_the_next_message_on():
    begins = lambda data: data.startswith(b"GET ")
    body = b"x" * 50
    pieces = [b"GET /1 ", body, body, b"GET /2 ", body]
    segments, at = [], 1000
    for piece in pieces:
        segments.append(Segment(at, piece))
        at += len(piece)
    lost = [segment for place, segment in enumerate(segments) if place != 1]
    found, follows, astray = stretches(1000, lost, begins, astray=False)
    assert [(bytes(data), *rest) for data, *rest in found] == [
        (b"GET /1 ", True, True),
        (body, False, False),
        (b"GET /2 " + body, True, False),
    ]
    assert (follows, astray) == (at, False)
    found, _, astray = stretches(1000, lost[:2], begins, astray=False)
    assert astray
    found, _, astray = stretches(1057, [Segment(1107, body)], begins, astray=True)
    assert ([rest for _, *rest in found], astray) == ([[False, False]], True)


@given(
    st.lists(st.binary(min_size=1, max_size=6), min_size=1, max_size=12),
    st.sets(st.integers(0, 11)),
    st.randoms(use_true_random=False),
    st.integers(0, MASK),
)
def test_stretches_hold_every_byte_once_and_in_order(pieces, lost, random, start):
    segments, at = [], start
    for piece in pieces:
        segments.append(Segment(at, piece))
        at = (at + len(piece)) & MASK
    arrived = [segment for place, segment in enumerate(segments) if place not in lost]
    expected = b"".join(segment.data for segment in arrived)
    shuffled = [*arrived, *arrived[:2]]
    random.shuffle(shuffled)
    found, follows, _ = stretches(start, shuffled, lambda _: True, astray=False)
    assert b"".join(bytes(data) for data, _, _ in found) == expected
    if arrived:
        last = arrived[-1]
        assert follows == (last.seq + len(last.data)) & MASK
    holes = sum(
        place in lost and place + 1 not in lost and place + 1 < len(pieces) for place in range(len(pieces))
    )
    assert len(found) == holes + (bool(arrived) and 0 not in lost)
