"""Kerberos messages."""

import struct

import pytest


@pytest.mark.parametrize("proto", [6, 17])
def test_request(talk, samples, proto):
    message = samples.krb5_request(b"alice", (b"krbtgt", b"SHOP"))
    said = talk(88, proto).client(struct.pack(">I", len(message)) + message if proto == 6 else message)
    assert said.value("krb5_msg_type") == 10
    assert said.value("krb5.cname") == [b"alice"]
    assert said.value("krb5.sname") == [b"krbtgt", b"SHOP"]
    assert said.eve()["krb5"] == {"msg_type": "KRB_AS_REQ", "cname": "alice", "sname": "krbtgt/SHOP"}


def error(der, code):
    name = der(0x30, der(0xA0, der(2, b"\1")), der(0xA1, der(0x30, der(0x1B, b"krbtgt"))))
    members = {0: der(2, b"\5"), 1: der(2, b"\x1e"), 4: der(0x18, b"20261125000000Z"), 5: der(2, b"\1"),
               6: der(2, code), 9: der(0x1B, b"SHOP"), 10: name}  # fmt: skip
    return der(0x7E, der(0x30, *(der(0xA0 | number, value) for number, value in members.items())))


def test_error(talk, samples):
    said = talk(88, 17).client(samples.krb5_request(b"a", (b"b",))).server(error(samples.der, b"\x19"))
    assert said.value("krb5_err_code", 1, 1) == 25


def test_malformed_is_said_of_the_message_before(talk, samples):
    said = talk(88, 17).client(samples.krb5_request(b"a", (b"b",))).client(b"\x6a\x89")
    assert said.flags == {"malformed_data"}
    assert len(said.transactions) == 1


def test_one_message_of_a_stream_is_read(talk, samples):
    message = samples.krb5_request(b"alice", (b"krbtgt",))
    framed = struct.pack(">I", len(message)) + message
    assert len(talk(88, 6).client(framed).client(framed).transactions) == 1
