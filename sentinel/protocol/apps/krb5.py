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
_WEAK = frozenset({*range(1, 17), 23, 24})  # everything but AES and Camellia (RFC 6649, RFC 8429)
_ENCRYPTIONS = {
    1: "des-cbc-crc", 2: "des-cbc-md4", 3: "des-cbc-md5", 16: "des3-cbc-sha1-kd",
    17: "aes128-cts-hmac-sha1-96", 18: "aes256-cts-hmac-sha1-96", 23: "rc4-hmac", 24: "rc4-hmac-exp",
}  # fmt: skip
_MAX_MESSAGE = 1024 * 1024
_MAX_NAMES = 32


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

    def feed(self, direction: int, data: bytes, *, gap: int = 0, eof: bool = False) -> bool:
        if not self.framed:
            return self._message(direction, data) if data else True
        if gap:
            return False
        data = self.rest[direction] + data
        while len(data) >= 4:
            size = int.from_bytes(data[:4], "big")
            if size > _MAX_MESSAGE:
                return False
            if len(data) < 4 + size:
                break
            if not self._message(direction, data[4 : 4 + size]):
                return False
            data = data[4 + size :]
        self.rest[direction] = data
        return True

    def _message(self, direction: int, data: bytes) -> bool:
        try:
            outer = der.read(data)
            kind = outer.tag & 0x1F
            members = _tagged(der.read(outer.content))
        except der.BadDerError:
            self._begin(direction, 0, "malformed_data")
            return True
        transaction = self._begin(direction, kind, "")
        try:
            self._fields(transaction, kind, members)
        except der.BadDerError:
            self.session.flag(transaction, "malformed_data")
        return True

    def _begin(self, direction: int, kind: int, event: str) -> Transaction:
        transaction = self.session.begin("krb5")
        transaction.derive = derive
        transaction.parser_state = {"msg_type": _NAMES.get(kind, str(kind))}
        self.session.one_way(transaction, direction)
        for buffers in transaction.buffers:
            buffers["krb5_msg_type"] = kind
        if event:
            self.session.flag(transaction, event)
        return transaction

    def _fields(self, transaction: Transaction, kind: int, members: dict[int, der.Node]) -> None:
        client: der.Node | None = None
        server: der.Node | None = None
        encryption: int | None = None
        if kind in {_AS_REQ, _TGS_REQ}:
            body = _tagged(members[4]) if 4 in members else {}
            client, server = body.get(1), body.get(3)
        elif kind in {_AS_REP, _TGS_REP}:
            client = members.get(4)
            ticket = _tagged(der.read(members[5].content)) if 5 in members else {}
            if 5 in members and members[5].tag == 0x61:
                ticket = _tagged(der.read(members[5].content))
            server = ticket.get(2)
            encryption = _encryption(ticket.get(3))
        elif kind == _ERROR:
            client, server = members.get(8), members.get(10)
            if 6 in members:
                for buffers in transaction.buffers:
                    buffers["krb5_err_code"] = members[6].integer
        for name, node in (("krb5.cname", client), ("krb5.sname", server)):
            strings = _strings(node)
            if strings:
                for buffers in transaction.buffers:
                    buffers[name] = strings
                transaction.parser_state[name[5:]] = b"/".join(strings).decode("utf-8", "replace")
        if encryption is not None:
            for buffers in transaction.buffers:
                buffers["krb5.ticket_encryption"] = _ENCRYPTIONS.get(encryption, str(encryption))
            if encryption in _WEAK:
                self.session.flag(transaction, "weak_encryption")


def _encryption(node: der.Node | None) -> int | None:
    """The etype of an EncryptedData."""
    if node is None:
        return None
    kind = _tagged(node).get(0)
    return kind.integer if kind is not None else None


def derive(transaction: Transaction, direction: int, name: str) -> Any:
    return {"krb5": transaction.parser_state} if name == "eve" else None
