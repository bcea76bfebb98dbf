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


def test_what_does_not_fit_is_said_of_the_message_before(talk, samples):
    bad = samples.ike().replace(b"\x0d\0\0\x08", b"\x0d\0\xff\x08")
    said = talk(500, 17).client(samples.ike()).client(bad)
    assert said.flags == {"payload_extra_data"}
    assert said.transactions[0].events == ["payload_extra_data"]


def second(transforms):
    inner = b"".join(struct.pack(">BBHBBH", 3, 0, 8, kind, 0, number) for kind, number in transforms)
    proposal = struct.pack(">BBHBBBB", 0, 0, 8 + len(inner), 1, 1, 0, len(transforms)) + inner
    payload = struct.pack(">BBH", 0, 0, 4 + len(proposal)) + proposal
    return (
        b"INITIATERESPONSE" + b"\x21\x20\x22\x08" + bytes(4) + struct.pack(">I", 28 + len(payload)) + payload
    )


def test_weak_proposals_of_version_2(talk):
    strong = talk(500, 17).client(second([(1, 20), (2, 5), (4, 14)]))
    assert strong.flags == set()
    weak = talk(500, 17).client(second([(1, 3), (2, 2), (3, 2)]))
    assert weak.flags == {"weak_crypto_enc", "weak_crypto_prf", "weak_crypto_auth", "weak_crypto_no_dh"}
    assert talk(500, 17).client(second([(1, 12), (4, 0)])).flags == {
        "invalid_proposal",
        "weak_crypto_no_auth",
    }


def test_choice_of_version_2(talk):
    message = second([(1, 20), (2, 5), (4, 14)])
    said = talk(500, 17).client(message).server(message)
    assert said.value("ike.chosen_sa_attribute", 1, 1) == [("alg_enc", 20), ("alg_prf", 5), ("alg_dh", 14)]
