"""TLS hello messages, certificates and fingerprints, in any framing."""

import datetime as dt
import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

YEAR = 31_536_000


@pytest.fixture(scope="module")
def certificate():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Shop"),
            x509.NameAttribute(NameOID.COMMON_NAME, "shop.example"),
        ]
    )
    start = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(0x0ABC)
        .not_valid_before(start).not_valid_after(start + dt.timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("www.shop.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    return built.public_bytes(serialization.Encoding.DER)


def chain(samples, *raws):
    inner = b"".join(len(raw).to_bytes(3, "big") + raw for raw in raws)
    return samples.tls_message(11, len(inner).to_bytes(3, "big") + inner)


def test_client_hello(talk, samples):
    said = talk(443).client(samples.tls_record(22, samples.client_hello(), 0x0301))
    assert said.value("tls.sni") == b"shop.example"
    assert said.value("tls.version") == 0x0303
    assert said.value("tls.random_time") == bytes(range(4))
    assert said.value("tls.random_bytes") == bytes(range(4, 32))
    assert said.value("tls.alpn") == [b"h2", b"http/1.1"]
    assert said.value("ja3.string") == b"771,4865-49199,0-10-11-13-16,29-23-24,0"
    assert said.value("ja3.hash") == hashlib.md5(said.value("ja3.string")).hexdigest().encode()
    assert said.value("ja4.hash").startswith(b"t12d0205h2_")
    assert said.value("ssl_state") == "client_hello"


@pytest.mark.parametrize("size", [1, 5, 64, 4096])
def test_certificates_in_any_segmentation(talk, samples, certificate, size):
    flight = samples.server_hello() + chain(samples, certificate, b"0\0") + samples.tls_message(14, b"")
    records = b"".join(samples.tls_record(22, flight[i : i + 200]) for i in range(0, len(flight), 200))
    said = talk(443).client(samples.tls_record(22, samples.client_hello(), 0x0301))
    for start in range(0, len(records), size):
        said.server(records[start : start + size], time=(1_735_689_600 + YEAR // 2) * 10**9)
    fingerprint = hashlib.sha1(certificate).hexdigest()
    wanted = {
        "tls.cert_subject": b"C=DE, O=Shop, CN=shop.example",
        "tls.cert_issuer": b"C=DE, O=Shop, CN=shop.example",
        "tls.cert_serial": b"0A:BC",
        "tls.cert_fingerprint": ":".join(fingerprint[i : i + 2] for i in range(0, 40, 2)).encode(),
        "tls.cert_chain_len": 2,
        "tls.subjectaltname": [b"www.shop.example"],
        "tls_cert_expired": False,
        "tls_cert_valid": True,
        "ja3s.string": b"771,49199,65281",
    }
    for name, value in wanted.items():
        assert said.value(name, 1) == value, name
    assert said.value("tls.certs", 1) == [certificate, b"0\0"]
    assert said.eve()["tls"]["notbefore"] == "2025-01-01T00:00:00"


def test_progress_to_the_end(talk, samples):
    proto, port, messages = samples.CONVERSATIONS["tls"]
    said = talk(port, proto)
    steps = []
    for direction, data in messages:
        steps.append(list(said.say(direction, data).transactions[0].progress))
    assert steps[0] == [0, 0]
    assert steps[3] == [0, 0]  # no certificate: application data says that it is over
    assert steps[4] == [2, 2]
    said.say(0, b"", eof=True)
    assert said.transactions[0].progress == [3, 3]
    assert said.transactions[0].done == [True, True]


@pytest.mark.parametrize(
    ("direction", "data", "event"),
    [
        (0, b"\x16\x03\x01\xff\xff" + bytes(20), "invalid_record_length"),
        (0, b"\x99\x03\x01\0\5hello", "invalid_record_type"),
        (1, b"\x16\x03\x03\0\x0b\x0b\0\0\7\0\0\4\0\0\1x", "certificate_invalid_length"),
        (1, b"\x16\x03\x03\0\x07\x0b\0\0\3\0\0\xff", "invalid_handshake_message"),
        (0, b"\x18\x03\x03\0\3\1\xff\xff", "overflow_heartbeat_message"),
    ],
)
def test_events(talk, samples, direction, data, event):
    said = talk(443).client(samples.tls_record(22, samples.client_hello(), 0x0301))
    said.server(samples.tls_record(22, samples.server_hello()))
    assert event in said.say(direction, data).flags


def test_sslv2_hello(talk):
    said = talk(443).client(b"\x80\x1c\x01\x03\x01\0\x03\0\0\0\x10\0\0\5" + bytes(16))
    assert said.flow.app_proto == "tls"
    assert said.value("ssl_version") == 0x0301
