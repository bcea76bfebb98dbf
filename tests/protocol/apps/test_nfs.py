"""NFS calls and replies."""

import struct

import pytest


def call(xid, version, procedure, body=b""):
    return (
        struct.pack(">6I", xid, 0, 2, 100003, version, procedure)
        + struct.pack(">II4sII", 1, 4, b"", 0, 0)
        + body
    )


def reply(xid):
    return struct.pack(">III", xid, 1, 0) + bytes(12)


def framed(message):
    return struct.pack(">I", 0x80000000 | len(message)) + message


@pytest.mark.parametrize("proto", [6, 17])
@pytest.mark.parametrize("size", [3, 9999])
def test_call_and_reply(talk, proto, size):
    wrap = framed if proto == 6 else lambda message: message
    said = talk(2049, proto)
    for direction, data in ((0, wrap(call(9, 3, 6))), (1, wrap(reply(9)))):
        for start in range(0, len(data), size if proto == 6 else 9999):
            said.say(direction, data[start : start + (size if proto == 6 else 9999)])
    assert said.flow.app_proto == "nfs"
    assert (said.value("nfs.version"), said.value("nfs_procedure")) == (3, [6])
    assert said.transactions[0].done == [True, True]


def test_first_operation_of_a_compound(talk):
    said = talk(2049).client(framed(call(1, 4, 1, struct.pack(">I3sxIII", 3, b"tag", 0, 1, 24))))
    assert said.value("nfs_procedure") == [24]


def test_long_records_are_skipped(talk):
    write = call(1, 3, 7) + bytes(1_000_000)
    said = talk(2049).client(framed(write)).client(framed(call(2, 3, 1)))
    assert [t.buffers[0]["nfs_procedure"] for t in said.transactions] == [[7], [1]]
    assert len(said.flow.app_state.parser.rest[0]) < 5000


def on(handle, rest=b""):
    return struct.pack(">I", len(handle)) + handle + rest


def test_reads_and_writes_of_a_file_are_one_transaction_each(talk):
    """A commit ends the writes; it shows as one more procedure of theirs."""
    said = talk(2049, 17)
    for xid, (procedure, handle) in enumerate(
        [(7, b"aaaa"), (7, b"aaaa"), (6, b"aaaa"), (7, b"bbbb"), (6, b"aaaa")]
    ):
        said.client(call(xid, 3, procedure, on(handle, bytes(16))))
    said.client(call(9, 3, 21, on(b"aaaa"))).client(call(10, 3, 7, on(b"aaaa", bytes(16))))
    assert [t.buffers[0]["nfs_procedure"] for t in said.transactions] == [[7, 21], [6], [7], [7]]


def test_a_write_that_is_kept_at_once_stands_alone(talk):
    said = talk(2049, 17)
    for xid in (1, 2):
        said.client(call(xid, 3, 7, on(b"aaaa", bytes(12) + b"\0\0\0\2")))
    assert len(said.transactions) == 2


def test_open_calls_are_bounded(talk):
    said = talk(2049, 17).client(call(1, 3, 1))
    for xid in range(3000):
        said.layer.datagram(said.flow, True, call(xid, 3, 1))
    assert len(said.flow.app_state.parser.open) <= 1024
