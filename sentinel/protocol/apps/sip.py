"""SIP (RFC 3261) over UDP and TCP: one transaction a request or a response, as Suricata 7 makes them.

In: datagrams, or a stream of messages. Out: transactions "sip" with sip.method, sip.uri, sip.request_line, sip.protocol,
sip.stat_code, sip.stat_msg, sip.response_line. Invariant: a message is at most MAX_MESSAGE bytes in a stream.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentinel.model import Transaction
    from sentinel.protocol.apps.session import Session

MAX_MESSAGE = 65536
_REQUEST = re.compile(rb"([A-Za-z]+) ([^ \r\n]+) (SIP/\d\.\d)\r?\n")
_RESPONSE = re.compile(rb"(SIP/\d\.\d) (\d{3}) ([^\r\n]*)\r?\n")
_LENGTH = re.compile(rb"^(?:content-length|l)[ \t]*:[ \t]*(\d{1,6})", re.IGNORECASE | re.MULTILINE)


class Sip:
    """The parser of one flow; `stream` when it runs over TCP."""

    def __init__(self, session: Session, *, stream: bool) -> None:
        self.session = session
        self.stream = stream
        self.rest = [b"", b""]

    def feed(self, direction: int, data: bytes, *, gap: int = 0, eof: bool = False) -> bool:
        if not self.stream:
            if data:
                self._message(direction, data)
            return True
        if gap:
            return False
        data = self.rest[direction] + data
        while data:
            data = data.lstrip(b"\r\n")  # keep-alives
            head = data.find(b"\r\n\r\n")
            if head < 0:
                break
            found = _LENGTH.search(data, 0, head)
            size = head + 4 + (int(found[1]) if found else 0)
            if len(data) < size <= MAX_MESSAGE:
                break
            self._message(direction, data[:size])
            data = data[size:]
        self.rest[direction] = data[:MAX_MESSAGE]
        return True

    def _message(self, direction: int, data: bytes) -> None:
        request, response = _REQUEST.match(data), _RESPONSE.match(data)
        transaction = self.session.begin("sip")
        transaction.derive = derive
        # Suricata files a message by what it is, not by who sent it.
        buffers = transaction.buffers[0 if request else 1]
        self.session.one_way(transaction, direction)
        if request:
            buffers["sip.method"], buffers["sip.uri"], buffers["sip.protocol"] = request.groups()
            buffers["sip.request_line"] = request[0].rstrip(b"\r\n")
        elif response:
            buffers["sip.protocol"], buffers["sip.stat_code"], buffers["sip.stat_msg"] = response.groups()
            buffers["sip.response_line"] = response[0].rstrip(b"\r\n")
        else:
            self.session.flag(transaction, "invalid_data")


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
