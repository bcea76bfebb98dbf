"""Family: TLS handshakes with certificates under tls.*, ja3, ja3s and the older ssl keywords."""

import datetime as dt
import functools
import struct

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from differential import matches
from differential.traffic import Session

NAMES = [
    b"www.shop.example",
    b"evil.example",
    b"a.b.c.example.org",
    b"WWW.Upper.Example",
    b"xn--bcher-kva.example",
    b"x",
]
WORDS = [
    b"shop",
    b"example",
    b"evil",
    b"CN=",
    b"O=",
    b"C=DE",
    b"www.",
    b".org",
    b"Evil Corp",
    b"Shop",
    b"7E:",
    b"01",
    b"0a:",
    b"771,",
    b"4865",
    b"0-",
    b"d41d",
    b"X",
]
SUITES = [0x1301, 0x1302, 0xC02B, 0xC02F, 0x009C, 0x002F, 0x0A0A, 0x00FF]
SUBJECTS = [
    ("www.shop.example", "Shop", "DE"),
    ("evil.example", "Evil Corp", "RU"),
    ("localhost", None, None),
    ("Some, Name", "Acme = 1", "US"),
]


@functools.cache
def certificate(subject, issuer, serial, begin, days):
    key = ec.derive_private_key(0x1234567 + serial, ec.SECP256R1())

    def name(parts):
        oids = (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.COUNTRY_NAME)
        return x509.Name(
            [
                x509.NameAttribute(oid, value)
                for oid, value in reversed(list(zip(oids, parts, strict=True)))
                if value
            ]
        )

    start = dt.datetime(begin, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(
        name(issuer), name(subject), key.public_key(), serial, start, start + dt.timedelta(days=days)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def vector(size, data):
    return len(data).to_bytes(size, "big") + data


def extension(kind, data):
    return struct.pack(">H", kind) + vector(2, data)


def record(kind, version, data):
    return struct.pack(">BH", kind, version) + vector(2, data)


def hello(rng, version, name):
    suites = rng.sample(SUITES, rng.randint(2, 6))
    extensions = []
    if name is not None:
        extensions.append(extension(0, vector(2, b"\0" + vector(2, name))))
    if rng.random() < 0.8:
        groups = rng.sample([0x001D, 0x0017, 0x0018, 0x2A2A], rng.randint(1, 3))
        extensions.append(extension(10, vector(2, b"".join(struct.pack(">H", group) for group in groups))))
        extensions.append(extension(11, vector(1, b"\0")))
    if rng.random() < 0.4:
        extensions.append(extension(16, vector(2, vector(1, b"h2") + vector(1, b"http/1.1"))))
    if rng.random() < 0.3:
        extensions.append(extension(43, vector(1, struct.pack(">HH", 0x0304, 0x0303))))
    if rng.random() < 0.2:
        extensions.append(extension(0x5A5A, b""))
    rng.shuffle(extensions)
    body = (
        struct.pack(">H", min(version, 0x0303))
        + rng.randbytes(32)
        + vector(1, rng.randbytes(rng.choice((0, 32))))
    )
    body += vector(2, b"".join(struct.pack(">H", suite) for suite in suites)) + vector(1, b"\0")
    if extensions or rng.random() < 0.5:
        body += vector(2, b"".join(extensions))
    return b"\x01" + vector(3, body), suites


def server_hello(rng, version, suites):
    extensions = rng.sample(
        [
            extension(11, b"\1\0"),
            extension(0xFF01, b"\0"),
            extension(23, b""),
            extension(16, vector(2, vector(1, b"h2"))),
        ],
        rng.randint(0, 3),
    )
    body = (
        struct.pack(">H", min(version, 0x0303))
        + rng.randbytes(32)
        + vector(1, b"")
        + struct.pack(">HB", rng.choice(suites), 0)
    )
    if extensions or rng.random() < 0.5:
        body += vector(2, b"".join(extensions))
    return b"\x02" + vector(3, body)


def chain(rng):
    found = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        begin, days = rng.choice(((2020, 200), (2023, 3000), (2023, 400), (2024, 10)))
        found.append(
            certificate(
                rng.choice(SUBJECTS),
                rng.choice(SUBJECTS),
                rng.choice((1, 10, 0x7E01, 0x1234567890ABCDEF, 2**120 + 5)),
                begin,
                days,
            )
        )
    return b"\x0b" + vector(3, vector(3, b"".join(vector(3, each) for each in found)))


def conversation(rng):
    version = rng.choice((0x0301, 0x0302, 0x0303, 0x0303, 0x0303))
    client, suites = hello(rng, version, rng.choice((*NAMES, None)))
    messages = [(True, record(22, 0x0301, client))]
    if rng.random() < 0.9:
        parts = [server_hello(rng, version, suites)]
        if rng.random() < 0.85:
            parts.append(chain(rng))
        parts.append(b"\x0e\0\0\0")
        if rng.random() < 0.5:
            answer = b"".join(record(22, version, part) for part in parts)
        else:
            answer = record(22, version, b"".join(parts))
        messages.append((False, answer))
        if rng.random() < 0.7:
            finish = (
                record(22, version, b"\x10" + vector(3, b"\x41" + rng.randbytes(65)))
                + record(20, version, b"\1")
                + record(22, version, rng.randbytes(40))
            )
            messages += [
                (True, finish),
                (False, record(20, version, b"\1") + record(22, version, rng.randbytes(40))),
            ]
            messages += [
                (True, record(23, version, rng.randbytes(50))),
                (False, record(23, version, rng.randbytes(80))),
            ]
        elif rng.random() < 0.3:
            messages.append((True, record(21, version, b"\2\x2a")))
    return messages


BUFFERS = ["tls.sni", "tls.sni", "tls_sni", "tls.cert_subject", "tls.cert_subject", "tls.cert_issuer", "tls.cert_serial", "ja3.string", "ja3s.string", "tls.certs", "tls.random",
           "tls.random_time", "tls.random_bytes", "tls_cert_subject", "ja3_string"]  # fmt: skip


def _words(rng):
    shape = rng.random()
    if shape < 0.2:
        return f"tls.version:{rng.choice(('', '!'))}{rng.choice(('1.0', '1.1', '1.2', '1.3'))}; "
    if shape < 0.35:
        return (
            f"ssl_version:{rng.choice(('tls1.0', 'tls1.2', 'sslv3', 'tls1.0,tls1.1', '!tls1.2', 'sslv2'))}; "
        )
    if shape < 0.5:
        return f"ssl_state:{rng.choice(('client_hello', 'server_hello', 'client_keyx', 'unknown', 'client_hello|server_hello', '!client_hello'))}; "
    if shape < 0.6:
        return f"tls.cert_chain_len:{rng.choice(('', '<', '>', '!'))}{rng.choice((1, 2, 3))}; "
    if shape < 0.7:
        return rng.choice(("tls_cert_expired; ", "tls_cert_valid; "))
    if shape < 0.8:
        return f"tls_cert_notbefore:{rng.choice(('<', '>', ''))}{rng.choice(('2021-01', '2023-01', '2023-06-01', '2023-01-01 00:00:00', '2020-01-01<>2023-02'))}; "
    if shape < 0.9:
        return f"tls_cert_notafter:{rng.choice(('<', '>', ''))}{rng.choice(('2021-01', '2024-01', '2024-01-05', '2024-01-11T00:00'))}; "
    text = rng.choice(("CN=evil.example", "Shop", "C=DE"))
    return f'tls.{rng.choice(("subject", "issuerdn"))}:{rng.choice(("", "!"))}"{text}"; '


def rules(rng, first_sid, count):
    for sid in range(first_sid, first_sid + count):
        flow = rng.choice(
            ("", "", "flow:established; ", "flow:established,to_server; ", "flow:established,to_client; ")
        )
        body = ""
        for _ in range(rng.choice((1, 1, 1, 2))):
            if rng.random() < 0.3:
                body = _words(rng) + body
            else:
                body += (
                    f"{rng.choice(BUFFERS)}; {rng.choice(('', '', '', '', 'to_lowercase; ', 'dotprefix; '))}"
                    + matches.matches(rng, WORDS, buffered=True, most=rng.choice((1, 1, 2)))
                )
        yield f"alert {rng.choice(('tls', 'tls', 'tcp', 'ip'))} any any -> any any ({flow}{body}sid:{sid};)"


def sessions(rng, count):
    out = []
    for i in range(count):
        manner = {"segment": rng.choice((None, None, "random", 100)), "ending": rng.choice(Session.ENDINGS), "ack": rng.choice((True, True, "each", False)),
                  "reorder": rng.random() < 0.05, "repeat": rng.random() < 0.05}  # fmt: skip
        session = Session(
            rng,
            f"10.6.{i // 200}.{i % 200 + 1}",
            "192.168.7.9",
            1024 + rng.randrange(60000),
            rng.choice((443, 443, 8443)),
            **manner,
        )
        out.append(session.run(conversation(rng)))
    return out
