"""DCE/RPC, connection-oriented (C706 chapter 12): calls over TCP and inside SMB named pipes.

In: PDUs of both directions. Out: one transaction a call with dcerpc.iface, dcerpc.opnum, dcerpc.stub_data (fragments
joined) and dcerpc.little_endian. Invariants: at most MAX_CALLS open calls and MAX_STUB bytes of a stub are kept.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentinel.model import Transaction
    from sentinel.protocol.apps.session import Session

MAX_CALLS, MAX_STUB, _MAX_CONTEXTS = 1024, 1024 * 1024, 64
HEADER = 16
_REQUEST, _RESPONSE, _FAULT, _BIND, _BIND_ACK, _BIND_NAK, _ALTER, _ALTER_ACK = 0, 2, 3, 11, 12, 13, 14, 15
_FIRST, _LAST, _OBJECT = 0x01, 0x02, 0x80


@dataclass(slots=True)
class Pdu:
    kind: int
    flags: int
    little: bool
    length: int
    call: int
    body: bytes

    def number(self, start: int, size: int) -> int:
        return int.from_bytes(self.body[start : start + size], "little" if self.little else "big")


def read_pdu(data: bytes, pos: int = 0) -> Pdu | None:
    """The PDU at `pos`, its body cut where the data ends; None when it is none."""
    if len(data) - pos < HEADER or data[pos] != 5:
        return None
    little = bool(data[pos + 4] & 0x10)
    order = "little" if little else "big"
    length = int.from_bytes(data[pos + 8 : pos + 10], order)  # type: ignore[arg-type]
    call = int.from_bytes(data[pos + 12 : pos + 16], order)  # type: ignore[arg-type]
    if length < HEADER:
        return None
    return Pdu(data[pos + 2], data[pos + 3], little, length, call, data[pos + HEADER : pos + length])


@dataclass(slots=True)
class Interface:
    name: str
    version: int
    accepted: bool = False


@dataclass(slots=True, eq=False)
class Calls:
    """What one association (TCP connection or named pipe) knows."""

    session: Session
    protocol: str = "dcerpc"
    contexts: dict[int, Interface] = field(default_factory=dict)
    offered: list[int] = field(default_factory=list)
    open: dict[int, Transaction] = field(default_factory=dict)

    def pdu(self, direction: int, pdu: Pdu) -> Transaction | None:
        """Take in one PDU; returns its transaction."""
        transaction = self.open.get(pdu.call)
        if direction == 0:
            if pdu.kind in {_BIND, _ALTER}:
                return self._bind(pdu)
            if pdu.kind == _REQUEST:
                return self._request(transaction, pdu)
            return None
        if pdu.kind in {_BIND_ACK, _ALTER_ACK, _BIND_NAK}:
            self._bound(pdu)
            if transaction is not None:
                self._answered(transaction, pdu)
        elif pdu.kind == _RESPONSE:
            transaction = transaction or self._begin(pdu)
            self._stub(transaction, 1, pdu, 8)
            if pdu.flags & _LAST:
                self._answered(transaction, pdu)
        elif pdu.kind == _FAULT and transaction is not None:
            self._answered(transaction, pdu)
        return transaction

    def _begin(self, pdu: Pdu) -> Transaction:
        if len(self.open) >= MAX_CALLS:
            oldest = self.open.pop(next(iter(self.open)))
            self.session.finish(oldest)
        transaction = self.session.begin(self.protocol)
        transaction.derive = derive
        transaction.parser_state = {"call_id": pdu.call, "stub": (bytearray(), bytearray())}
        for buffers in transaction.buffers:
            buffers["dcerpc.little_endian"] = int(pdu.little)
        self.open[pdu.call] = transaction
        return transaction

    def _answered(self, transaction: Transaction, pdu: Pdu) -> None:
        self.open.pop(pdu.call, None)
        self.session.finish(transaction)

    def _bind(self, pdu: Pdu) -> Transaction:
        transaction = self._begin(pdu)
        transaction.progress[0] = 1
        transaction.done[0] = True
        self.offered.clear()
        pos = 12
        for _ in range(min(pdu.body[8] if len(pdu.body) > 8 else 0, _MAX_CONTEXTS)):
            if pos + 24 > len(pdu.body):
                break
            context, transfers = pdu.number(pos, 2), pdu.body[pos + 2]
            raw = pdu.body[pos + 4 : pos + 20]
            name = uuid.UUID(bytes_le=raw) if pdu.little else uuid.UUID(bytes=raw)
            if len(self.contexts) < _MAX_CONTEXTS or context in self.contexts:
                self.contexts[context] = Interface(str(name), pdu.number(pos + 20, 2))
            self.offered.append(context)
            pos += 24 + transfers * 20
        return transaction

    def _bound(self, pdu: Pdu) -> None:
        if pdu.kind == _BIND_NAK:
            return
        size = pdu.number(8, 2)
        pos = 10 + size
        pos += -pos % 4  # results are aligned to four bytes
        count = pdu.body[pos] if pos < len(pdu.body) else 0
        for index, context in enumerate(self.offered[:count]):
            known = self.contexts.get(context)
            if known is not None:
                known.accepted = pdu.number(pos + 4 + index * 24, 2) == 0

    def _request(self, transaction: Transaction | None, pdu: Pdu) -> Transaction:
        if transaction is None or pdu.flags & _FIRST:
            transaction = self._begin(pdu)
        opnum = pdu.number(6, 2)
        known = self.contexts.get(pdu.number(4, 2))
        for buffers in transaction.buffers:
            buffers["dcerpc.opnum"] = opnum
            if known is not None and known.accepted:
                buffers["dcerpc.iface"] = [(known.name, known.version)]
        self._stub(transaction, 0, pdu, 24 if pdu.flags & _OBJECT else 8)
        if pdu.flags & _LAST:
            transaction.progress[0] = 1
            transaction.done[0] = True
        return transaction

    def _stub(self, transaction: Transaction, direction: int, pdu: Pdu, start: int) -> None:
        stub: bytearray = transaction.parser_state["stub"][direction]
        room = MAX_STUB - len(stub)
        stub += pdu.body[start : start + max(room, 0)]
        transaction.buffers[direction]["dcerpc.stub_data"] = bytes(stub)
        self.session.touch(transaction)


class Dcerpc:
    """The parser of one TCP flow."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.calls = Calls(session)
        self.rest = [b"", b""]

    def feed(self, direction: int, data: bytes, *, gap: int = 0, eof: bool = False) -> bool:
        if gap:
            self.rest[direction] = b""
        data = self.rest[direction] + data
        pos = 0
        while len(data) - pos >= HEADER:
            pdu = read_pdu(data, pos)
            if pdu is None:
                return False
            if pos + pdu.length > len(data):
                break
            self.calls.pdu(direction, pdu)
            pos += pdu.length
        self.rest[direction] = data[pos:]
        if eof:
            for transaction in self.calls.open.values():
                self.session.finish(transaction)
        return True


def derive(transaction: Transaction, direction: int, name: str) -> Any:
    if name != "eve":
        return None
    eve: dict[str, Any] = {"call_id": transaction.parser_state["call_id"]}
    buffers = transaction.buffers[0]
    if "dcerpc.opnum" in buffers:
        eve["req"] = {
            "opnum": buffers["dcerpc.opnum"],
            "stub_data_size": len(transaction.parser_state["stub"][0]),
        }
        eve["res"] = {"stub_data_size": len(transaction.parser_state["stub"][1])}
    eve["interfaces"] = [
        {"uuid": uuid, "version": f"{version}.0"} for uuid, version in buffers.get("dcerpc.iface", [])
    ]
    return {"dcerpc": eve}
