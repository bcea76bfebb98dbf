"""The client's half of an HTTP/1 connection, state by state as libhtp (htp_request.c) reads it.

In: bytes of the client. Out: exchanges with request line, headers and body. Each state is a method that consumes from
`self.data` at `self.pos` and says how to go on (`Step`). Invariant: what stays between calls is one unfinished line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sentinel.protocol.apps import http1_buffers, http1_uri
from sentinel.protocol.apps.http1_message import (
    BLANKS,
    MAX_LINE,
    METHODS,
    SPACES,
    Exchange,
    Progress,
    Version,
    chomp,
    chunk_length,
    content_length,
    is_terminator,
    may_be_chunk_length,
    parse_field,
    version_of,
)
from sentinel.protocol.apps.http1_side import Side, Step

if TYPE_CHECKING:
    from sentinel.protocol.apps.http1_message import Message

_LINE = re.compile(rb"([ \t\n\r\v\f]*)([^ \t\n\r\v\f]*)([ \t\n\r\v\f]*)")
_ODD_SPACE = re.compile(rb"[\t\n\r\v\f]")
# A client that ends an HTTP/0.9 request may add this much white space before it is no longer one.
_JUNK_AFTER_0_9 = 16
_AUTHORIZATIONS = (b"basic", b"digest", b"bearer")


class RequestSide(Side):
    """Reads requests; `self.exchange` is the one being read."""

    side = "request"
    direction = 0

    def start(self) -> Step:
        """Idle: the next byte opens a transaction."""
        if self.pos >= len(self.data):
            return Step.NEED
        self.exchange = self.connection.open_exchange()
        self.advance(Progress.LINE)
        self.state = self.read_line
        return Step.NEXT

    def read_line(self) -> Step:
        line = self.take_line()
        if line is None:
            return Step.NEED if not self.failed else Step.FAIL
        if is_terminator(line):
            return Step.NEXT
        if not line:
            return Step.NEED
        self._parse_line(chomp(line))
        self.connection.request_line_done(self.current)
        self.state = self.read_protocol
        return Step.NEXT

    def _parse_line(self, line: bytes) -> None:
        exchange = self.current
        exchange.request.line = line
        found = _LINE.match(line)
        assert found is not None
        leading, method, gap = found.groups()
        if leading:
            self.flag("request_line_leading_whitespace")
        exchange.method = method
        if gap.strip(b" "):
            self.flag("method_delim_non_compliant")
        rest = line[found.end() :]
        if not rest.strip(SPACES):
            exchange.old = True
            exchange.request.version = Version.V0_9
            return
        self._parse_target(exchange, rest)

    def _parse_target(self, exchange: Exchange, rest: bytes) -> None:
        uri, _, protocol = rest.partition(b" ")
        if _ODD_SPACE.search(uri):
            self.flag("uri_delim_non_compliant")
            if uri == rest:
                odd = _ODD_SPACE.search(rest)
                assert odd is not None
                uri, protocol = rest[: odd.start()], rest[odd.end() :]
        exchange.raw_uri = uri.rstrip(SPACES)
        protocol = protocol.lstrip(SPACES)
        if not protocol:
            exchange.old = True
            exchange.request.version = Version.V0_9
            return
        exchange.transaction.buffers[0]["http.protocol"] = protocol
        exchange.request.version = version_of(protocol)

    def read_protocol(self) -> Step:
        exchange = self.current
        if exchange.old:
            rest = self.data[self.pos :]
            if not rest.strip(SPACES) and len(rest) <= _JUNK_AFTER_0_9:
                self.state = self.finalize
                return Step.NEXT
            exchange.old = False
        self.advance(Progress.HEADERS)
        self.state = self.read_headers
        return Step.NEXT

    def read_headers(self) -> Step:
        message = self.current.request
        if self.read_clean_headers(message):
            return self._headers_done(message)
        if self.failed:
            return Step.FAIL
        while True:
            if self.closed and self.data.find(b"\n", self.pos) < 0:
                self.pos = len(self.data)
                self.end_header(message)
                message.trailing = True  # as libhtp has it: no host, no body
                self.advance(Progress.TRAILER)
                self.connection.headers_cut(self.current, 0)
                return self._headers_done(message)
            line = self.take_line(whole=True)
            if line is None:
                return Step.NEED if not self.failed else Step.FAIL
            message.raw_headers += line
            if is_terminator(line):
                if not self.end_header(message):
                    return Step.FAIL
                return self._headers_done(message)
            if not self._header_line(message, chomp(line)):
                return Step.FAIL

    def _header_line(self, message: Message, line: bytes) -> bool:
        if line and line[:1] not in {b" ", b"\t", b"\0"}:
            if not self.end_header(message):
                return False
            self.held = line
            return True
        if not line and not self.end_header(message):
            return False
        if self.held is None:
            self.flag("invalid_request_field_folding")
            self.held = line.lstrip(b" \t\0")
        elif len(self.held) < MAX_LINE:
            self.held += line
        return True

    def _headers_done(self, message: Message) -> Step:
        if message.trailing:
            self.connection.trailer_done(self.current, 0)
            self.state = self.finalize
            return Step.NEXT
        self._decide_coding(message)
        self._resolve_host()
        authorization = message.headers.get(b"authorization")
        if authorization is not None and not authorization.lower().startswith(_AUTHORIZATIONS):
            self.flag("request_auth_unrecognized")
        if message.coding == "invalid":
            http1_buffers.expose_host(self.current)
            return Step.FAIL  # libhtp gives up before rules see the other headers
        self.connection.request_headers_done(self.current)
        if self.current.method == b"CONNECT":
            self.state = self.wait_connect
            return Step.NEXT
        self.state = self.read_body
        return Step.NEXT

    def _decide_coding(self, message: Message) -> None:
        transfer = message.headers.get(b"transfer-encoding")
        length = message.headers.field(b"content-length")
        if transfer is not None:
            tokens = transfer.replace(b"\0", b"").lower().split(b",")
            if b"chunked" not in (token.strip(SPACES) for token in tokens):
                message.coding = "invalid"
                self.flag("invalid_transfer_encoding_value_in_request")
                return
            if message.version < Version.V1_1:
                self.flag("invalid_transfer_encoding_value_in_request")
            message.coding = "chunked"
        elif length is not None:
            number = content_length(length.value)
            if number is None:
                message.coding = "invalid"
                self.flag("invalid_content_length_field_in_request")
                return
            self.left = number
            message.coding = "identity"
        else:
            message.coding = "none"

    def _resolve_host(self) -> None:
        exchange = self.current
        uri = exchange.uri
        told = uri is not None and (uri.hostname is not None or exchange.method == b"CONNECT")
        if uri is not None and told and not http1_uri.valid_authority(uri):
            self.flag("request_uri_host_invalid")
        if uri is not None and uri.hostname is not None:
            exchange.host = uri.hostname.lower().rstrip(b".")
            exchange.port = uri.port_number
        header = exchange.request.headers.get(b"host")
        if header is None:
            if exchange.request.version >= Version.V1_1:
                self.flag("missing_host_header")
            return
        parts = http1_uri.Uri()
        http1_uri.split_authority(header.strip(BLANKS), parts, credentials=False)
        if not http1_uri.valid_authority(parts):
            self.flag("request_header_host_invalid")
        name = (parts.hostname or b"").lower()
        if exchange.host is None:
            exchange.host = name or None
            exchange.port = parts.port_number
        elif name != exchange.host or (exchange.port != -1 and parts.port_number not in {-1, exchange.port}):
            self.flag("host_header_ambiguous")

    def wait_connect(self) -> Step:
        """A CONNECT has no body; what follows depends on the answer."""
        exchange = self.current
        if exchange.transaction.progress[1] <= Progress.LINE:
            return Step.WAIT
        if 200 <= exchange.status <= 299:
            self.state = self.probe_connect
        else:
            self.state = self.finalize
        return Step.NEXT

    def probe_connect(self) -> Step:
        """Inside the tunnel: HTTP again, or something we leave to protocol recognition."""
        rest = self.data[self.pos :]
        end = min((at for at in (rest.find(b"\n"), rest.find(b"\0")) if at >= 0), default=-1)
        if end < 0 and len(rest) < MAX_LINE:
            return Step.NEED
        method = rest[: max(end, 0)].lstrip(SPACES).split(None, 1)[:1]
        if method and method[0] in METHODS:
            return self.complete()
        self.connection.tunnel()
        return Step.FAIL

    def read_body(self) -> Step:
        message = self.current.request
        if message.coding == "chunked":
            self.advance(Progress.BODY)
            self.state = self.read_chunk_length
        elif message.coding == "identity":
            if self.left > 0:
                self.advance(Progress.BODY)
                self.state = self.read_identity
            else:
                self.state = self.finalize
        elif message.coding == "none":
            self.state = self.finalize
        else:
            return Step.FAIL
        return Step.NEXT

    def read_identity(self) -> Step:
        if not self.take_counted():
            return Step.NEED
        self.state = self.finalize
        return Step.NEXT

    def read_chunk_length(self) -> Step:
        line = self.take_line(whole=True)
        if line is None:
            if self.failed or not may_be_chunk_length(self.data[self.pos :]):
                self.flag("invalid_request_chunk_len")
                return Step.FAIL
            return Step.NEED
        length, extension = chunk_length(line)
        if extension:
            self.flag("request_chunk_extension")
        if length < 0:
            self.flag("invalid_request_chunk_len")
            return Step.FAIL
        self.left = length
        if length:
            self.state = self.read_chunk
        else:
            self.current.request.trailing = True
            self.advance(Progress.TRAILER)
            self.state = self.read_headers
        return Step.NEXT

    def read_chunk(self) -> Step:
        if not self.take_counted():
            return Step.NEED
        self.state = self.read_chunk_end
        return Step.NEXT

    def read_chunk_end(self) -> Step:
        if not self.skip_line():
            return Step.NEED
        self.state = self.read_chunk_length
        return Step.NEXT

    def finalize(self) -> Step:
        """What follows is the next request, or more of this body when it does not begin with a method."""
        if self.pos >= len(self.data):
            return self.complete()
        end = self.data.find(b"\n", self.pos)
        if end < 0:
            if self.closed:  # libhtp forgets what it waited for a line end with
                self.pos = len(self.data)
                return self.complete()
            if len(self.data) - self.pos < MAX_LINE:
                return Step.NEED
            end = len(self.data) - 1
        line = self.data[self.pos : end + 1]
        words = line.split(None, 1)
        if words and words[0] not in METHODS:
            self.flag("request_body_unexpected")
            self.pos += len(line)
            self.connection.body_data(self.current, 0, line)
            return Step.NEXT
        return self.complete()

    def complete(self) -> Step:
        exchange = self.current
        self.connection.request_complete(exchange)
        self.state = self.ignore if exchange.old else self.start
        self.exchange = None
        return Step.NEXT

    def ignore(self) -> Step:
        """Nothing can follow an HTTP/0.9 request."""
        self.pos = len(self.data)
        return Step.NEED

    def end_header(self, message: Message) -> bool:
        if self.held is None:
            return True
        name, value = parse_field(self.held, self.flag, self.side)
        self.held = None
        return message.headers.add(name, value, self.flag, self.side)
