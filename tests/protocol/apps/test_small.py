"""Protocols of one message."""

import pytest


@pytest.mark.parametrize(
    ("name", "key", "value", "eve"),
    [
        (
            "snmp",
            "snmp.community",
            b"public",
            {"version": 2, "pdu_type": "get_next_request", "community": "public"},
        ),
        ("dhcp", "dhcp.leasetime", 3600, None),
        ("tftp", None, None, {"packet": "read", "file": "boot.img", "mode": "octet"}),
        ("ntp", None, None, {"version": 4}),
    ],
)
def test_fields(talk, samples, name, key, value, eve):
    proto, port, messages = samples.CONVERSATIONS[name]
    said = talk(port, proto).play(messages[:1])
    if key:
        assert said.value(key) == value
    if eve:
        assert said.eve()[name] == eve
    assert said.transactions[0].done == [True, True]


def test_dhcp_eve(talk, samples):
    said = talk(67, 17).client(samples.dhcp(60))
    assert said.eve()["dhcp"] == {
        "type": "reply",
        "id": 0,
        "client_mac": "aa:bb:cc:dd:ee:ff",
        "dhcp_type": "ack",
    }


def version_3(der, *, flags=4, model=3, data=None):
    usm = der(0x30, der(4, b"e"), der(2, b"\0"), der(2, b"\0"), der(4, b"bob"), der(4), der(4))
    head = der(0x30, der(2, b"\1"), der(2, b"\1"), der(4, bytes([flags])), der(2, bytes([model])))
    pdu = der(0xA0, der(2, b"\1"), der(2, b"\0"), der(2, b"\0"), der(0x30))
    scoped = der(0x30, der(4, b"e"), der(4), pdu)
    return der(0x30, der(2, b"\3"), head, der(4, usm), scoped if data is None else data)


def test_snmp_version_3(talk, samples):
    said = talk(161, 17).client(version_3(samples.der))
    assert (said.value("snmp.usm"), said.value("snmp.pdu_type")) == (b"bob", 0)


def test_snmp_encrypted_and_of_another_model(talk, samples):
    said = talk(161, 17).client(version_3(samples.der, flags=7, model=2, data=samples.der(4, b"x")))
    assert said.value("snmp.pdu_type") == 0xFFFFFFFF
    assert said.flags == {"unknown_security_model"}


def test_snmp_changes_its_version(talk, samples):
    said = talk(161, 17).client(samples.snmp(b"public")).client(version_3(samples.der))
    assert said.flags == {"version_mismatch"}
    assert said.value("snmp.version", 0, 1) == 2


def test_truncated_options(talk, samples):
    assert "truncated_options" in talk(67, 17).client(samples.dhcp(60)[:-3]).flags
