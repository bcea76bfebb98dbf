"""PostgreSQL's frontend/backend protocol 3 (docs, chapter 55): one transaction a request with its answers.

In: both directions of a flow. Out: transactions "pgsql" with EVE fields (user, database, query, command). Behind an
accepted SSLRequest the protocol is TLS. Invariant: a message beyond MAX_MESSAGE is skipped, not stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentinel.model import Transaction
    from sentinel.protocol.apps.session import Session

MAX_MESSAGE = 1024 * 1024
_SSL_REQUEST, _CANCEL, _VERSION_3 = 80877103, 80877102, 3
_READY, _COMPLETE, _ERROR, _AUTHENTICATION = b"Z", b"C", b"E", b"R"
_MAX_PARAMETERS = 64


class Pgsql:
    """The parser of one flow."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.rest = [b"", b""]
        self.skip = [0, 0]
        self.started = False
        self.ssl_asked = False
        self.transaction: Transaction | None = None

    def feed(self, direction: int, data: bytes, *, gap: int = 0, eof: bool = False) -> bool:
        if gap:
            return False
        data = self.rest[direction] + data
        pos = 0
        while pos < len(data) and self.session.change is None:
            if self.skip[direction]:
                size = min(self.skip[direction], len(data) - pos)
                self.skip[direction] -= size
                pos += size
                continue
            used = self._answer(data, pos) if direction else self._request(data, pos)
            if used < 0:
                return False
            if used == 0:
                break
            pos += used
        self.rest[direction] = data[pos:]
        if eof and self.transaction is not None:
            self._complete()
        return True

    def _begin(self) -> Transaction:
        self._complete()
        transaction = self.session.begin("pgsql")
        transaction.derive = derive
        transaction.parser_state = {"request": {}, "response": {}}
        transaction.progress[0] = 1
        transaction.done[0] = True
        self.transaction = transaction
        return transaction

    def _complete(self) -> None:
        if self.transaction is not None:
            self.session.finish(self.transaction)
            self.transaction = None

    # Each returns bytes used, 0 for more input, -1 when it is not this protocol.
    def _request(self, data: bytes, pos: int) -> int:
        if not self.started:
            return self._startup(data, pos)
        size = self._size(data, pos)
        if size <= 0:
            return size
        kind, body = data[pos : pos + 1], data[pos + 5 : pos + size]
        if kind == b"X":
            self._begin().parser_state["request"]["message"] = "terminate"
            self._complete()
        elif kind == b"Q":
            transaction = self._begin()
            transaction.parser_state["request"]["simple_query"] = body.rstrip(b"\0").decode(
                "utf-8", "replace"
            )
        elif kind == b"p" and self.transaction is None:
            self._begin().parser_state["request"]["message"] = "password_message"
        elif kind == b"P" and self.transaction is None:
            self._begin().parser_state["request"]["message"] = "parse"
        return size

    def _startup(self, data: bytes, pos: int) -> int:
        if len(data) - pos < 8:
            return 0
        size, code = (
            int.from_bytes(data[pos : pos + 4], "big"),
            int.from_bytes(data[pos + 4 : pos + 8], "big"),
        )
        if size < 8 or size > 10000:
            return -1
        if len(data) - pos < size:
            return 0
        transaction = self._begin()
        request = transaction.parser_state["request"]
        if code == _SSL_REQUEST:
            request["message"] = "SSL Request"
            self.ssl_asked = True
        elif code == _CANCEL:
            request["message"] = "cancel_request"
            self._complete()
        elif code >> 16 == _VERSION_3:
            words = data[pos + 8 : pos + size].split(b"\0")[: 2 * _MAX_PARAMETERS]
            request["protocol_version"] = "3.0"
            request["startup_parameters"] = {
                name.decode("utf-8", "replace"): value.decode("utf-8", "replace")
                for name, value in zip(words[::2], words[1::2], strict=False)
                if name
            }
            self.started = True
        else:
            return -1
        return size

    def _answer(self, data: bytes, pos: int) -> int:
        if self.ssl_asked:
            self.ssl_asked = False
            accepted = data[pos : pos + 1] == b"S"
            if self.transaction is not None:
                self.transaction.parser_state["response"]["ssl_accepted"] = accepted
            self._complete()
            if accepted:
                self.session.change = "tls"
            return 1
        size = self._size(data, pos, answer=True)
        if size <= 0:
            return size
        kind, body = data[pos : pos + 1], data[pos + 5 : pos + size]
        transaction = self.transaction
        if transaction is None:
            return size
        if kind == _COMPLETE:
            text = body.rstrip(b"\0").decode("utf-8", "replace")
            transaction.parser_state["response"]["command_completed"] = text
        if kind in {_READY, _ERROR}:
            self._complete()
        else:
            self.session.touch(transaction)
        return size

    def _size(self, data: bytes, pos: int, *, answer: bool = False) -> int:
        """Length of the message at `pos` with its type byte."""
        if len(data) - pos < 5:
            return 0
        if not data[pos : pos + 1].isalnum():
            return -1
        size = int.from_bytes(data[pos + 1 : pos + 5], "big") + 1
        if size < 5:
            return -1
        if size > MAX_MESSAGE:
            self.skip[1 if answer else 0] = size - 5
            return 5
        return size if len(data) - pos >= size else 0


def derive(transaction: Transaction, direction: int, name: str) -> Any:
    if name != "eve":
        return None
    return {"pgsql": {"tx_id": transaction.index, **transaction.parser_state}}
