"""Fingerprints that are published as examples, and GREASE."""

from sentinel.protocol.apps import fingerprint
from sentinel.protocol.apps.tls_hello import Hello


def test_ja3_example_of_its_authors():
    hello = Hello(
        version=769,
        ciphers=[47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4],
        extensions=[0, 10, 11],
        groups=[23, 24, 25],
        point_formats=[0],
    )
    assert fingerprint.md5(fingerprint.ja3(hello)) == b"ada70206e40642a3e4461f35503241d5"


def test_ja4_example_of_its_authors():
    hello = Hello(
        version=0x0303,
        ciphers=[0x1301, 0x1302, 0x1303, 0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8, 0xC013, 0xC014, 0x9C, 0x9D,
                 0x2F, 0x35],
        extensions=[0x1B, 0x00, 0x33, 0x10, 0x4469, 0x17, 0x2D, 0x0D, 0x05, 0x23, 0x12, 0x2B, 0xFF01, 0x0B, 0x0A, 0x15],
        signatures=[0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601],
        versions=[0x0A0A, 0x0304, 0x0303],
        alpn=[b"h2"],
        sni=b"a",
    )  # fmt: skip
    assert fingerprint.ja4(hello) == b"t13d1516h2_8daaf6152771_e5627efa2ab1"


def test_grease():
    assert fingerprint.is_grease(0x1A1A)
    assert not fingerprint.is_grease(0x1A2A)
