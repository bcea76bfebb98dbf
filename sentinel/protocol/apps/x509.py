"""Certificates (RFC 5280) as Suricata prints them: subject, issuer, serial, validity, alternative names.

In: one DER certificate. Out: `Certificate`, or BadCertificateError with the event that Suricata (x509-parser) raises
for what is wrong first. Names are joined as there, "C=US, O=Shop, CN=www" with multi-valued parts joined by " + "; a name
ends where it stops making sense, and that alone is no error.
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
_CONSTRUCTED = 0x20
_INTEGER, _BIT_STRING = 0x02, 0x03
_UTC_TIME, _GENERALIZED_TIME, _BMP_STRING = 0x17, 0x18, 0x1E
_SEQUENCE, _SET = 0x30, 0x31
_VERSION, _UNIQUE_IDS, _EXTENSIONS = 0xA0, (0xA1, 0xA2), 0xA3
_LONGEST_HEADER = 10
_LENGTHS_OF_NO_USE = {0x80, 0xFF}  # indefinite, reserved
_LENGTH = "certificate_invalid_length"
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


class BadCertificateError(Exception):
    """Internal: `event` is the name of the app-layer event, without "tls."."""

    def __init__(self, event: str) -> None:
        super().__init__(event)
        self.event = event


class _Fields:
    """The fields of a sequence, taken one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._pos = 0

    @property
    def rest(self) -> bytes:
        return self._data[self._pos :]

    def tag(self) -> int:
        return self._data[self._pos] if self._pos < len(self._data) else -1

    def take(self, tags: tuple[int, ...], wrong: str, short: str = "", header: str = "") -> der.Node:
        """The next field, whether or not it says that it holds others. Events: a field of another kind, one that ends too late, one that ends in its header."""
        rest = self._data[self._pos : self._pos + _LONGEST_HEADER]
        if len(rest) > 1 and (
            rest[0] | _CONSTRUCTED not in {tag | _CONSTRUCTED for tag in tags}
            or rest[1] in _LENGTHS_OF_NO_USE
        ):
            raise BadCertificateError(wrong)
        if not der.has_header(rest):
            raise BadCertificateError(header or short or wrong)
        try:
            node = der.read(self._data, self._pos)
        except der.BadDerError:
            raise BadCertificateError(short or wrong) from None
        self._pos += node.size
        return node

    def sequence(self) -> _Fields:
        return _Fields(
            self.take((_SEQUENCE,), "certificate_invalid_der", "invalid_certificate", _LENGTH).content
        )

    def skip(self, *tags: int) -> None:
        while self.tag() >= 0 and self.tag() | _CONSTRUCTED in tags:
            self.take(tags, "invalid_certificate")


def _version(fields: _Fields) -> None:
    if fields.tag() in {_VERSION, _VERSION & ~_CONSTRUCTED}:
        inner = _Fields(fields.take((_VERSION,), _LENGTH, _LENGTH).content)
        if not inner.take((_INTEGER,), "certificate_invalid_version").content:
            raise BadCertificateError("certificate_invalid_version")


def _algorithm(fields: _Fields) -> None:
    event = "certificate_invalid_algorithmidentifier"
    inner = fields.sequence()
    if inner.tag() & _CONSTRUCTED and inner.tag() >= 0:
        raise BadCertificateError(event)  # of an identifier no more is asked
    inner.take((inner.tag(),), event, _LENGTH)
    if inner.tag() >= 0:
        inner.take((inner.tag(),), event, _LENGTH)


def _bits(fields: _Fields) -> None:
    content = fields.take((_BIT_STRING,), "invalid_certificate").content
    if not content or content[0] > 7:
        raise BadCertificateError("invalid_certificate")


def _key(fields: _Fields) -> None:
    inner = fields.sequence()
    _algorithm(inner)
    _bits(inner)


def _name(content: bytes) -> bytes:
    parts: list[bytes] = []
    try:
        for part in der.Node(_SEQUENCE, content, 0).children():
            if part.tag != _SET:
                break
            parts.append(b" + ".join([_attribute(attribute) for attribute in part.children()]))
    except (der.BadDerError, IndexError):
        pass
    return b", ".join(parts)


def _attribute(attribute: der.Node) -> bytes:
    fields = attribute.list()
    if attribute.tag != _SEQUENCE or len(fields) < 2 or fields[0].tag & _CONSTRUCTED or not fields[1].tag:
        raise der.BadDerError
    kind, value = fields[:2]
    text = value.content
    if value.tag == _BMP_STRING:
        text = text.decode("utf-16-be", "replace").encode()
    number = der.oid(kind.content)
    return _NAMES.get(number, number).encode() + b"=" + text


def _time(fields: _Fields) -> int:
    event = "certificate_invalid_date"
    node = fields.take((_UTC_TIME, _GENERALIZED_TIME), event)
    text = node.content.decode("latin-1")
    if node.tag == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    try:
        return int(datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise BadCertificateError(event) from None


def _alternatives(node: der.Node) -> list[bytes]:
    names: list[bytes] = []
    for extension in node.list()[0].children():
        parts = extension.list()
        if der.oid(parts[0].content) != _SUBJECT_ALT_NAME:
            continue
        names += [n.content for n in der.read(parts[-1].content).children() if n.tag == _DNS_NAME]
    return names[:_MAX_ALTERNATIVES]


def _extensions(fields: _Fields) -> list[bytes]:
    event = "certificate_invalid_extensions"
    fields.skip(*_UNIQUE_IDS)
    if fields.tag() != _EXTENSIONS:
        return []
    try:
        return _alternatives(fields.take((_EXTENSIONS,), event, _LENGTH))
    except (der.BadDerError, IndexError):
        raise BadCertificateError(event) from None


def parse(raw: bytes) -> Certificate:
    outer = _Fields(raw).sequence()
    body = outer.sequence()
    _version(body)
    serial = body.take((_INTEGER,), "certificate_invalid_serial").content
    _algorithm(body)
    issuer = _name(body.sequence().rest)
    validity = body.sequence()
    begin, end = _time(validity), _time(validity)
    subject = _name(body.sequence().rest)
    _key(body)
    alternatives = _extensions(body)
    _algorithm(outer)
    _bits(outer)
    number = ":".join(f"{byte:02X}" for byte in serial).encode()
    return Certificate(raw, subject, issuer, number, begin, end, alternatives)
