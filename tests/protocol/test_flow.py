"""Flows: both directions, ICMP and its errors, VLANs, timeouts, the bound."""

import struct

from frames import CLIENT, SERVER, Recorder, batch, ethernet, ipv4, run, udp

from sentinel.protocol.network import NetworkParser
from sentinel.protocol.settings import ProtocolSettings

QUERY = ethernet(ipv4(udp(b"q", 1000, 53), 17))
ANSWER = ethernet(ipv4(udp(b"a", 53, 1000), 17, SERVER, CLIENT))


def icmp(kind, code=0, body=b"\0\1\0\1", rest=b"", **addresses):
    return ethernet(ipv4(struct.pack(">BBH", kind, code, 0) + body + rest, 1, **addresses))


def test_both_directions_are_one_flow():
    query, answer, again = run([QUERY, ANSWER, QUERY])[0]
    assert query.flow is answer.flow is again.flow
    assert [query.to_server, answer.to_server] == [True, False]
    assert [query.established, answer.established, again.established] == [False, True, True]
    assert query.flow.packets == [2, 1]


def test_echo_and_reply_are_one_flow():
    request, reply = run([icmp(8), icmp(0, src=SERVER, dst=CLIENT)])[0]
    assert request.flow is reply.flow
    assert reply.to_server is False


def test_an_error_joins_the_flow_it_is_about():
    quoted = ipv4(udp(b"q", 1000, 53), 17)
    query, error = run([QUERY, icmp(3, 3, b"\0" * 4, quoted, src=SERVER, dst=CLIENT)])[0]
    assert error.flow is query.flow
    assert error.to_server is False
    (stray,) = run([icmp(3, 3, b"\0" * 4, quoted, src=SERVER, dst=CLIENT)])[0]
    assert stray.flow is None


def test_vlans_keep_flows_apart():
    tagged = QUERY[:12] + b"\x81\0\0\x05" + QUERY[12:]
    first, second = run([QUERY, tagged])[0]
    assert first.flow is not second.flow
    first, second = run([QUERY, tagged], {"vlan.use-for-tracking": "false"})[0]
    assert first.flow is second.flow


def test_silence_ends_a_flow():
    parser = NetworkParser(ProtocolSettings(), {}, Recorder())
    (first,) = parser.feed(batch([QUERY], start=10**18))
    (second,) = parser.feed(batch([QUERY], start=10**18 + 29 * 10**9))
    (third,) = parser.feed(batch([QUERY], start=10**18 + 60 * 10**9))
    assert first.flow is second.flow
    assert third.flow is not first.flow


def test_the_table_is_bounded_and_counts():
    frames = [ethernet(ipv4(udp(b"q", 1000 + number % 60000, 53), 17)) for number in range(1500)]
    parser = NetworkParser(ProtocolSettings(flows=1000), {}, Recorder())
    assert len(list(parser.feed(batch(frames)))) == 1500
    assert len(parser.flows.flows) == 1000
    assert parser.flows.evicted == 500


def test_a_flood_does_not_drive_out_conversations():
    talk = [QUERY, ANSWER]
    flood = [ethernet(ipv4(udp(b"q", 1001 + number % 60000, 53), 17)) for number in range(3000)]
    parser = NetworkParser(ProtocolSettings(flows=1000), {}, Recorder())
    first, *_ = list(parser.feed(batch(talk + flood)))
    (again,) = parser.feed(batch([QUERY], start=10**18 + 10**10))
    assert again.flow is first.flow
    assert len(parser.flows.flows) == 1000
    assert parser.flows.evicted == 2001


def test_a_table_full_of_conversations_still_takes_new_ones():
    both = [
        ethernet(ipv4(udp(b"x", *ports), 17, *hosts))
        for number in range(1500)
        for ports, hosts in (((2000 + number, 53), (CLIENT, SERVER)), ((53, 2000 + number), (SERVER, CLIENT)))
    ]
    parser = NetworkParser(ProtocolSettings(flows=1000), {}, Recorder())
    list(parser.feed(batch(both)))
    assert len(parser.flows.flows) == 1000
    assert parser.flows.evicted == 500


def test_flow_ids_are_the_same_in_every_replay():
    ids = [[packet.flow.id for packet in run([QUERY, icmp(8)])[0]] for _ in range(2)]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2
    assert all(0 < number < 2**53 for number in ids[0])
