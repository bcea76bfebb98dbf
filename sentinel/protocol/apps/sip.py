"""SIP (RFC 3261) over UDP: one transaction a request or a response, as Suricata 7 makes them.

In: datagrams. Out: transactions "sip" with sip.method, sip.uri, sip.request_line, sip.protocol, sip.stat_code,
sip.stat_msg, sip.response_line. What goes to the server is read as a request, what goes to the client as a response;
a message that is neither leaves an event on the one before.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentinel.model import Transaction
    from sentinel.protocol.apps.session import Session

# Characters by RFC 3261 section 25.1, as Suricata reads it.
_TOKEN = rb"A-Za-z0-9!%'*+\-._`~"
_URI = _TOKEN + rb"#@:;=?&$,/"
_REASON = _TOKEN + rb"$&(),/:;=?@\[\\\]^ "
_VALUE = _TOKEN + rb"\"#$&(),/;:<=>?@\[\]{}^|\\\t "
_REQUEST = re.compile(rb"([A-Za-z]*) ([%b]+) (SIP/[0-9.]+)\r\n" % _URI)
_RESPONSE = re.compile(rb"(SIP/[0-9.]+) ([^\x80-\xff]{3}) ([%b]*)\r\n" % _REASON)
_NAME = re.compile(rb"[%b]*[ \t]*:" % _TOKEN)
_FIELD = re.compile(rb"(?:[%b]|\r?\n[ \t])*\r\n" % _VALUE)
_LINE = re.compile(rb"[%b]+(?=[^%b])" % (_REASON, _REASON))
_STARTS = (_REQUEST, _RESPONSE)
_NAMES = (
    ("sip.method", "sip.uri", "sip.protocol", "sip.request_line"),
    ("sip.protocol", "sip.stat_code", "sip.stat_msg", "sip.response_line"),
)


def _fault(data: bytes, direction: int) -> str:
    """The event of a message that cannot be read; "" when it can."""
    start = _STARTS[direction].match(data)
    if not start:
        return "invalid_data" if b"\n" in data else "incomplete_data"
    pos = start.end()
    while not data.startswith(b"\r\n", pos):
        name = _NAME.match(data, pos)
        if not name:
            return "invalid_data" if len(data) - pos > 1 and b"\n" in data[pos:] else "incomplete_data"
        value = _FIELD.match(data, name.end())
        if not value:
            return "incomplete_data"
        pos = value.end()
    return ""


def is_request(data: bytes) -> bool:
    return not _fault(data, 0)


def is_response(data: bytes) -> bool:
    return not _fault(data, 1)


class Sip:
    """The parser of one flow."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.last: Transaction | None = None

    def feed(self, direction: int, data: bytes, *, gap: int = 0, eof: bool = False) -> bool:
        if not data:
            return True
        event = _fault(data, direction)
        if event:
            if self.last is not None:
                self.session.flag(self.last, event)
            return False
        self._message(direction, data)
        return True

    def _message(self, direction: int, data: bytes) -> None:
        found = _STARTS[direction].match(data)
        assert found is not None
        transaction = self.last = self.session.begin("sip")
        transaction.derive = derive
        line = _LINE.match(data)
        values = [*found.groups(), line[0] if line else b""]
        transaction.buffers[direction].update(
            {name: value for name, value in zip(_NAMES[direction], values, strict=True) if value}
        )
        self.session.finish(transaction)


def derive(transaction: Transaction, direction: int, name: str) -> Any:
    if name != "eve":
        return None
    names = (
        ("method", "sip.method"), ("uri", "sip.uri"), ("version", "sip.protocol"),
        ("request_line", "sip.request_line"), ("code", "sip.stat_code"), ("reason", "sip.stat_msg"),
        ("response_line", "sip.response_line"),
    )  # fmt: skip
    both = {**transaction.buffers[0], **transaction.buffers[1]}
    return {"sip": {word: both[key].decode("utf-8", "replace") for word, key in names if key in both}}
