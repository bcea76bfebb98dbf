"""The server's half of an HTTP/1 connection, state by state as libhtp (htp_response.c) reads it.

In: bytes of the server. Out: status line, headers and body of the exchange that waits for an answer. The oddities are
wanted: browsers accept them, so evaders use them (lines ended by a lone CR, junk instead of a status line, chunk
lengths that are none). Invariant: what stays between calls is one unfinished line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sentinel.protocol.apps.http1_message import (
    BLANKS,
    MAX_LINE,
    SPACES,
    ChunkLength,
    Message,
    Progress,
    Version,
    chomp,
    chunk_length,
    content_length,
    is_terminator,
    may_be_chunk_length,
    parse_field,
    reads_as_body,
    status_of,
    version_of,
)
from sentinel.protocol.apps.http1_side import Side, Step

if TYPE_CHECKING:
    from sentinel.protocol.apps.http1 import Http1

_EOL = re.compile(rb"\r\n|\r|\n")
_STATUS_LINE = re.compile(rb"[ \t\n\r\v\f]*([^ \t\n\r\v\f]*)[ \t\n\r\v\f]*([^ \t\n\r\v\f]*)[ \t\n\r\v\f]*")
_NOT_SEEN = b"/libhtp::request_uri_not_seen"


class ResponseSide(Side):
    """Reads responses; `self.exchange` is the one being answered."""

    side = "response"
    direction = 1

    def __init__(self, connection: Http1) -> None:
        super().__init__(connection)
        self.line_end_was_lfcr = False
        self.lines_as_body = 0

    def start(self) -> Step:
        if self.pos >= len(self.data):
            return Step.NEED
        exchange = self.connection.next_unanswered()
        if exchange is None:
            exchange = self.connection.open_exchange()
            exchange.raw_uri = exchange.path = exchange.normalised = _NOT_SEEN
            self.exchange = exchange
            self.flag("unable_to_match_response_to_request")
            self.connection.request_never_seen(exchange)
        self.exchange = exchange
        if exchange.old:
            exchange.response.coding = "identity"
            self.advance(Progress.BODY)
            self.state = self.read_until_close
        else:
            self.advance(Progress.LINE)
            self.state = self.read_line
        return Step.NEXT

    def read_line(self) -> Step:
        line = self._status_line_end()
        if line is None:
            return Step.NEED if not self.failed else Step.FAIL
        if is_terminator(line) or not line:
            if self.closed and self.pos >= len(self.data):
                self.state = self.finalize
            return Step.NEXT
        text = chomp(line)
        if reads_as_body(text):
            return self._line_as_body(line, text)
        if self.current.continued:
            self.current.response.raw_headers += line  # libhtp's raw header goes on over the next status line
        self._parse_line(text)
        self.connection.response_line_done(self.current)
        self.advance(Progress.HEADERS)
        self.state = self.read_headers
        return Step.NEXT

    def _status_line_end(self) -> bytes | None:
        found = _EOL.search(self.data, self.pos)
        if found is None or (found[0] == b"\r" and found.end() == len(self.data)):
            if len(self.data) - self.pos > MAX_LINE:
                self.flag("response_field_too_long")
                self.failed = True
                return None
            if not self.closed:
                return None
            line = self.data[self.pos :]
            self.pos = len(self.data)
            return line
        line = self.data[self.pos : found.end()]
        self.pos = found.end()
        return line

    def _line_as_body(self, line: bytes, text: bytes) -> Step:
        left = len(self.data) - self.pos
        if left > 1 and (self.data[self.pos : self.pos + 1] == b"H" or len(text) <= 2):
            return Step.NEXT
        self.current.response.chain = None
        self.connection.body_data(self.current, 1, line)
        if left == 0:
            self.current.response.coding = "identity"
            self.advance(Progress.BODY)
            self.state = self.finalize
        return Step.NEXT

    def _parse_line(self, line: bytes) -> None:
        exchange = self.current
        response = exchange.response
        response.line = line
        found = _STATUS_LINE.match(line)
        assert found is not None
        protocol, status = found.groups()
        buffers = exchange.transaction.buffers[1]
        if not status:
            self.flag("response_invalid_status")
        if not protocol:
            self.flag("response_invalid_protocol")
            return
        buffers["http.protocol"] = protocol
        response.version = version_of(protocol)
        if response.version == Version.INVALID:
            self.flag("response_invalid_protocol")
        if not status:
            return
        buffers["http.stat_code"] = status
        exchange.status = status_of(status)
        if exchange.status < 0:
            self.flag("response_invalid_status")
        message = line[found.end() :]
        if message:
            buffers["http.stat_msg"] = message

    # --- headers ------------------------------------------------------------------------------------------------
    def read_headers(self) -> Step:
        message = self.current.response
        if self.read_clean_headers(message):
            self.state = self.decide_body
            return Step.NEXT
        if self.failed:
            return Step.FAIL
        start = self.pos  # of the line; CR CR LF and the like make a line longer than one terminator
        while True:
            line = self._header_line_end(start)
            if line is None:
                return self._header_incomplete(start)
            if line == b"":
                continue
            before, start = start, self.pos
            message.raw_headers += self.data[before:start]
            if is_terminator(line, line_follows=self._no_lf_follows()):
                if not self.end_header(message):
                    return Step.FAIL
                self.state = self.finalize if message.trailing else self.decide_body
                if message.trailing:
                    self.connection.trailer_done(self.current, 1)
                return Step.NEXT
            if not self._header_line(message, chomp(line)):
                return Step.FAIL

    def _header_incomplete(self, start: int) -> Step:
        if self.closed and start == len(self.data):  # a line cut short never ends the response
            self.end_header(self.current.response)
            self.connection.headers_cut(self.current, 1)
            self.state = self.finalize
            return Step.NEXT
        self.pos = start
        if len(self.data) - start > MAX_LINE:
            self.flag("response_field_too_long")
            return Step.FAIL
        return Step.NEED

    def _header_line_end(self, start: int) -> bytes | None:
        """The line from `start`, ended by LF, CR LF, LF CR or a lone CR; b"" to look further, None for more bytes."""
        data = self.data
        found = _EOL.search(data, self.pos)
        if found is None:
            return None
        if found.start() > self.pos or self.pos == start:
            self.line_end_was_lfcr = self.line_end_was_lfcr and found.start() == self.pos
        end = found.end()
        if found[0] == b"\r\n":
            if self.line_end_was_lfcr and data[end : end + 2] == b"\r\n":
                start = end
                end += 2
            self.line_end_was_lfcr = False
        elif found[0] == b"\r":
            if end == len(data):
                return None
            if data[end : end + 1] == b"\r" or end - start < 2:
                self.pos = end  # CR CR LF is no empty line
                return b""
            self.line_end_was_lfcr = False
        elif data[end : end + 1] == b"\r":
            end += 1
            self.line_end_was_lfcr = True
        else:
            self.line_end_was_lfcr = False
        self.pos = end
        return data[start:end]

    def _no_lf_follows(self) -> bool:
        return self.pos < len(self.data) and self.data[self.pos : self.pos + 1] != b"\n"

    def _header_line(self, message: Message, line: bytes) -> bool:
        if line and line[:1] not in {b" ", b"\t", b"\0"}:
            if not self.end_header(message):
                return False
            self.held = line
            return True
        if not line and not self.end_header(message):  # "\r\r\n": neither the end nor a continuation
            return False
        if self.held is None:
            self.flag("invalid_response_field_folding")
            self.held = line.lstrip(b" \t\0")
        elif b":" in line and b":" in self.held and message.version == Version.V1_1:
            self.flag("invalid_response_field_folding")
            if not self.end_header(message):
                return False
            self.held = line[1:]
        elif len(self.held) < MAX_LINE:
            self.held += line
        return True

    def end_header(self, message: Message) -> bool:
        if self.held is None:
            return True
        name, value = parse_field(self.held, self.flag, self.side)
        self.held = None
        return message.headers.add(name, value, self.flag, self.side)

    # --- which body ---------------------------------------------------------------------------------------------
    def decide_body(self) -> Step:
        exchange = self.current
        message = exchange.response
        if exchange.method == b"CONNECT":
            if 200 <= exchange.status <= 299:
                message.coding = "none"
                return self._headers_done(self.finalize)
            self.connection.unblock_request()
        transfer, length = message.headers.get(b"transfer-encoding"), message.headers.field(b"content-length")
        if exchange.status == 101:
            if transfer is None and length is None:
                message.coding = "none"
                self._headers_done(self.start)
                self.connection.response_complete(exchange)
                self.exchange = None
                self.connection.switch_protocols(exchange)
                return Step.WAIT
        elif exchange.status == 100 and transfer is None and not _positive(length.value if length else b"0"):
            return self._continue(message)
        if exchange.method == b"HEAD" or (self._bodyless() and transfer is None and length is None):
            message.coding = "none"
            return self._headers_done(self.finalize)
        return self._decide_coding(message, transfer, length.value if length else None)

    def _bodyless(self) -> bool:
        status = self.current.status
        return 100 <= status <= 199 or status in {204, 304}

    def _continue(self, message: Message) -> Step:
        """100 Continue: the real answer comes next."""
        if self.current.continued:
            self.flag("100_continue_already_seen")
        self.current.continued = True
        message.headers.clear()
        self.advance(Progress.LINE)
        self.state = self.read_line
        return Step.NEXT

    def _decide_coding(self, message: Message, transfer: bytes | None, length: bytes | None) -> Step:
        chunked = transfer is not None and b"chunked" in transfer.replace(b"\0", b"").lower()
        if chunked:
            assert transfer is not None
            if transfer.lower() != b"chunked":
                self.flag("response_abnormal_transfer_encoding")
            if message.version < Version.V1_1:
                self.flag("response_chunked_old_proto")
            message.coding = "chunked"
            self.advance(Progress.BODY)
            return self._headers_done(self.read_chunk_length)
        if length is not None:
            return self._identity(message, length)
        kind = (message.headers.get(b"content-type") or b"").lower()
        if kind.partition(b";")[0].strip(SPACES).startswith(b"multipart/byteranges"):
            self.flag("response_multipart_byteranges")
            self.current.transaction.buffers[1]["http.content_type"] = message.headers.get(b"content-type")
            return Step.FAIL
        message.coding = "identity"
        self.advance(Progress.BODY)
        return self._headers_done(self.read_until_close)

    def _identity(self, message: Message, length: bytes) -> Step:
        number = content_length(length)
        message.coding = "identity"
        if number is None:
            self.flag("invalid_content_length_field_in_response")
            return Step.FAIL
        self.left = number
        if number == 0:
            return self._headers_done(self.finalize)
        self.advance(Progress.BODY)
        return self._headers_done(self.read_identity)

    def _headers_done(self, state: object) -> Step:
        self.connection.response_headers_done(self.current)
        self.state = state  # type: ignore[assignment]
        return Step.NEXT

    # --- bodies -------------------------------------------------------------------------------------------------
    def read_identity(self) -> Step:
        if self.take_counted() or self.closed:
            self.state = self.finalize
            return Step.NEXT
        return Step.NEED

    def read_until_close(self) -> Step:
        piece = self.data[self.pos :]
        if piece:
            self.pos = len(self.data)
            self.connection.body_data(self.current, 1, piece)
        if self.closed:
            self.state = self.finalize
            return Step.NEXT
        return Step.NEED

    def read_chunk_length(self) -> Step:
        end = self.data.find(b"\n", self.pos)
        if end < 0:
            if self.closed:
                self.state = self.finalize
                return Step.NEXT
            rest = self.data[self.pos :]
            if may_be_chunk_length(rest) and len(rest) <= MAX_LINE:
                return Step.NEED
            return self._not_chunked()
        length, extension = chunk_length(self.data[self.pos : end + 1])
        if extension:
            self.flag("request_chunk_extension")  # Suricata 7 has one event for both sides
        if length == ChunkLength.INVALID:
            return self._not_chunked()
        self.pos = end + 1
        if length == ChunkLength.EMPTY:
            return Step.NEXT
        self.left = length
        if length:
            self.state = self.read_chunk
        else:
            self.current.response.trailing = True
            self.advance(Progress.TRAILER)
            self.state = self.read_headers
        return Step.NEXT

    def _not_chunked(self) -> Step:
        self.flag("invalid_response_chunk_len")
        self.current.response.coding = "identity"
        self.state = self.read_until_close
        return Step.NEXT

    def read_chunk(self) -> Step:
        if self.take_counted():
            self.state = self.read_chunk_end
            return Step.NEXT
        if self.closed:
            self.state = self.finalize
            return Step.NEXT
        return Step.NEED

    def read_chunk_end(self) -> Step:
        if self.skip_line():
            self.state = self.read_chunk_length
            return Step.NEXT
        if self.closed:
            self.state = self.finalize
            return Step.NEXT
        return Step.NEED

    def finalize(self) -> Step:
        """What follows is the next response, or more of this body when it does not begin with HTTP."""
        if self.pos >= len(self.data):
            return self.complete()
        end = self.data.find(b"\n", self.pos)
        if end < 0 and not self.closed and len(self.data) - self.pos < MAX_LINE:
            return Step.NEED
        # The LF itself stays, unless it is all there is.
        stop = len(self.data) if end < 0 else max(end, self.pos + 1)
        line = self.data[self.pos : stop]
        if reads_as_body(line):
            self.pos = stop
            self.connection.body_data(self.current, 1, line)
            return Step.NEXT
        return self.complete()

    def complete(self) -> Step:
        exchange = self.current
        wait = self.connection.response_complete(exchange)
        self.exchange = None
        self.state = self.start
        return Step.WAIT if wait else Step.NEXT


def _positive(value: bytes) -> bool:
    number = content_length(value.strip(BLANKS))
    return number is not None and number > 0
