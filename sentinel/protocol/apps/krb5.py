"""Kerberos 5 (RFC 4120) over UDP and TCP: one transaction a message.

In: datagrams, or length-prefixed messages of a stream. Out: transactions "krb5" with krb5_msg_type, krb5_err_code,
krb5.cname, krb5.sname and the ticket's encryption. Invariant: nothing of a message is kept but names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sentinel.protocol.apps import der

if TYPE_CHECKING:
    from sentinel.model import Transaction
    from sentinel.protocol.apps.session import Session

_AS_REQ, _AS_REP, _TGS_REQ, _TGS_REP, _AP_REQ, _AP_REP, _ERROR = 10, 11, 12, 13, 14, 15, 30
_NAMES = {
    10: "KRB_AS_REQ", 11: "KRB_AS_REP", 12: "KRB_TGS_REQ", 13: "KRB_TGS_REP", 14: "KRB_AP_REQ", 15: "KRB_AP_REP",
    30: "KRB_ERROR",
}  # fmt: skip
_STRONG = frozenset({17, 18, 19, 20, 25, 26})  # AES and Camellia (RFC 6649, RFC 8429)
_MAX_HELD = 100_000  # bytes of a stream's message that are waited for, as in Suricata
_MAX_NAMES = 32
# Members that a message must have (RFC 4120 sections 5.4 and 5.9.1).
_REQUIRED = {
    _AS_REQ: {1, 2, 4}, _TGS_REQ: {1, 2, 4}, _AS_REP: {0, 1, 3, 4, 5, 6}, _TGS_REP: {0, 1, 3, 4, 5, 6},
    _ERROR: {0, 1, 4, 5, 6, 9, 10},
}  # fmt: skip
_BODY_REQUIRED, _TICKET_REQUIRED = {0, 2, 5, 7, 8}, {0, 1, 2, 3}


def _tagged(node: der.Node) -> dict[int, der.Node]:
    """Explicitly tagged members of a sequence by their number."""
    return {child.tag & 0x1F: der.read(child.content) for child in node.children() if child.content}


def _strings(node: der.Node | None) -> list[bytes]:
    """A PrincipalName's components."""
    if node is None:
        return []
    names = _tagged(node).get(1)
    return [name.content for name in names.children()][:_MAX_NAMES] if names is not None else []


class Krb5:
    """The parser of one flow; `framed` messages come with a length in front (TCP)."""

    def __init__(self, session: Session, *, framed: bool) -> None:
        self.session = session
        self.framed = framed
        self.rest = [b"", b""]
        self.over = [0, 0]  # bytes of a stream since its first message
        self.last: Transaction | None = None

    def feed(self, direction: int, data: bytes, *, gap: int = 0, eof: bool = False) -> bool:
        if not self.framed:
            return self._message(direction, data) if data else True
        if gap:
            return False
        if self.over[direction]:
            self.over[direction] += len(data)
            return self.over[direction] <= _MAX_HELD
        data = self.rest[direction] + data
        if len(data) < 4:
            self.rest[direction] = data
            return True
        size = int.from_bytes(data[:4], "big")
        if len(data) >= 4 + size:
            # Suricata 7 reads one message of a stream: it takes the next length from this one's first bytes.
            self.over[direction] = len(data) - 4
            return self._message(direction, data[4:])
        self.rest[direction] = data
        return len(data) <= _MAX_HELD

    def _message(self, direction: int, data: bytes) -> bool:
        if not der.has_header(data):
            if self.last is not None:
                self.session.flag(self.last, "malformed_data")
            return False
        kind = data[0] & 0x1F
        if data[0] >> 6 != 1 or kind not in _REQUIRED:
            return True
        try:
            outer = der.read(data)
            members = _tagged(der.read(outer.content))
            found = _fields(kind, members) if members.keys() >= _REQUIRED[kind] else None
        except der.BadDerError:
            found = None
        if found is not None:
            buffers, words, weak = found
            self._begin(direction, kind, buffers, words, weak=weak)
        return True

    def _begin(
        self, direction: int, kind: int, buffers: dict[str, Any], words: dict[str, str], *, weak: bool
    ) -> None:
        transaction = self.last = self.session.begin("krb5")
        transaction.derive = derive
        transaction.parser_state = {"msg_type": _NAMES[kind], **words}
        for side in transaction.buffers:
            side.update(buffers)
        self.session.one_way(transaction, direction)
        if weak:
            self.session.flag(transaction, "weak_encryption")


def _fields(kind: int, members: dict[int, der.Node]) -> tuple[dict[str, Any], dict[str, str], bool] | None:
    """Buffers, words for EVE, and whether the encryption is weak; None when something is missing."""
    buffers: dict[str, Any] = {"krb5_msg_type": kind}
    client: der.Node | None = None
    server: der.Node | None = None
    weak = False
    if kind in {_AS_REQ, _TGS_REQ}:
        body = _tagged(members[4])
        if not body.keys() >= _BODY_REQUIRED:
            return None
        client, server = body.get(1), body.get(3)
    elif kind == _ERROR:
        client, server = members.get(8), members[10]
        buffers["krb5_err_code"] = members[6].integer
    else:
        ticket = _tagged(der.read(members[5].content))
        if not ticket.keys() >= _TICKET_REQUIRED:
            return None
        client, server = members[4], ticket[2]
        buffers["krb5.ticket_encryption"] = _encryption(ticket[3])
        weak = is_weak(_encryption(members[6]))
    words = {}
    for name, node in (("krb5.cname", client), ("krb5.sname", server)):
        strings = _strings(node)
        if strings:
            buffers[name] = strings
            words[name[5:]] = b"/".join(strings).decode("utf-8", "replace")
    return buffers, words, weak


def is_weak(encryption: int) -> bool:
    return encryption not in _STRONG


def _encryption(node: der.Node) -> int:
    """The etype of an EncryptedData."""
    kind = _tagged(node).get(0)
    if kind is None:
        raise der.BadDerError
    return kind.integer


def derive(transaction: Transaction, direction: int, name: str) -> Any:
    return {"krb5": transaction.parser_state} if name == "eve" else None
