"""Certificates with one thing wrong: the event is the one that Suricata 7.0.10 raises for the same bytes."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.protocol.apps import x509


def field(tag, *parts):
    content = b"".join(parts)
    size = bytes([len(content)]) if len(content) < 128 else bytes([0x81, len(content)])
    return bytes([tag]) + size + content


def name(text, tag=0x0C):
    return field(0x30, field(0x31, field(0x30, field(6, b"\x55\x04\x03"), field(tag, text))))


def times(begin=b"200101000000Z", end=b"300101000000Z", tag=0x17):
    return field(0x30, field(tag, begin), field(tag, end))


ALGORITHM = field(0x30, field(6, bytes.fromhex("2a8648ce3d040302")))
PARTS = {
    "version": field(0xA0, field(2, b"\2")),
    "serial": field(2, b"\x30\x39"),
    "algorithm": ALGORITHM,
    "issuer": name(b"issuer.example"),
    "validity": times(),
    "subject": name(b"shop.example"),
    "key": field(0x30, ALGORITHM, field(3, b"\0key")),
    "extensions": b"",
}


SIGNATURE = ALGORITHM + field(3, b"\0signature")


def certificate(signature=SIGNATURE, **changed):
    return field(0x30, field(0x30, *(PARTS | changed).values()), signature)


WRONG = {
    "one byte": (b"x", "certificate_invalid_length"),
    "another tag": (b"\x31\0", "certificate_invalid_der"),
    "nothing inside": (b"\x30\0", "certificate_invalid_length"),
    "nothing at all inside": (b"\x30\2\x30\0", "certificate_invalid_serial"),
    "cut": (certificate()[:60], "invalid_certificate"),
    "a body too long": (b"\x30\6\x30\x84\xff\xff\xff\xff", "invalid_certificate"),
    "version": (certificate(version=field(0xA0, field(4, b"\2"))), "certificate_invalid_version"),
    "no number in version": (certificate(version=field(0xA0, field(2))), "certificate_invalid_version"),
    "serial": (certificate(serial=field(4, b"\x30\x39")), "certificate_invalid_serial"),
    "algorithm": (
        certificate(algorithm=field(0x30, field(0x26, b"123"))),
        "certificate_invalid_algorithmidentifier",
    ),
    "algorithm too long": (certificate(algorithm=b"\x30\4\6\x09\1\1"), "certificate_invalid_length"),
    "issuer": (certificate(issuer=field(0x31)), "certificate_invalid_der"),
    "validity": (certificate(validity=field(0x31)), "certificate_invalid_der"),
    "begin": (certificate(validity=times(b"20x101000000Z")), "certificate_invalid_date"),
    "end": (certificate(validity=times(end=b"301301000000Z")), "certificate_invalid_date"),
    "one time": (
        certificate(validity=field(0x30, field(0x17, b"200101000000Z"))),
        "certificate_invalid_date",
    ),
    "key": (certificate(key=field(0x30, ALGORITHM, field(4, b"key"))), "invalid_certificate"),
    "unused bits": (certificate(key=field(0x30, ALGORITHM, field(3, b"\x09key"))), "invalid_certificate"),
    "signature": (certificate(signature=ALGORITHM), "invalid_certificate"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_first(case):
    raw, event = WRONG[case]
    with pytest.raises(x509.BadCertificateError) as wrong:
        x509.parse(raw)
    assert wrong.value.event == event


def test_a_name_ends_where_it_makes_no_sense():
    broken = field(0x30, name(b"shop.example")[2:], field(0x31, b"\x30\x7f"))
    assert x509.parse(certificate(subject=broken)).subject == b"CN=shop.example"


def test_what_is_read():
    read = x509.parse(certificate(validity=times(b"20200101000000Z", b"20300101000000Z", 0x18)))
    assert (read.subject, read.issuer, read.serial) == (b"CN=shop.example", b"CN=issuer.example", b"30:39")
    assert read.not_after - read.not_before == 3653 * 86400


@given(st.integers(0, 400), st.binary(max_size=6), st.binary(max_size=6))
def test_whatever_the_bytes_nothing_else_is_raised(place, old, new):
    raw = certificate()
    for data in (new * 40, raw[:place] + new + raw[place + len(old) :]):
        with contextlib.suppress(x509.BadCertificateError):
            x509.parse(data)
