"""The endpoint with client certificates: only the right one is served."""

import datetime as dt
import socket
import ssl
import urllib.error
import urllib.request

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sentinel import metrics

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


class Authority:
    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(name, self.key, ca=True, until=NOW + DAY)
        self.path = self._write(name, self.certificate, self.key)[0]

    def issue(self, name, *, until=NOW + DAY, host=None):
        key = ec.generate_private_key(ec.SECP256R1())
        return self._write(
            f"{self.name}-{name}", self._sign(name, key, ca=False, until=until, host=host), key
        )

    def _sign(self, name, key, *, ca, until, host=None):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = subject if ca else self.certificate.subject
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 2 * DAY)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
        )
        if ca:
            usage = dict.fromkeys(
                ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                 "encipher_only", "decipher_only"), False)  # fmt: skip
            builder = builder.add_extension(
                x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True
            )
        if host:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def _write(self, name, certificate, key):
        pem = serialization.Encoding.PEM
        paths = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        paths[0].write_bytes(certificate.public_bytes(pem))
        paths[1].write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        return paths


@pytest.fixture
def site(tmp_path):
    authority = Authority(tmp_path, "ours")
    certificate, key = authority.issue("server", host="localhost")
    server = metrics.serve(
        tmp_path, "127.0.0.1", 0, certificate=certificate, key=key, client_ca=authority.path
    )
    yield authority, server.port
    server.close()


def fetch(authority, port, client=None):
    context = ssl.create_default_context(cafile=authority.path)
    if client:
        context.load_cert_chain(*client)
    with urllib.request.urlopen(f"https://localhost:{port}/metrics", context=context, timeout=60) as answer:
        return answer.status


def test_the_right_certificate_is_served(site):
    authority, port = site
    assert fetch(authority, port, authority.issue("prometheus")) == 200


def refused(authority, port, client=None):
    """Nothing is served, however the refusal reaches the client (an alert, or the end of the connection)."""
    with pytest.raises((urllib.error.URLError, ssl.SSLError, ConnectionError)):
        fetch(authority, port, client)
    assert fetch(authority, port, authority.issue("right")) == 200


def test_no_certificate_is_refused(site):
    refused(*site)


def test_a_certificate_of_another_authority_is_refused(site, tmp_path):
    refused(*site, Authority(tmp_path, "theirs").issue("prometheus"))


def test_an_expired_certificate_is_refused(site):
    authority, port = site
    refused(authority, port, authority.issue("old", until=NOW - DAY))


def test_a_silent_client_does_not_stop_the_others(site):
    authority, port = site
    with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
        assert fetch(authority, port, authority.issue("prometheus")) == 200


def test_plain_http_is_refused(site):
    _, port = site
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        urllib.request.urlopen(f"http://localhost:{port}/metrics", timeout=60)
