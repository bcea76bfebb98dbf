"""SSH banners and key exchange offers."""

import hashlib

import pytest


@pytest.mark.parametrize("size", [1, 9, 4096])
def test_banners_and_hassh(talk, samples, size):
    proto, port, messages = samples.CONVERSATIONS["ssh"]
    said = talk(port, proto)
    for direction, data in messages:
        for start in range(0, len(data), size):
            said.say(direction, data[start : start + size])
    assert said.value("ssh.proto") == b"2.0"
    assert said.value("ssh.software", 1) == b"OpenSSH_9.2"
    string = b"curve25519-sha256;aes128-ctr;none;none"
    assert said.value("ssh.hassh.string") == string
    assert said.value("ssh.hassh") == hashlib.md5(string).hexdigest().encode()
    assert said.value("ssh.hassh.server.string", 1) == b"curve25519-sha256;aes256-ctr;none;none"
    assert said.transactions[0].progress == [3, 3]
    assert said.eve()["ssh"]["client"]["software_version"] == "Go"


def test_lines_before_the_banner(talk):
    said = talk(22).client(b"SSH-2.0-Go\r\n").server(b"welcome to this host here\r\nSSH-1.99-x y\r\n")
    assert said.value("ssh.proto", 1) == b"1.99"
    assert said.value("ssh.software", 1) == b"x"


@pytest.mark.parametrize(
    ("data", "event"),
    [
        (b"SSH-" + b"x" * 400, "long_banner"),
        (b"SSH-nothing\r\n", "invalid_banner"),
        (b"SSH-2.0-x\r\n\xff\xff\xff\xff\0\x14" + bytes(20), "long_kex_record"),
        (b"SSH-2.0-x\r\n\0\0\0\0\0\x14" + bytes(20), "invalid_record"),
    ],
)
def test_events(talk, data, event):
    assert event in talk(22).client(data).flags
