"""MQTT messages."""

import pytest


@pytest.mark.parametrize("size", [1, 3, 4096])
def test_a_session(talk, samples, size):
    proto, port, messages = samples.CONVERSATIONS["mqtt"]
    said = talk(port, proto)
    for direction, data in messages:
        for start in range(0, len(data), size):
            said.say(direction, data[start : start + size])
    merged = {name: value for t in said.transactions for name, value in t.buffers[0].items()}
    assert merged["mqtt.publish.topic"] == b"topic"
    assert merged["mqtt.publish.message"] == b"hello"
    assert merged["mqtt.subscribe.topic"] == [b"other"]
    assert said.transactions[0].buffers[0]["mqtt.connect.clientid"] == b"id"
    assert said.transactions[0].buffers[0]["mqtt.connect.flags"] == {"username", "clean_session"}
    assert all(t.done == [True, True] for t in said.transactions)


CONNECT = b"\x10\x0e\0\4MQTT\4\2\0\x3c\0\2id"
ACK = b"\x20\2\0\0"


@pytest.mark.parametrize(
    ("messages", "event"),
    [
        ([(0, CONNECT), (0, b"\xc0\0")], "unintroduced_message"),
        ([(0, CONNECT), (1, ACK), (0, CONNECT)], "double_connect"),
        ([(0, CONNECT), (1, ACK), (1, b"\x40\2\0\1")], "missing_publish"),
        ([(0, CONNECT), (1, ACK), (1, b"\x90\3\0\1\0")], "missing_subscribe"),
        ([(0, CONNECT), (1, ACK), (1, ACK)], "missing_connect"),
        ([(0, CONNECT), (1, ACK), (0, b"\x36\5\0\1a\0\1")], "invalid_qos_level"),
        ([(0, CONNECT), (1, ACK), (0, b"\x30\1a")], "malformed_traffic"),
    ],
)
def test_events(talk, messages, event):
    assert event in talk(1883).play(messages).flags


def test_a_message_too_long_is_skipped(talk):
    said = talk(1883).play([(0, CONNECT), (1, ACK)]).client(b"\x30\x81\x80\x80\x01")
    said.client(bytes(2 * 1024 * 1024 + 1)).client(b"\x30\x03\0\1a")
    assert said.transactions[-1].buffers[0]["mqtt.publish.topic"] == b"a"
