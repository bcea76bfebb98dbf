"""DNS messages."""

import struct

import pytest

from sentinel.protocol.apps import dns


def test_query_and_answer(talk, samples):
    proto, port, messages = samples.CONVERSATIONS["dns"]
    said = talk(port, proto).play(messages)
    query, answer = said.transactions
    assert query.buffers[0]["dns.query"] == [b"shop.example"]
    assert query.inspected == [False, True]
    assert answer.buffers[1]["dns.answer.name"] == [b"shop.example"]
    assert said.eve(0)["dns"]["query"] == [
        {"type": "query", "id": 7, "rrname": "shop.example", "rrtype": "A", "tx_id": 0, "opcode": 0}
    ]
    assert said.eve(1)["dns"]["answer"]["answers"] == [
        {"rrname": "shop.example", "rrtype": "A", "ttl": 60, "rdata": "10.0.0.1"}
    ]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_several_messages_in_a_stream(talk, samples, size):
    stream = b"".join(samples.dns_framed(samples.dns_message(n, 0x100, b"a%d.example" % n)) for n in range(5))
    said = talk(53)
    for start in range(0, len(stream), size):
        said.client(stream[start : start + size])
    assert [t.buffers[0]["dns.query"] for t in said.transactions] == [[b"a%d.example" % n] for n in range(5)]


@pytest.mark.parametrize(
    ("flags", "event"), [(0x8100, "not_a_request"), (0x0140, "z_flag_set"), (0x3900, "invalid_opcode")]
)
def test_events(talk, samples, flags, event):
    said = talk(53, 17).client(samples.dns_message(1, 0x0100, b"a"))
    assert event in said.client(samples.dns_message(1, flags, b"a")).flags


def test_malformed(talk, samples):
    said = talk(53, 17).client(samples.dns_message(1, 0x0100, b"a"))
    said.client(struct.pack(">6H", 1, 0, 1, 0, 0, 0) + b"\x3fshort")
    assert said.flags == {"malformed_data"}


def test_a_loop_of_pointers_ends():
    loop = struct.pack(">6H", 1, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1"
    assert dns.parse(loop) is None


def test_records_are_read_by_type():
    head = struct.pack(">6H", 1, 0x8180, 1, 3, 0, 0) + b"\1a\0\0\1\0\1"
    mx = b"\xc0\x0c\0\x0f\0\1\0\0\0\1\0\5\0\x0a\1m\0"
    txt = b"\xc0\x0c\0\x10\0\1\0\0\0\1\0\4\3abc"
    soa = (
        b"\xc0\x0c\0\6\0\1\0\0\0\1"
        + struct.pack(">H", 26)
        + b"\1n\0\1r\0"
        + struct.pack(">5I", 1, 2, 3, 4, 5)
    )
    message = dns.parse(head + mx + txt + soa)
    assert [record.text for record in message.answers] == [
        "m", "abc",
        {"mname": "n", "rname": "r", "serial": 1, "refresh": 2, "retry": 3, "expire": 4, "minimum": 5},
    ]  # fmt: skip
