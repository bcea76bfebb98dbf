"""TCP: when data are handed over, states, and that no way of sending the same bytes changes them."""

import itertools

import pytest
from frames import ACK, FIN, RST, SYN, Talk, events, run
from hypothesis import given, settings
from hypothesis import strategies as st


def test_data_are_handed_over_when_acknowledged():
    talk = Talk().handshake().send(b"GET /").answer()
    packets, apps = run(talk.frames[:4])
    sent = packets[3]
    assert (sent.stream_added, sent.stream_established, sent.established) == (True, True, True)
    assert [packet.pseudo for packet in packets] == [False] * 4 + [True] * 2
    assert bytes(apps.data[True]) == b"GET /"
    _, apps = run(talk.close().frames)
    assert bytes(apps.data[True]) == b"GET /"
    assert apps.ended == {True, False}


def test_unacknowledged_data_wait_for_the_end():
    packets, _ = run(Talk().handshake().send(b"secret").frames)
    exposed = [(packet.pseudo, packet.stream_data) for packet in packets if packet.stream_data]
    assert exposed == [(True, b"secret")]


def test_without_handshake_there_is_no_stream():
    frames = Talk().handshake().send(b"data").answer().frames[3:]
    packets, apps = run(frames)
    assert not apps.data[True]
    assert packets[0].stream_added is False
    _, apps = run(frames, {"stream.midstream": "true"})
    assert bytes(apps.data[True]) == b"data"


def test_a_lost_segment_is_a_gap():
    talk = Talk().handshake().send(b"one")
    lost = talk.client
    talk.client += 4
    talk.answer(ack=lost).send(b"three").answer()
    packets, apps = run(talk.frames)
    assert apps.gaps == [(True, 3, 4)]
    assert bytes(apps.data[True]) == b"onethree"
    assert "stream.reassembly_seq_gap" in events(packets)


def test_a_reset_ends_the_stream_and_its_words_are_not_data():
    talk = Talk().handshake().send(b"hello").answer()
    talk.answer(b"go away", flags=RST | ACK)
    packets, apps = run(talk.frames)
    assert not apps.data[False]
    assert "stream.rst_with_data" in events(packets)


def test_depth_bounds_a_stream():
    talk = Talk().handshake()
    for _ in range(4):
        talk.send(b"x" * 1000).answer()
    packets, apps = run(talk.frames, {"stream.reassembly.depth": "2500"})
    assert len(apps.data[True]) == 2500
    assert "stream.reassembly_depth_reached" in events(packets)


def test_memory_is_bounded_over_all_streams():
    frames = []
    for port in range(30):
        talk = Talk().handshake()
        for offset in range(10):  # never acknowledged, with a hole in front: must be held
            talk.send(b"y" * 1400, seq=talk.client + 1 + offset * 1400)
        frames += [frame[:34] + bytes([9, port]) + frame[36:] for frame in talk.frames[3:]]
    packets, _ = run(frames, {"stream.midstream": "true"}, stream_memory_megabytes=8)
    assert len([packet for packet in packets if not packet.pseudo]) == 300


EVENTS = {
    "3whs_synack_with_wrong_ack": Talk().send(flags=SYN).answer(flags=SYN | ACK, ack=7),
    "3whs_wrong_seq_wrong_ack": Talk().send(flags=SYN).answer(flags=SYN | ACK).send(seq=9_000_000, ack=3),
    "3whs_right_seq_wrong_ack_evasion": Talk().send(flags=SYN).answer(flags=SYN | ACK).send(ack=3),
    "rst_but_no_session": Talk().send(flags=RST),
    "fin_but_no_session": Talk().send(flags=FIN | ACK),
    "est_syn_resend": Talk().handshake().send(flags=SYN, seq=100),
    "est_packet_out_of_window": Talk().handshake().send(b"x", seq=900_000),
    "est_invalid_ack": Talk().handshake().send(ack=900_000),
    "fin_out_of_window": Talk().handshake().send(flags=FIN | ACK, seq=900_000),
    "pkt_spurious_retransmission": Talk().handshake().send(b"aa").answer().send(b"aa", seq=101),
    "pkt_broken_ack": Talk().send(flags=SYN, ack=5),
    "reassembly_overlap_different_data": Talk().handshake().send(b"aaaa", seq=105).send(b"bbbb", seq=105),
    "shutdown_syn_resend": Talk().handshake().send(flags=FIN | ACK).send(flags=SYN, seq=100),
}


@pytest.mark.parametrize("name", EVENTS)
def test_what_does_not_fit_has_a_name(name):
    packets, _ = run(EVENTS[name].frames)
    assert "stream." + name in events(packets)


def test_a_new_session_on_old_ports_is_a_new_flow():
    first = Talk().handshake().send(b"one").answer().close()
    second = Talk(client=70_000, server=90_000).handshake().send(b"two").answer()
    packets, apps = run(first.frames + second.frames)
    assert bytes(apps.data[True]) == b"onetwo"
    assert len({id(packet.flow) for packet in packets}) == 2


WORDS = bytes(range(256)) * 3


@settings(max_examples=60)
@given(st.data(), st.integers(0, 2**32 - 1))
def test_any_cutting_order_and_repetition_gives_the_same_stream(data, start):
    """Segments in any size and order within the window, sent again in part: the bytes are the same."""
    talk = Talk(client=start).handshake()
    base = talk.client
    cuts = sorted({0, len(WORDS), *data.draw(st.lists(st.integers(1, len(WORDS) - 1), max_size=12))})
    pieces = [(low, WORDS[low:high]) for low, high in itertools.pairwise(cuts)]
    for _ in range(data.draw(st.integers(0, 4))):
        low = data.draw(st.integers(0, len(WORDS) - 1))
        pieces.append((low, WORDS[low : low + data.draw(st.integers(1, 50))]))
    for low, piece in data.draw(st.permutations(pieces)):
        talk.send(piece, seq=base + low)
    talk.client = base + len(WORDS)
    _, apps = run(talk.answer().close().frames)
    assert bytes(apps.data[True]) == WORDS
    assert not apps.gaps


@settings(max_examples=40)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3000), st.integers(0, 40), st.integers(0, 63))))
def test_any_packets_leave_a_stream_of_sent_bytes(script):
    """Whatever flags and numbers come: no exception, and only bytes that were sent are handed over."""
    talk = Talk().handshake()
    for to_server, seq, size, flags in script:
        (talk.send if to_server else talk.answer)(
            b"z" * size, flags=flags, seq=seq + (100 if to_server else 5000)
        )
    packets, apps = run(talk.frames)
    assert set(apps.data[True]) | set(apps.data[False]) <= {ord("z")}
    assert len([packet for packet in packets if not packet.pseudo]) == len(talk.frames)
