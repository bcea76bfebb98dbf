"""Half-open sessions of the columnar path: bounded, counted, and no different from any other flow once they go on."""

from frames import ACK, SYN, Recorder, Talk, batch, ethernet, ipv4, tcp
from test_fastpath import Words, port, seen, talk

from sentinel.protocol.attempts import LARGEST_BYTES, Attempts
from sentinel.protocol.deferred import Rows
from sentinel.protocol.fastpath import FastParser
from sentinel.protocol.network import NetworkParser
from sentinel.protocol.settings import ProtocolSettings

BOUND = 1000


def flood(count):
    """SYNs that each come from another port and address."""
    return [
        ethernet(ipv4(tcp(sport=1024 + n % 60_000, flags=SYN, seq=n), 6, src=bytes((11, 0, n >> 8 & 255, n & 255))))
        for n in range(count)
    ]  # fmt: skip


def test_a_flood_is_bounded_and_counted_and_drives_out_no_conversation():
    parser = FastParser(ProtocolSettings(flows=BOUND), {}, Words(), Recorder())
    frames = talk(b"one", b"EVIL").frames
    assert not list(parser.feed(batch(frames[:4])))
    for start in range(0, 4 * BOUND, 500):
        assert not list(parser.feed(batch(flood(4 * BOUND)[start : start + 500], first=10 + start)))
        assert len(parser.attempts) <= BOUND
    assert parser.attempts.evicted == 3 * BOUND
    packets = list(parser.feed(batch(frames[4:], first=5000)))
    assert len(packets) == len(frames), "the candidate brings all that its flow sent before the flood"


def test_an_attempt_goes_on_like_any_flow():
    for word in (b"two", b"EVIL"):
        frames = talk(b"one", word).frames
        slow = seen(NetworkParser(ProtocolSettings(), {}, Recorder()), frames, 1)
        parser = FastParser(ProtocolSettings(), {}, Words(), Recorder())
        assert seen(parser, frames, 1) == (slow if word == b"EVIL" else {})


def test_a_first_packet_that_was_looked_at_keeps_the_number_of_its_flow():
    parser = FastParser(ProtocolSettings(), {}, Words(lone=SYN), Recorder())
    frames = talk(b"EVIL").frames
    packets = [packet for frame in frames for packet in parser.feed(batch([frame]))]
    assert len(packets) == len(frames)
    assert len({packet.flow.id for packet in packets}) == 1


def test_a_reused_port_is_another_session():
    first, again = Talk().handshake().frames, Talk().handshake().send(b"EVIL").frames
    again = [frame.replace((100).to_bytes(4, "big"), (7000).to_bytes(4, "big")) for frame in again]
    frames = [first[0], *port(again, 1000)]
    slow = seen(NetworkParser(ProtocolSettings(), {}, Recorder()), frames, 1)
    fast = seen(FastParser(ProtocolSettings(), {}, Words(), Recorder()), frames, 1)
    assert fast == slow


def test_a_large_frame_is_kept_elsewhere():
    small = ethernet(ipv4(tcp(flags=SYN), 6))
    large = small + bytes(LARGEST_BYTES)
    attempts = Attempts(10)
    rows = Rows(batch([small, large]), 0)
    assert attempts.add(1, 0, rows, forward=True, seq=0)
    assert not attempts.add(2, 1, rows, forward=True, seq=0)
    assert attempts.take(2) is None
    flow = attempts.take(1)
    assert flow is not None
    assert [frame.data for frame in flow.frames()] == [small]
    assert attempts.take(1) is None


def test_they_end_with_time():
    parser = FastParser(ProtocolSettings(), {}, Words(), Recorder())
    list(parser.feed(batch(flood(10))))
    assert len(parser.attempts) == 10
    later = batch([ethernet(ipv4(tcp(flags=ACK), 6))], start=10**18 + 700 * 10**9)
    list(parser.feed(later))
    assert len(parser.attempts) == 0
