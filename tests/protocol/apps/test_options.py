"""Sizes and switches by Suricata's names."""

import pytest

from sentinel.protocol.apps.options import AppOptions, parse_size


@pytest.mark.parametrize(
    ("text", "size"), [("100kb", 102400), ("1mb", 1048576), ("12", 12), ("2 KiB", 2048), ("x", 7)]
)
def test_sizes(text, size):
    assert parse_size(text, 7) == size


def test_defaults_and_changes():
    assert AppOptions.read({}).http.request_body_limit == 102400
    name = "app-layer.protocols.http.libhtp.default-config."
    read = AppOptions.read({name + "response-body-limit": "1mb", name + "double-decode-path": "yes"})
    assert (read.http.response_body_limit, read.http.double_decode_path) == (1048576, True)


def test_a_protocol_of_one_transport_only():
    read = AppOptions.read({"app-layer.protocols.dns.udp.enabled": "no"})
    assert (read.recognises_udp("dns"), read.recognises_tcp("dns")) == (False, True)


def test_ja3_can_be_off():
    assert [
        AppOptions.read({"app-layer.protocols.tls.ja3-fingerprints": word}).ja3 for word in ("auto", "no")
    ] == [
        True,
        False,
    ]
