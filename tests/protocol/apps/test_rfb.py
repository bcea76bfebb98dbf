"""The handshake of VNC."""

import pytest


@pytest.mark.parametrize("size", [1, 4096])
def test_handshake(talk, samples, size):
    proto, port, messages = samples.CONVERSATIONS["rfb"]
    said = talk(port, proto)
    for direction, data in messages:
        for start in range(0, len(data), size):
            said.say(direction, data[start : start + size])
    assert said.value("rfb.name", 1) == b"desk"
    assert (said.value("rfb.sectype"), said.value("rfb.secresult", 1)) == (1, "ok")
    assert said.eve()["rfb"]["framebuffer"] == {"name": "desk"}


def test_failed_authentication(talk):
    said = talk(5900).server(b"RFB 003.008\n").client(b"RFB 003.008\n").server(b"\1\2").client(b"\2")
    said.server(bytes(16)).client(bytes(16)).server(b"\0\0\0\1" + b"\0\0\0\2no")
    assert said.value("rfb.secresult") == "fail"
    assert said.transactions[0].done == [True, True]


def test_old_version_and_unknown_security(talk):
    said = talk(5900).server(b"RFB 003.003\n").client(b"RFB 003.003\n").server(b"\0\0\0\x63")
    assert said.flags == {"unknown_security_type"}
