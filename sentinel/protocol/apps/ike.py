"""IKE version 1 and 2 (RFC 2408, RFC 7296): unencrypted headers and payloads, one transaction a message.

In: a datagram. Out: transactions "ike" with ike.init_spi, ike.resp_spi (hex), ike.exchtype, ike.vendor,
ike.key_exchange_payload, ike.nonce_payload, ike.chosen_sa_attribute, and events about weak proposals. A message of
version 1 whose association cannot be read leaves no transaction. Invariant: at most MAX_PAYLOADS of a kind.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sentinel.protocol.apps import ike_proposals

if TYPE_CHECKING:
    from sentinel.model import Transaction
    from sentinel.protocol.apps.session import Session

_MAX_PAYLOADS = 64
_MAX_DEPTH = 8  # of payloads in payloads: association, proposal, transform
_ENCRYPTED = 1
_SA, _PROPOSAL, _TRANSFORM, _KEY, _NONCE, _VENDOR = 1, 2, 3, 4, 10, 13
_IPSEC = 1  # domain of interpretation
_ATTRIBUTES = {
    1: "alg_enc", 2: "alg_hash", 3: "alg_auth", 4: "alg_dh", 5: "sa_group_type", 6: "sa_group_prime",
    7: "sa_group_generator_one", 8: "sa_group_generator_two", 9: "sa_group_curve_a", 10: "sa_group_curve_b",
    11: "sa_life_type", 12: "sa_life_duration", 13: "alg_prf", 14: "sa_key_length", 15: "sa_field_size",
    16: "sa_group_order",
}  # fmt: skip


class _BrokenError(Exception):
    """Internal: the message leaves no transaction."""


@dataclass(slots=True)
class _Found:
    """What the payloads of one message of version 1 said."""

    kinds: set[int] = field(default_factory=set)
    key: bytes = b""
    nonce: bytes = b""
    vendors: list[bytes] = field(default_factory=list)
    transforms: list[dict[str, int]] = field(default_factory=list)


class Ike:
    """The parser of one flow."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.last: Transaction | None = None
        self.chosen = 0  # transforms that the responder sent

    def feed(self, direction: int, data: bytes, *, gap: int = 0, eof: bool = False) -> bool:
        if not data:
            return True
        if len(data) < 28 or data[17] >> 4 not in {1, 2}:
            return False
        if data[17] >> 4 == 2:
            self._second(direction, data)
            return True
        found = _Found(kinds={data[16]})
        if not data[19] & _ENCRYPTED:
            try:
                rest = _payloads(data[28:], data[16], found)
            except _BrokenError:
                return True
            self._first(direction, found, left=bool(rest))
        buffers: dict[str, Any] = {}
        for name, value in (("key_exchange_payload", found.key), ("nonce_payload", found.nonce)):
            if value:
                buffers[f"ike.{name}"] = value
                buffers[f"ike.{name}_length"] = len(value)
        if found.vendors:
            buffers["ike.vendor"] = found.vendors
        if found.transforms:
            buffers["ike.chosen_sa_attribute"] = list(found.transforms[0].items())
        self._begin(direction, data, buffers)
        return True

    def _first(self, direction: int, found: _Found, *, left: bool) -> None:
        if direction == 1:
            if _SA in found.kinds:
                self.chosen = 0
            if self.chosen <= 1 < self.chosen + len(found.transforms):
                self._flag("multiple_server_proposal")
            self.chosen += len(found.transforms)
        if left:
            self._flag("payload_extra_data")

    def _flag(self, event: str) -> None:
        """Suricata puts these on the message before, because this one's transaction is not there yet."""
        if self.last is not None:
            self.session.flag(self.last, event)

    def _second(self, direction: int, data: bytes) -> None:
        proposals = ike_proposals.read(data[28:], data[16])
        chosen: dict[str, int] = {}
        if direction == 1:
            for proposal in proposals:
                for name, number in ike_proposals.named(proposal):
                    chosen.setdefault(name, number)
        transaction = self._begin(direction, data, {"ike.chosen_sa_attribute": list(chosen.items())})
        for proposal in proposals:
            for event in ike_proposals.weaknesses(proposal):
                self.session.flag(transaction, event)

    def _begin(self, direction: int, data: bytes, buffers: dict[str, Any]) -> Transaction:
        transaction = self.last = self.session.begin("ike")
        transaction.derive = derive
        self.session.one_way(transaction, direction)
        initiator, responder = data[:8].hex(), data[8:16].hex()
        for side in transaction.buffers:
            side.update(buffers)
            side["ike.init_spi"] = initiator.encode()
            side["ike.resp_spi"] = responder.encode()
            side["ike.exchtype"] = data[18]
        transaction.parser_state = {
            "version_major": data[17] >> 4,
            "version_minor": data[17] & 0xF,
            "init_spi": initiator,
            "resp_spi": responder,
            "exchange_type": data[18],
        }
        return transaction


def _payloads(data: bytes, kind: int, found: _Found, depth: int = 0) -> bytes:
    """Read a chain of payloads; returns what does not form one."""
    pos = 0
    while pos + 4 <= len(data):
        size = max(int.from_bytes(data[pos + 2 : pos + 4], "big"), 4)
        if pos + size > len(data):
            break
        _payload(kind, data[pos + 4 : pos + size], found, depth)
        kind, pos = data[pos], pos + size
    return data[pos:]


def _payload(kind: int, body: bytes, found: _Found, depth: int) -> None:
    found.kinds.add(kind)
    if kind == _SA:
        domain = int.from_bytes(body[:4], "big")
        if len(body) < 4 or (domain == _IPSEC and len(body) < 8) or depth > _MAX_DEPTH:
            raise _BrokenError
        if domain == _IPSEC:
            _payloads(body[8:], _PROPOSAL, found, depth + 1)
    elif kind == _PROPOSAL:
        if len(body) < 4 or len(body) < 4 + body[2] or depth > _MAX_DEPTH:
            raise _BrokenError
        _payloads(body[4 + body[2] :], _TRANSFORM, found, depth + 1)
    elif kind == _TRANSFORM:
        if len(body) >= 4 and len(found.transforms) < _MAX_PAYLOADS:
            found.transforms.append(_attributes(body[4:]))
    elif kind == _KEY:
        found.key = body
    elif kind == _NONCE:
        found.nonce = body
    elif kind == _VENDOR and len(found.vendors) < _MAX_PAYLOADS:
        found.vendors.append(body.hex().encode())


def _attributes(data: bytes) -> dict[str, int]:
    """The first number of each attribute: two bytes in the header, or four behind it."""
    found: dict[str, int] = {}
    pos = 0
    while pos + 4 <= len(data):
        kind = int.from_bytes(data[pos : pos + 2], "big")
        value = int.from_bytes(data[pos + 2 : pos + 4], "big")
        pos += 4
        if not kind & 0x8000:
            size = value
            if pos + size > len(data):
                break
            value = int.from_bytes(data[pos : pos + 4], "big") if size == 4 else -1
            pos += size
        if value >= 0:
            found.setdefault(_ATTRIBUTES.get(kind & 0x7FFF, "unknown"), value)
    return found


def derive(transaction: Transaction, direction: int, name: str) -> Any:
    return {"ike": transaction.parser_state} if name == "eve" else None
