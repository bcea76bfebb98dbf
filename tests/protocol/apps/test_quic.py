"""QUIC: an Initial packet sealed here with a library, and Google's QUIC."""

import hashlib
import hmac
import struct

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SALT = {1: "38762cf7f55934b34d179ae6a4c80cadccbb7f0a", 0x6B3343CF: "0dede3def700a6db819381be6e269dcbf9bd2ed9"}
WORD = {1: "quic", 0x6B3343CF: "quicv2"}
CONNECTION = b"8 bytes!"


def label(secret, name, size):
    info = struct.pack(">HB", size, len(name) + 6) + b"tls13 " + name.encode() + b"\0\1"
    return hmac.digest(secret, info, "sha256")[:size]


def initial(version, frames, side="client in"):
    secret = label(hmac.digest(bytes.fromhex(SALT[version]), CONNECTION, "sha256"), side, 32)
    key, iv, head = (
        label(secret, f"{WORD[version]} {part}", size) for part, size in (("key", 16), ("iv", 12), ("hp", 16))
    )
    frames = frames.ljust(1100, b"\0")
    kind = 0xC0 if version == 1 else 0xD0
    plain = bytes((kind | 1,)) + struct.pack(">IB", version, 8) + CONNECTION + b"\0\0"
    header = plain + struct.pack(">H", 0x4000 | len(frames) + 18) + b"\0\x02"
    nonce = (int.from_bytes(iv, "big") ^ 2).to_bytes(12, "big")
    sealed = AESGCM(key).encrypt(nonce, frames, header)
    cipher = Cipher(algorithms.AES(head), modes.ECB()).encryptor()
    mask = cipher.update(sealed[2:18])
    number = bytes(a ^ b for a, b in zip(header[-2:], mask[1:], strict=False))
    return bytes((header[0] ^ mask[0] & 0xF,)) + header[1:-2] + number + sealed


def crypto(offset, data):
    return b"\x06" + struct.pack(">HH", 0x4000 | offset, 0x4000 | len(data)) + data


@pytest.mark.parametrize("version", [1, 0x6B3343CF])
def test_hello_in_initial(talk, samples, version):
    hello = samples.client_hello()
    said = talk(443, 17).client(initial(version, b"\1" + crypto(40, hello[40:]) + crypto(0, hello[:40])))
    assert said.value("quic.sni") == b"shop.example"
    assert said.value("quic.version") == struct.pack(">I", version)
    assert said.value("ja3.hash") == hashlib.md5(said.value("ja3.string")).hexdigest().encode()
    assert said.value("ja4.hash").startswith(b"q12d")
    said.server(initial(version, b"\2\0\0\0\0" + crypto(0, samples.server_hello()), "server in"))
    assert said.value("ja3s.string", 1, 1) == b"771,49199,65281"


def test_hello_in_two_packets(talk, samples):
    hello = samples.client_hello()
    said = talk(443, 17).client(initial(1, crypto(0, hello[:50]))).client(initial(1, crypto(50, hello[50:])))
    assert said.value("quic.sni", 0, 1) == b"shop.example"


def test_google(talk):
    tags = [(b"SNI\0", b"a.example"), (b"UAID", b"browser")]
    table, values = b"", b""
    for name, value in tags:
        values += value
        table += name + struct.pack("<I", len(values))
    message = b"CHLO" + struct.pack("<HH", len(tags), 0) + table + values
    packet = (
        b"\xc3Q046\x50"
        + CONNECTION
        + bytes(4)
        + bytes(12)
        + b"\xa0\x01"
        + struct.pack("<H", len(message))
        + message
    )
    said = talk(443, 17).client(packet)
    assert said.value("quic.version") == b"Q046"
    assert said.value("quic.sni") == b"a.example"
    assert said.value("quic.ua") == b"browser"
    assert said.value("quic.cyu.string") == [b"46,SNI-UAID"]


def test_decryption_is_bounded(talk):
    said = talk(443, 17)
    for _ in range(50):
        said.client(initial(1, b"\1"))
    assert said.flow.app_state.parser.decrypted[0] == 8
