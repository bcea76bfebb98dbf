"""TLS and SSL (RFC 5246, RFC 8446, SSLv2 draft): hello messages and certificates; nothing is decrypted.

In: both directions of a flow. Out: one transaction of protocol "tls" with tls.*, ja3*, ja4 buffers. Handshake messages
are joined across records and segments. Progress as Suricata: 0 in progress, 1 certificate, 2 handshake done, 3 finished.
Invariants: at most one record and one handshake message are held (64 KiB each); after the handshake nothing is.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sentinel.protocol.apps import fingerprint, tls_hello, x509

if TYPE_CHECKING:
    from sentinel.model import Transaction
    from sentinel.protocol.apps.session import Session
    from sentinel.protocol.apps.tls_hello import Hello

_CHANGE_CIPHER, _HANDSHAKE, _APPLICATION, _HEARTBEAT = 20, 22, 23, 24
_CLIENT_HELLO, _SERVER_HELLO, _CERTIFICATE = 1, 2, 11
_SERVER_KEY_EXCHANGE, _CERTIFICATE_REQUEST, _CLIENT_KEY_EXCHANGE = 12, 13, 16
_EARLY_DATA = 42  # extension
_TYPES = frozenset({20, 21, 22, 23, 24})
# RFC 8446: 2^14 plus 256 of ciphertext; Suricata complains above 16384 + 1024 + 1024 (5246: 2^14 + 2048).
_MAX_RECORD = 16384 + 1024 + 1024
_MAX_HANDSHAKE = 65536
_MESSAGES = {0, 1, 2, 4, 11, 12, 13, 14, 15, 16, 20, 21, 22}  # what Suricata knows of handshakes
_MAX_CERTIFICATES = 64
_TLS_1_3 = 0x0304
_IN_PROGRESS, _CERT_READY, _DONE, _FINISHED = 0, 1, 2, 3
# The random that makes a ServerHello a HelloRetryRequest (RFC 8446 section 4.1.3).
_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")

_VERSIONS = {
    0x0002: "SSLv2", 0x0200: "SSLv2", 0x0300: "SSLv3", 0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2",
    0x0304: "TLS 1.3",
}  # fmt: skip


def version_name(version: int) -> str:
    if version >> 8 == 0x7F:
        return f"TLS 1.3 draft-{version & 0xFF:02d}"
    return _VERSIONS.get(version, f"0x{version:04x}" if version else "UNDETERMINED")


class Tls:
    """The parser of one flow."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.rest = [b"", b""]
        self.handshake = [bytearray(), bytearray()]
        self.encrypted = [False, False]
        self.hello: list[Hello | None] = [None, None]
        self.certificates: list[list[x509.Certificate]] = [[], []]
        self.version = 0
        self.changed = False  # there was a ChangeCipherSpec
        self.failed = False  # a message is wrong, and nothing after it is read
        self.wants_client = False  # the server asked for the client's certificate
        self.transaction = session.begin("tls")
        self.transaction.parser_state = self
        self.transaction.derive = derive

    # --- records ------------------------------------------------------------------------------------------------
    def feed(self, direction: int, data: bytes, *, gap: int = 0, eof: bool = False) -> bool:
        if gap:
            return False
        if not self.rest[direction] and data:
            self._ssl_state("")  # a fresh record
        data = self.rest[direction] + data if self.rest[direction] else data
        pos = 0
        good = True
        while len(data) - pos >= 5:
            if data[pos] & 0x80 and data[pos] not in _TYPES and self.hello[0] is None:
                size = self._sslv2(direction, data, pos)
            else:
                size = self._record(direction, data, pos)
            if size < 0:
                good = False
                pos = len(data)
                break
            if size == 0:
                break
            pos += size
        self.rest[direction] = data[pos:]
        self.session.touch(self.transaction)
        if self.certificates[0 if self.wants_client else 1]:
            self._progress(_DONE)
        if eof:
            self._progress(_FINISHED)
        return good

    def _record(self, direction: int, data: bytes, pos: int) -> int:
        """Bytes consumed, 0 for more input, -1 to give up."""
        kind, version = data[pos], int.from_bytes(data[pos + 1 : pos + 3], "big")
        length = int.from_bytes(data[pos + 3 : pos + 5], "big")
        if kind not in _TYPES:
            self._flag("invalid_record_type")
            return -1
        if version >> 8 != 3 and version not in _VERSIONS and version >> 8 != 0x7F:
            self._flag("invalid_record_version")
            self._flag("invalid_ssl_record")
            return -1
        if length > _MAX_RECORD:
            self._flag("invalid_record_length")
            self._flag("invalid_ssl_record")
            return -1
        end = pos + 5 + length
        if self.hello[direction] is None:
            self._version(direction, version)  # until a hello says better
        if end > len(data):
            return 0
        self._payload(direction, kind, version, data[pos + 5 : end])
        return -1 if self.failed else 5 + length

    def _payload(self, direction: int, kind: int, version: int, payload: bytes) -> None:
        if kind in {_HANDSHAKE, _CHANGE_CIPHER}:
            self.session.trigger_raw(direction)
        if kind == _HANDSHAKE and self._in_clear():
            if not self.version:
                self.version = version
            self._handshake(direction, payload)
        elif kind == _CHANGE_CIPHER:
            self.changed = True
            self.encrypted[direction] = self.version != _TLS_1_3 or self.encrypted[direction]
        elif kind == _APPLICATION and not self._early():
            self.encrypted[direction] = True
            self.session.seal()
            self._progress(_DONE)
        elif kind == _HEARTBEAT:
            self._heartbeat(direction, payload)

    def _in_clear(self) -> bool:
        """After any ChangeCipherSpec handshake messages are not read; in TLS 1.3 it may come before the ServerHello."""
        client = self.hello[0]
        return not self.changed or (
            client is not None and _TLS_1_3 in client.versions and self.hello[1] is None
        )

    def _early(self) -> bool:
        """Data that a client sends before it has an answer (RFC 8446 section 2.3)."""
        client = self.hello[0]
        return client is not None and _EARLY_DATA in client.extensions and self.hello[1] is None

    def _heartbeat(self, direction: int, payload: bytes) -> None:
        """CVE-2014-0160: a request that asks for more than it carries."""
        if self.encrypted[direction] or len(payload) < 3:
            return
        claimed = int.from_bytes(payload[1:3], "big")
        if payload[0] not in {1, 2}:
            self._flag("invalid_heartbeat_message")
        elif payload[0] == 1 and claimed + 3 > len(payload):
            self._flag("overflow_heartbeat_message")
            self._flag("invalid_heartbeat_message")

    # --- handshake ----------------------------------------------------------------------------------------------
    def _handshake(self, direction: int, payload: bytes) -> None:
        held = self.handshake[direction]
        held += payload
        pos = 0
        while len(held) - pos >= 4 and not self.failed:
            length = int.from_bytes(held[pos + 1 : pos + 4], "big")
            if held[pos] not in _MESSAGES:
                # Such a message ends with its record.
                self._flag("invalid_handshake_message")
                pos = min(pos + 4 + length, len(held))
                continue
            if length > _MAX_HANDSHAKE:
                self.failed = True
                break
            if len(held) - pos < 4 + length:
                break
            self._message(direction, held[pos], bytes(held[pos + 4 : pos + 4 + length]))
            pos += 4 + length
        del held[:pos]

    def _message(self, direction: int, kind: int, body: bytes) -> None:
        if kind == _CLIENT_HELLO and direction == 0:
            self._client_hello(tls_hello.parse(body, client=True))
        elif kind == _SERVER_HELLO and direction == 1:
            self._server_hello(tls_hello.parse(body, client=False))
        elif kind == _CERTIFICATE:
            self._certificate(direction, body)
        elif kind == _SERVER_KEY_EXCHANGE:
            self._ssl_state("server_keyx")
        elif kind == _CLIENT_KEY_EXCHANGE:
            self._ssl_state("client_keyx")
        elif kind == _CERTIFICATE_REQUEST and direction == 1:
            self.wants_client = True
            self._ssl_state("")

    def _client_hello(self, hello: Hello) -> None:
        if hello.truncated:
            self._flag("handshake_invalid_length")
        if self.hello[0] is not None:
            return  # a second one, after HelloRetryRequest: the first counts
        self.hello[0] = hello
        buffers = self.transaction.buffers[0]
        self.version = hello.version
        self._version(0, next(filter(_known, hello.versions), hello.version))
        _random(buffers, hello)
        if hello.sni is not None:
            buffers["tls.sni"] = hello.sni
        if hello.sni_repeated:
            self._flag("multiple_sni_extensions")
        if hello.sni_invalid:
            self._flag("invalid_sni_length")
        if hello.alpn:
            buffers["tls.alpn"] = hello.alpn
        if self.session.options.ja3:
            string = fingerprint.ja3(hello)
            buffers["ja3.string"] = string
            buffers["ja3.hash"] = fingerprint.md5(string)
        buffers["ja4.hash"] = fingerprint.ja4(hello)
        self._ssl_state("client_hello")

    def _server_hello(self, hello: Hello) -> None:
        if hello.truncated:
            self._flag("handshake_invalid_length")
        if hello.random == _RETRY or self.hello[1] is not None:
            return
        self.hello[1] = hello
        self.version = hello.versions[0] if hello.versions else hello.version
        buffers = self.transaction.buffers[1]
        self._version(1, self.version)
        _random(buffers, hello)
        if hello.alpn:
            buffers["tls.alpn"] = hello.alpn
        if self.session.options.ja3:
            string = fingerprint.ja3s(hello)
            buffers["ja3s.string"] = string
            buffers["ja3s.hash"] = fingerprint.md5(string)
        self._ssl_state("server_hello")

    def _certificate(self, direction: int, body: bytes) -> None:
        total = int.from_bytes(body[:3], "big")
        end = total + 3
        self.failed = end > len(body)
        raws: list[bytes] = []
        pos = 3
        while pos < end and not self.failed and len(raws) < _MAX_CERTIFICATES:
            length = int.from_bytes(body[pos : pos + 3], "big")
            if pos + 3 + length > end:
                self._flag("invalid_certificate")
                self.failed = True
                break
            raws.append(body[pos + 3 : pos + 3 + length])
            pos += 3 + length
        if self.failed:
            self._flag("invalid_handshake_message")
        if raws:
            self._expose(direction, raws)

    def _expose(self, direction: int, raws: list[bytes]) -> None:
        buffers = self.transaction.buffers[direction]
        buffers["tls.certs"] = raws
        buffers["tls.cert_chain_len"] = len(raws)
        try:
            first = x509.parse(raws[0])
        except x509.BadCertificateError as error:
            self._flag(error.event)
            return
        self.certificates[direction] = [first]
        buffers["tls.cert_subject"] = first.subject
        buffers["tls.cert_issuer"] = first.issuer
        buffers["tls.cert_serial"] = first.serial
        buffers["tls.cert_fingerprint"] = first.fingerprint
        buffers["tls_cert_notbefore"] = first.not_before
        buffers["tls_cert_notafter"] = first.not_after
        now = self.session.time // 1_000_000_000
        buffers["tls_cert_expired"] = first.not_after < now
        buffers["tls_cert_valid"] = now <= first.not_after  # Suricata does not ask when it begins
        if first.alternatives:
            buffers["tls.subjectaltname"] = first.alternatives
        if direction == 1:
            # To the client a certificate shows with the end of the handshake only.
            self.transaction.progress[0] = max(self.transaction.progress[0], _CERT_READY)

    # --- SSLv2 --------------------------------------------------------------------------------------------------
    def _sslv2(self, direction: int, data: bytes, pos: int) -> int:
        length = (data[pos] & 0x7F) << 8 | data[pos + 1]
        if length < 3:
            self._flag("invalid_sslv2_header")
            return -1
        if pos + 2 + length > len(data):
            return 0
        body = data[pos + 2 : pos + 2 + length]
        if body[0] == 1 and direction == 0:
            self.version = int.from_bytes(body[1:3], "big")
            hello = tls_hello.Hello(version=self.version)
            self.hello[0] = hello
            self._version(0, self.version)
            self._ssl_state("client_hello")
        elif body[0] == 4 and direction == 1:
            self.hello[1] = tls_hello.Hello(version=self.version)
            self._ssl_state("server_hello")
        return 2 + length

    # --- bookkeeping --------------------------------------------------------------------------------------------
    def _flag(self, event: str) -> None:
        self.session.flag(self.transaction, event)

    def _ssl_state(self, word: str) -> None:
        """The newest handshake message of either side, which rules of both directions compare."""
        for buffers in self.transaction.buffers:
            buffers["ssl_state"] = word

    def _version(self, direction: int, version: int) -> None:
        buffers = self.transaction.buffers[direction]
        buffers["tls.version"] = buffers["ssl_version"] = version

    def _progress(self, step: int) -> None:
        for direction in (0, 1):
            self.transaction.progress[direction] = max(self.transaction.progress[direction], step)
            if step >= _DONE:
                self.transaction.buffers[1].setdefault("tls.cert_chain_len", 0)
            if step >= _FINISHED:
                self.transaction.done[direction] = True


