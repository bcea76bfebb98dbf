"""Certificates (RFC 5280) as Suricata prints them: subject, issuer, serial, validity, alternative names.

In: one DER certificate. Out: `Certificate`, or None when it is malformed. Names are joined as x509-parser does:
"C=US, O=Shop, CN=www" with multi-valued parts joined by " + ".
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sentinel.protocol.apps import der

_NAMES = {
    "2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
    "2.5.4.9": "street", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title", "2.5.4.13": "description",
    "2.5.4.15": "businessCategory", "2.5.4.17": "postalCode", "2.5.4.41": "name", "2.5.4.42": "GN",
    "2.5.4.43": "initials", "2.5.4.46": "dnQualifier", "2.5.4.65": "pseudonym",
    "0.9.2342.19200300.100.1.1": "UID", "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "emailAddress",
    "1.3.6.1.4.1.311.60.2.1.1": "jurisdictionL", "1.3.6.1.4.1.311.60.2.1.2": "jurisdictionST",
    "1.3.6.1.4.1.311.60.2.1.3": "jurisdictionC",
}  # fmt: skip
_UTC_TIME, _BMP_STRING = 0x17, 0x1E
_SUBJECT_ALT_NAME = "2.5.29.17"
_DNS_NAME = 0x82
# No certificate needs more; a hostile one could hold thousands.
_MAX_ALTERNATIVES = 256


@dataclass(slots=True)
class Certificate:
    raw: bytes
    subject: bytes
    issuer: bytes
    serial: bytes
    not_before: int  # seconds since the epoch
    not_after: int
    alternatives: list[bytes] = field(default_factory=list)

    @property
    def fingerprint(self) -> bytes:
        digest = hashlib.sha1(self.raw, usedforsecurity=False).hexdigest()
        return ":".join(digest[i : i + 2] for i in range(0, 40, 2)).encode()


def _name(node: der.Node) -> bytes:
    parts = []
    for rdn in node.children():
        values = []
        for attribute in rdn.children():
            kind, value = attribute.list()[:2]
            text = value.content
            if value.tag == _BMP_STRING:
                text = text.decode("utf-16-be", "replace").encode()
            number = der.oid(kind.content)
            values.append(_NAMES.get(number, number).encode() + b"=" + text)
        parts.append(b" + ".join(values))
    return b", ".join(parts)


def _time(node: der.Node) -> int:
    text = node.content.decode("ascii", "replace").rstrip("Z")
    if node.tag == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    try:
        return int(datetime.strptime(text[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp())
    except ValueError:
        return 0


def _alternatives(node: der.Node) -> list[bytes]:
    names: list[bytes] = []
    for extension in node.list()[0].children():
        parts = extension.list()
        if der.oid(parts[0].content) != _SUBJECT_ALT_NAME:
            continue
        names += [n.content for n in der.read(parts[-1].content).children() if n.tag == _DNS_NAME]
    return names[:_MAX_ALTERNATIVES]


def _parse(raw: bytes) -> Certificate:
    body = der.read(raw).list()[0].list()
    if body[0].tag == 0xA0:  # explicit version
        body = body[1:]
    serial, _, issuer, validity, subject = body[:5]
    begin, end = validity.list()[:2]
    alternatives = [name for node in body[6:] if node.tag == 0xA3 for name in _alternatives(node)]
    return Certificate(
        raw,
        _name(subject),
        _name(issuer),
        ":".join(f"{byte:02X}" for byte in serial.content).encode(),
        _time(begin),
        _time(end),
        alternatives,
    )


def parse(raw: bytes) -> Certificate | None:
    try:
        return _parse(raw)
    except (der.BadDerError, IndexError, ValueError):
        return None
