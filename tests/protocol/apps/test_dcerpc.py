"""DCE/RPC over TCP."""

import uuid

import pytest

SERVICE = uuid.UUID("12345678-1234-abcd-ef00-01234567cffb")


@pytest.mark.parametrize("size", [1, 16, 4096])
def test_calls(talk, samples, size):
    said = talk(49152)
    messages = [
        (0, samples.rpc_bind(1, SERVICE)),
        (1, samples.rpc_bind_ack(1)),
        (0, samples.rpc_request(2, 4, b"one ", 1) + samples.rpc_request(2, 4, b"two", 2)),
        (1, samples.rpc_response(2, b"answer")),
    ]
    for direction, data in messages:
        for start in range(0, len(data), size):
            said.say(direction, data[start : start + size])
    assert said.flow.app_proto == "dcerpc"
    assert said.value("dcerpc.iface", 0, 1) == [(str(SERVICE), 1)]
    assert said.value("dcerpc.opnum", 0, 1) == 4
    assert said.value("dcerpc.stub_data", 0, 1) == b"one two"
    assert said.value("dcerpc.stub_data", 1, 1) == b"answer"
    assert said.value("dcerpc.little_endian", 0, 1) == 1
    assert said.transactions[1].done == [True, True]


def test_open_calls_are_bounded(talk, samples):
    said = talk(49152).client(samples.rpc_bind(1, SERVICE))
    said.layer.feed(said.flow, True, b"".join(samples.rpc_request(n, 1, b"") for n in range(2, 3000)))
    assert len(said.flow.app_state.parser.calls.open) <= 1024
