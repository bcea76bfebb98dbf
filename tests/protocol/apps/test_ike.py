"""IKE headers and payloads."""

import struct


def test_payloads(talk, samples):
    said = talk(500, 17).client(samples.ike()).server(samples.ike(b"RESPONSE"))
    assert said.value("ike.init_spi") == b"INITIATE".hex().encode()
    assert said.value("ike.resp_spi", 1, 1) == b"RESPONSE".hex().encode()
    assert said.value("ike.vendor") == [bytes(range(16)).hex().encode()]
    assert said.value("ike.nonce_payload") == b"nonc"
    assert said.value("ike.nonce_payload_length") == 4
    assert said.value("ike.exchtype") == 4


def test_chosen_attributes(talk):
    transform = struct.pack(">BBHBBH", 0, 0, 16, 1, 1, 0) + struct.pack(">HHHH", 0x8001, 7, 0x8002, 2)
    proposal = struct.pack(">BBHBBBB", 0, 0, 8 + len(transform), 1, 1, 0, 1) + transform
    association = struct.pack(">II", 1, 1) + proposal
    payload = struct.pack(">BBH", 0, 0, 4 + len(association)) + association
    message = b"INITIATERESPONSE" + b"\1\x10\2\0" + bytes(4) + struct.pack(">I", 28 + len(payload)) + payload
    said = talk(500, 17).client(message).server(message)
    assert said.value("ike.chosen_sa_attribute", 1, 1) == [("alg_enc", 7), ("alg_hash", 2)]


def test_payload_that_does_not_fit(talk, samples):
    assert (
        "malformed_data"
        in talk(500, 17).client(samples.ike().replace(b"\x0d\0\0\x08", b"\x0d\0\xff\x08")).flags
    )