def _random(buffers: dict[str, Any], hello: Hello) -> None:
    if hello.random:
        buffers["tls.random"] = hello.random
        buffers["tls.random_time"] = hello.random[:4]
        buffers["tls.random_bytes"] = hello.random[4:]


def _known(version: int) -> bool:
    """A version of TLS, not a GREASE value (RFC 8701)."""
    return 0x0301 <= version <= 0x0304 or version >> 8 == 0x7F


def _date(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def derive(transaction: Transaction, direction: int, name: str) -> Any:
    if name != "eve":
        return None
    parser: Tls = transaction.parser_state
    eve: dict[str, Any] = {}
    if parser.certificates[1]:
        first = parser.certificates[1][0]
        eve["subject"] = first.subject.decode("utf-8", "replace")
        eve["issuerdn"] = first.issuer.decode("utf-8", "replace")
        eve["serial"] = first.serial.decode()
        eve["fingerprint"] = first.fingerprint.decode()
        eve["notbefore"] = _date(first.not_before)
        eve["notafter"] = _date(first.not_after)
    client = transaction.buffers[0]
    if "tls.sni" in client:
        eve["sni"] = client["tls.sni"].decode("utf-8", "replace")
    eve["version"] = version_name(parser.version)
    for side, prefix in ((0, "ja3"), (1, "ja3s")):
        buffers = transaction.buffers[side]
        if f"{prefix}.hash" in buffers:
            eve[prefix] = {
                "hash": buffers[f"{prefix}.hash"].decode(),
                "string": buffers[f"{prefix}.string"].decode(),
            }
    return {"tls": eve}
