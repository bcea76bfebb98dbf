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


def test_error(talk, samples):
    der = samples.der
    error = der(
        0x7E, der(0x30, der(0xA0, der(2, b"\5")), der(0xA1, der(2, b"\x1e")), der(0xA6, der(2, b"\x19")))
    )
    said = talk(88, 17).client(samples.krb5_request(b"a", (b"b",))).server(error)
    assert said.value("krb5_err_code", 1, 1) == 25


def test_malformed(talk, samples):
    said = talk(88, 17).client(samples.krb5_request(b"a", (b"b",))).client(b"\x6a\x50" + bytes(20))
    assert said.flags == {"malformed_data"}
