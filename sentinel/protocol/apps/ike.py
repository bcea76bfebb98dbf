"""IKE version 1 and 2 (RFC 2408, RFC 7296): unencrypted headers and payloads, one transaction a message.

In: a datagram. Out: transactions "ike" with ike.init_spi, ike.resp_spi (hex), ike.exchtype, ike.vendor,
ike.key_exchange_payload, ike.nonce_payload, ike.chosen_sa_attribute. Invariant: at most MAX_PAYLOADS a message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentinel.model import Transaction
    from sentinel.protocol.apps.session import Session

_MAX_PAYLOADS = 64
_ENCRYPTED = 1
_RESPONSE_FLAG = 0x20
# Payload numbers of version 1 and version 2: SA, key exchange, nonce, vendor.
_V1 = {1: "sa", 4: "key", 10: "nonce", 13: "vendor"}
_V2 = {33: "sa", 34: "key", 40: "nonce", 43: "vendor"}
_ATTRIBUTES = {
    1: "alg_enc", 2: "alg_hash", 3: "alg_auth", 4: "alg_dh", 11: "sa_life_type", 12: "sa_life_duration",
    13: "alg_prf", 14: "sa_key_length", 15: "sa_field_size",
}  # fmt: skip


class Ike:
    """The parser of one flow."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def feed(self, direction: int, data: bytes, *, gap: int = 0, eof: bool = False) -> bool:
        if data[:4] == b"\0\0\0\0" and len(data) > 32:
            data = data[4:]  # the non-ESP marker of port 4500
        if len(data) < 28:
            return True
        transaction = self.session.begin("ike")
        transaction.derive = derive
        self.session.one_way(transaction, direction)
        major, exchange, flags = data[17] >> 4, data[18], data[19]
        initiator, responder = data[:8].hex().encode(), data[8:16].hex().encode()
        transaction.buffers[0]["ike.init_spi"] = initiator
        transaction.buffers[1]["ike.resp_spi"] = responder
        for buffers in transaction.buffers:
            buffers["ike.exchtype"] = exchange
        transaction.parser_state = {
            "version_major": major,
            "version_minor": data[17] & 0xF,
            "init_spi": initiator.decode(),
            "resp_spi": responder.decode(),
            "exchange_type": exchange,
        }
        if not (major == 1 and flags & _ENCRYPTED):
            self._payloads(transaction, direction, data, _V1 if major == 1 else _V2)
        return True

    def _payloads(self, transaction: Transaction, direction: int, data: bytes, names: dict[int, str]) -> None:
        buffers = transaction.buffers[direction]
        kind, pos = data[16], 28
        for _ in range(_MAX_PAYLOADS):
            if kind == 0 or pos + 4 > len(data):
                return
            size = int.from_bytes(data[pos + 2 : pos + 4], "big")
            if size < 4 or pos + size > len(data):
                self.session.flag(transaction, "malformed_data")
                return
            body = data[pos + 4 : pos + size]
            word = names.get(kind, "")
            if word == "vendor" and direction == 0:
                buffers.setdefault("ike.vendor", []).append(body.hex().encode())
            elif word == "key":
                value = body if names is _V1 else body[4:]
                buffers["ike.key_exchange_payload"] = value
                buffers["ike.key_exchange_payload_length"] = len(value)
            elif word == "nonce":
                buffers["ike.nonce_payload"] = body
                buffers["ike.nonce_payload_length"] = len(body)
            elif word == "sa" and direction == 1 and names is _V1:
                buffers["ike.chosen_sa_attribute"] = _chosen(body)
            kind, pos = data[pos], pos + size


def _chosen(body: bytes) -> list[tuple[str, int]]:
    """Attributes of the transform the responder chose: domain (8 bytes), one proposal, one transform."""
    found: list[tuple[str, int]] = []
    if len(body) < 16:
        return found
    pos = 16 + body[14] + 8
    while pos + 4 <= len(body) and len(found) < _MAX_PAYLOADS:
        kind = int.from_bytes(body[pos : pos + 2], "big")
        value = int.from_bytes(body[pos + 2 : pos + 4], "big")
        if kind & 0x8000:
            pos += 4
        else:
            size = value
            value = int.from_bytes(body[pos + 4 : pos + 4 + min(size, 8)], "big")
            pos += 4 + size
        found.append((_ATTRIBUTES.get(kind & 0x7FFF, "unknown"), value))
    return found


def derive(transaction: Transaction, direction: int, name: str) -> Any:
    return {"ike": transaction.parser_state} if name == "eve" else None
