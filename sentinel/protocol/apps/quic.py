"""QUIC (RFC 9000, 9001, 9369) and Google's Q043-Q050: long headers, and the hello inside Initial packets.

In: datagrams of both directions. Out: one transaction a long-header packet with quic.version, quic.sni, quic.ua,
quic.cyu.*, ja3*, ja4.hash. Invariants: at most MAX_DECRYPTED Initial packets a direction are decrypted and MAX_CRYPTO
bytes of handshake kept; the packet's authentication tag is not checked, a wrong packet only yields no hello.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any

from sentinel.protocol.apps import fingerprint, tls_hello

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sentinel.model import Transaction
    from sentinel.protocol.apps.session import Session

MAX_DECRYPTED, MAX_CRYPTO, _MAX_PACKETS, _MAX_TAGS = 8, 16384, 16, 128
_V1, _V2 = 1, 0x6B3343CF
_SALTS = {
    _V1: "38762cf7f55934b34d179ae6a4c80cadccbb7f0a",
    _V2: "0dede3def700a6db819381be6e269dcbf9bd2ed9",
}
_DRAFT_SALTS = (
    (29, "afbfec289993d24c9e9786f19c6111e04390a899"),
    (23, "c3eef712c72ebb5a11a7d2432bb46365bef9f502"),
)
_INITIAL, _RETRY = 0, 3
_PADDING, _PING, _ACK, _ACK_ECN, _CRYPTO = 0, 1, 2, 3, 6
_CLIENT_HELLO, _SERVER_HELLO = 1, 2


class _ShortError(Exception):
    """Internal: the packet ends early."""


class Reader:
    __slots__ = ("data", "pos")

    def __init__(self, data: bytes, pos: int = 0) -> None:
        self.data = data
        self.pos = pos

    def take(self, size: int) -> bytes:
        if self.pos + size > len(self.data):
            raise _ShortError
        self.pos += size
        return self.data[self.pos - size : self.pos]

    def varint(self) -> int:
        """RFC 9000 section 16."""
        first = self.take(1)[0]
        value = first & 0x3F
        for byte in self.take((1 << (first >> 6)) - 1):
            value = value << 8 | byte
        return value


def _expand_label(secret: bytes, label: str, length: int) -> bytes:
    """HKDF-Expand-Label of TLS 1.3 (RFC 8446 section 7.1); one block is always enough here."""
    name = b"tls13 " + label.encode()
    info = length.to_bytes(2, "big") + bytes((len(name),)) + name + b"\0\x01"
    return hmac.digest(secret, info, "sha256")[:length]


class Keys:
    """Initial keys of one direction (RFC 9001 section 5.2)."""

    __slots__ = ("head", "iv", "key")

    def __init__(self, version: int, destination: bytes, direction: int) -> None:
        from sentinel.protocol.apps import aes

        salt = _SALTS.get(version)
        if salt is None:
            draft = version & 0xFF
            salt = next(text for least, text in _DRAFT_SALTS if draft >= least or least == 23)
        initial = hmac.digest(bytes.fromhex(salt), destination, "sha256")
        secret = _expand_label(initial, "server in" if direction else "client in", 32)
        prefix = "quicv2" if version == _V2 else "quic"
        self.key: NDArray[Any] = aes.expand(_expand_label(secret, f"{prefix} key", 16))
        self.iv = _expand_label(secret, f"{prefix} iv", 12)
        self.head: NDArray[Any] = aes.expand(_expand_label(secret, f"{prefix} hp", 16))

    def decrypt(self, packet: bytes, number_at: int) -> bytes:
        """The payload of a packet whose packet number begins at `number_at`."""
        from sentinel.protocol.apps import aes

        sample = packet[number_at + 4 : number_at + 20]
        if len(sample) < 16:
            raise _ShortError
        mask = aes.encrypt(self.head, sample)
        size = ((packet[0] ^ mask[0] & 0x0F) & 3) + 1
        raw = packet[number_at : number_at + size]
        number = int.from_bytes(bytes(a ^ b for a, b in zip(raw, mask[1:], strict=False)), "big")
        nonce = (int.from_bytes(self.iv, "big") ^ number).to_bytes(12, "big")
        return aes.counter_mode(self.key, nonce, packet[number_at + size : -16])


class Quic:
    """The parser of one flow."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.keys: list[Keys | None] = [None, None]
        self.crypto: list[dict[int, bytes]] = [{}, {}]
        self.decrypted = [0, 0]
        self.hello_seen = [False, False]

    def feed(self, direction: int, data: bytes, *, gap: int = 0, eof: bool = False) -> bool:
        pos = 0
        for _ in range(_MAX_PACKETS):
            if pos >= len(data) or self.hello_seen[direction] or not data[pos] & 0x80:
                return True
            try:
                pos = self._packet(direction, data, pos)
            except _ShortError:
                return True
        return True

    def _packet(self, direction: int, data: bytes, start: int) -> int:
        reader = Reader(data, start + 1)
        raw_version = reader.take(4)
        version = int.from_bytes(raw_version, "big")
        if raw_version[:1] == b"Q":
            self._google(direction, raw_version, reader)
            return len(data)
        destination = reader.take(reader.take(1)[0])
        reader.take(reader.take(1)[0])
        transaction = self._begin(direction, raw_version)
        if version == 0:
            return len(data)  # version negotiation
        kind = data[start] >> 4 & 3
        kind = (kind - 1) % 4 if version == _V2 else kind
        if kind == _RETRY:
            return len(data)
        if kind == _INITIAL:
            reader.take(reader.varint())
        length = reader.varint()
        number_at = reader.pos
        end = min(number_at + length, len(data))
        if kind == _INITIAL and self.decrypted[direction] < MAX_DECRYPTED:
            self.decrypted[direction] += 1
            if direction == 0 and self.keys[0] is None:
                self.keys = [Keys(version, destination, side) for side in (0, 1)]
            keys = self.keys[direction]
            if keys is not None:
                self._frames(transaction, direction, keys.decrypt(data[start:end], number_at - start))
        return end

    def _begin(self, direction: int, version: bytes) -> Transaction:
        transaction = self.session.begin("quic")
        transaction.derive = derive
        self.session.one_way(transaction, direction)
        transaction.buffers[direction]["quic.version"] = version
        return transaction

    # --- IETF ---------------------------------------------------------------------------------------------------
    def _frames(self, transaction: Transaction, direction: int, payload: bytes) -> None:
        reader = Reader(payload)
        while reader.pos < len(payload):
            kind = payload[reader.pos]
            if kind == _PADDING:
                rest = payload[reader.pos :]
                reader.pos += len(rest) - len(rest.lstrip(b"\0"))
            elif kind == _PING:
                reader.pos += 1
            elif kind in {_ACK, _ACK_ECN}:
                self._skip_ack(reader)
            elif kind == _CRYPTO:
                reader.pos += 1
                offset, size = reader.varint(), reader.varint()
                if offset + size <= MAX_CRYPTO:
                    self.crypto[direction][offset] = reader.take(size)
                else:
                    reader.take(size)
            else:
                break
        self._handshake(transaction, direction)

    def _skip_ack(self, reader: Reader) -> None:
        kind = reader.take(1)[0]
        reader.varint()
        reader.varint()
        count = reader.varint()
        reader.varint()
        for _ in range(min(2 * count, 1024)):
            reader.varint()
        if kind == _ACK_ECN:
            for _ in range(3):
                reader.varint()

    def _handshake(self, transaction: Transaction, direction: int) -> None:
        joined = b""
        for offset, piece in sorted(self.crypto[direction].items()):
            if offset > len(joined):
                return
            joined = joined[:offset] + piece if offset + len(piece) > len(joined) else joined
        if len(joined) < 4 or len(joined) < 4 + int.from_bytes(joined[1:4], "big"):
            return
        body = joined[4 : 4 + int.from_bytes(joined[1:4], "big")]
        if joined[0] not in {_CLIENT_HELLO, _SERVER_HELLO}:
            return
        hello = tls_hello.parse(body, client=direction == 0)
        self.hello_seen[direction] = True
        self.crypto[direction].clear()
        buffers = transaction.buffers[direction]
        if direction == 0:
            if hello.sni is not None:
                buffers["quic.sni"] = hello.sni
            string = fingerprint.ja3(hello)
            buffers["ja3.string"], buffers["ja3.hash"] = string, fingerprint.md5(string)
            buffers["ja4.hash"] = fingerprint.ja4(hello, quic=True)
        else:
            string = fingerprint.ja3s(hello)
            buffers["ja3s.string"], buffers["ja3s.hash"] = string, fingerprint.md5(string)

    # --- Google -------------------------------------------------------------------------------------------------
    def _google(self, direction: int, version: bytes, reader: Reader) -> None:
        transaction = self._begin(direction, version)
        if version[1:4].isdigit() and int(version[1:4]) < 46:
            return
        lengths = reader.take(1)[0]
        reader.take(sum(nibble + 3 for nibble in (lengths >> 4, lengths & 0xF) if nibble))
        rest = reader.data[reader.pos :]
        start = rest.find(b"CHLO", 0, 64)
        if start >= 0:
            self._client_hello(transaction, direction, version, rest[start:])

    def _client_hello(self, transaction: Transaction, direction: int, version: bytes, message: bytes) -> None:
        """Tags with the end of their value each, then the values."""
        count = int.from_bytes(message[4:6], "little")
        if count > _MAX_TAGS or len(message) < 8 + 8 * count:
            return
        names: list[bytes] = []
        values: dict[bytes, bytes] = {}
        begin = 0
        for index in range(count):
            entry = message[8 + 8 * index : 16 + 8 * index]
            end = int.from_bytes(entry[4:], "little")
            name = entry[:4].rstrip(b"\0")
            names.append(name)
            values[name] = message[8 + 8 * count + begin : 8 + 8 * count + end]
            begin = end
        buffers = transaction.buffers[direction]
        string = str(int(version[1:])).encode() + b"," + b"-".join(names) if version[1:].isdigit() else b""
        if string:
            buffers["quic.cyu.string"] = [string]
            buffers["quic.cyu.hash"] = [hashlib.md5(string, usedforsecurity=False).hexdigest().encode()]
        for name, buffer in ((b"SNI", "quic.sni"), (b"UAID", "quic.ua")):
            if name in values:
                buffers[buffer] = values[name]


def derive(transaction: Transaction, direction: int, name: str) -> Any:
    if name != "eve":
        return None
    both = {**transaction.buffers[1], **transaction.buffers[0]}
    raw: bytes = both.get("quic.version", b"")
    known = {b"\0\0\0\x01": "1", b"\x6b\x33\x43\xcf": "2"}
    quic: dict[str, Any] = {
        "version": known.get(raw, raw.decode("latin-1") if raw[:1] == b"Q" else raw.hex())
    }
    for word, key in (("sni", "quic.sni"), ("ua", "quic.ua")):
        if key in both:
            quic[word] = both[key].decode("utf-8", "replace")
    for word in ("ja3", "ja3s"):
        if f"{word}.hash" in both:
            quic[word] = {"hash": both[f"{word}.hash"].decode(), "string": both[f"{word}.string"].decode()}
    return {"quic": quic}
