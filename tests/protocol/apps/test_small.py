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


def test_snmp_version_3(talk, samples):
    security = samples.der(
        0x30, samples.der(4, b"e"), samples.der(2, b"\0"), samples.der(2, b"\0"), samples.der(4, b"bob")
    )
    message = samples.der(0x30, samples.der(2, b"\3"), samples.der(0x30), samples.der(4, security))
    assert talk(161, 17).client(message).value("snmp.usm") == b"bob"


def test_truncated_options(talk, samples):
    assert "truncated_options" in talk(67, 17).client(samples.dhcp(60)[:-3]).flags
