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
    assert (said.value("nfs.version"), said.value("nfs_procedure")) == (3, 6)
    assert said.transactions[0].done == [True, True]


def test_first_operation_of_a_compound(talk):
    said = talk(2049).client(framed(call(1, 4, 1, struct.pack(">I3sxIII", 3, b"tag", 0, 1, 24))))
    assert said.value("nfs_procedure") == 24


def test_long_records_are_skipped(talk):
    write = call(1, 3, 7) + bytes(1_000_000)
    said = talk(2049).client(framed(write)).client(framed(call(2, 3, 1)))
    assert [t.buffers[0]["nfs_procedure"] for t in said.transactions] == [7, 1]
    assert len(said.flow.app_state.parser.rest[0]) < 5000


def test_open_calls_are_bounded(talk):
    said = talk(2049, 17).client(call(1, 3, 1))
    for xid in range(3000):
        said.layer.datagram(said.flow, True, call(xid, 3, 1))
    assert len(said.flow.app_state.parser.open) <= 1024
