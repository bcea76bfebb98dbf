"""PostgreSQL requests and answers."""

import pytest

ON = {"app-layer.protocols.pgsql.enabled": "yes"}


@pytest.mark.parametrize("size", [1, 6, 4096])
def test_a_session(talk, samples, size):
    proto, port, messages = samples.CONVERSATIONS["pgsql"]
    said = talk(port, proto, ON)
    for direction, data in messages:
        for start in range(0, len(data), size):
            said.say(direction, data[start : start + size])
    assert said.eve(0)["pgsql"]["request"]["startup_parameters"] == {"user": "shop", "database": "shop"}
    assert said.eve(1)["pgsql"]["request"] == {"simple_query": "select 1"}
    assert said.eve(1)["pgsql"]["response"] == {"command_completed": "SELECT 1"}
    assert all(t.done == [True, True] for t in said.transactions)


def test_tls_behind_an_ssl_request(talk, samples):
    said = talk(5432, 6, ON).client(b"\0\0\0\x08\x04\xd2\x16\x2f").server(b"S")
    said.client(samples.tls_record(22, samples.client_hello(), 0x0301))
    assert said.flow.app_proto == "tls"


def test_long_messages_are_skipped(talk, samples):
    proto, port, messages = samples.CONVERSATIONS["pgsql"]
    said = talk(port, proto, ON).play(messages[:2])
    said.client(b"Q\0\x20\0\0").client(bytes(0x200000 - 4)).client(samples.pgsql(b"Q", b"select 2\0"))
    assert said.eve(-1)["pgsql"]["request"] == {"simple_query": "select 2"}
