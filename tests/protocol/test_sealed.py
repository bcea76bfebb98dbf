"""Sealed flows: after the handshake only what a rule wants and the end reach the real parser."""

from types import SimpleNamespace

import pytest
from frames import ACK, RST, SYN, Recorder, Talk, batch
from test_fastpath import Words, port

from sentinel.protocol.fastpath import FastParser
from sentinel.protocol.network import NetworkParser
from sentinel.protocol.settings import ProtocolSettings

PUSH = 0x08


class Handshakes(Recorder):
    """Sealed as soon as the server said so."""

    def feed(self, flow, to_server, data, *, eof=False, gap=0, time=0):
        flow.app_state = flow.app_state or SimpleNamespace(sealed=False)
        flow.app_state.sealed |= b"SEAL" in data
        return super().feed(flow, to_server, data, eof=eof, gap=gap, time=time)


def session(exchanges=5):
    talk = Talk().handshake().send(b"hello EVIL").answer(b"SEAL")
    for _ in range(exchanges):
        talk.send(b"x" * 400).answer(b"y" * 300)
    return talk


def numbers(parser, frames, rows):
    packets = [
        packet
        for at in range(0, len(frames), rows)
        for packet in parser.feed(batch(frames[at : at + rows], start=10**18 + at, first=at + 1))
    ]
    return [packet.number for packet in packets if not packet.pseudo]


def fast(screen=None):
    return FastParser(ProtocolSettings(), {}, screen or Words(), Handshakes())


@pytest.mark.parametrize("rows", [1, 4, 4096])
def test_sealed_packets_go_by_and_the_end_ends_the_flow(rows):
    frames = session().close().frames
    parser = fast()
    seen = numbers(parser, frames, rows)
    sealed_at = next(n for n, frame in enumerate(frames, 1) if b"SEAL" in frame)
    # It is delivered when it is acknowledged; one packet of each direction after that, then nothing but the first FIN.
    handed_over = sealed_at + 3
    assert seen[: handed_over + 1] == [*range(1, handed_over + 1), len(frames) - 2]
    assert parser.passed >= 7
    again = numbers(parser, port(frames, 1000), rows)
    assert again[:handed_over] == seen[:handed_over]
    assert len(parser.sealed) == 0


def test_rows_that_a_rule_wants_are_seen():
    talk = session(3).send(b"urgent", flags=ACK | PUSH).send(b"more").answer(b"more")
    parser = fast(Words(flagged=ACK | PUSH))
    wanted = next(n for n, frame in enumerate(talk.frames, 1) if b"urgent" in frame)
    assert wanted in numbers(parser, talk.frames, 4096)
    assert wanted + 1 not in numbers(fast(Words(flagged=ACK | PUSH)), talk.frames, 1)


def test_what_is_not_sealed_is_seen_in_full():
    frames = [frame.replace(b"SEAL", b"OPEN") for frame in session().close().frames]
    assert numbers(fast(), frames, 3) == list(range(1, len(frames) + 1))


def test_a_session_that_ends_as_it_is_sealed_is_seen_in_full():
    talk = Talk().handshake().send(b"hello EVIL").answer(b"SEAL").answer(flags=RST | ACK)
    frames = talk.send(b"late").answer(b"late").send(flags=SYN, seq=9).frames
    exact = numbers(NetworkParser(ProtocolSettings(), {}, Handshakes()), frames, 4096)
    assert numbers(fast(), frames, 2) == exact


def test_rules_about_sizes_are_asked_of_sealed_sessions_too():
    screen = Words()
    screen.large = 1500
    parser = fast(screen)
    talk = session(8)
    shown = [
        tuple(packet.flow.stream_size)
        for at in range(len(talk.frames))
        for packet in parser.feed(batch(talk.frames[at : at + 1], first=at + 1))
        if packet.flow.stream_state is None
    ]
    exact = list(NetworkParser(ProtocolSettings(), {}, Handshakes()).feed(batch(talk.frames)))
    assert shown[-1] == tuple(exact[-1].flow.stream_size)
