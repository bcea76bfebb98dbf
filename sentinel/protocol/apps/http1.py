"""An HTTP/1 connection: exchanges from both directions of a flow, with the buffers rules look at.

In: in-order bytes (`feed`). Out: transactions of protocol "http"; Transaction.parser_state is the Exchange, and
`http1_buffers.derive` makes the costly buffers from it. Semantics are libhtp's (IDS personality) under Suricata 7.0.10.
Invariant: a body is kept up to its limit, everything else is bounded by MAX_LINE and MAX_HEADERS.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sentinel.protocol.apps import http1_buffers, http1_files, http1_uri
from sentinel.protocol.apps.http1_message import Exchange, Progress
from sentinel.protocol.apps.http1_request import RequestSide
from sentinel.protocol.apps.http1_response import ResponseSide
from sentinel.protocol.apps.inflate import CODINGS, Chain

if TYPE_CHECKING:
    from sentinel.protocol.apps.session import Session

_CODING_LIST = re.compile(rb"[, ]+")
_NO_CODING = frozenset({b"inflate", b"none"})
# Unanswered requests a connection may hold; a client that never reads answers gives up its oldest.
_MAX_WAITING = 512


class Http1:
    """The parser of one flow."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.options = session.options.http
        self.request = RequestSide(self)
        self.response = ResponseSide(self)
        self.waiting: list[Exchange] = []
        self.answered = 0
        self.tunnelled = False

    # --- input --------------------------------------------------------------------------------------------------
    def feed(self, direction: int, data: bytes, *, gap: int = 0, eof: bool = False) -> bool:
        side = self.response if direction else self.request
        if self.tunnelled:
            return True
        if gap and not side.over:
            side.skip_gap(gap)
        if data:
            side.run(data)
        if eof:
            self._end(direction, side)
        if side.over:
            self._stop(direction)
            return self.tunnelled
        if direction == 1 and not self.request.over:
            self.request.run(b"")  # it may have waited for this answer
        elif direction == 0 and self.response.pos < len(self.response.data):
            self.response.run(b"")
        return True

    def _end(self, direction: int, side: RequestSide | ResponseSide) -> None:
        """The end of one side; that of the server is the end of the connection."""
        for each in (side,) if direction == 0 else (side, self.request):
            if not each.closed:
                each.closed = True
                each.run(b"")
        if direction == 0:
            self._close_requests()

    def _close_requests(self) -> None:
        for exchange in self.waiting:
            if not exchange.transaction.done[0]:
                exchange.transaction.done[0] = True
                self.session.touch(exchange.transaction, 0)

    def _stop(self, direction: int) -> None:
        """A direction that cannot be read further ends all its transactions, so that rules see what there is."""
        for exchange in self.waiting:
            exchange.transaction.done[direction] = True
            http1_files.close(exchange, direction, truncated=True)
            self.session.touch(exchange.transaction)

    # --- bookkeeping of the sides -------------------------------------------------------------------------------
    def open_exchange(self) -> Exchange:
        transaction = self.session.begin("http")
        exchange = Exchange(transaction)
        transaction.parser_state = exchange
        transaction.derive = http1_buffers.derive
        self.waiting.append(exchange)
        if len(self.waiting) > _MAX_WAITING:
            del self.waiting[0]
            self.answered = max(self.answered - 1, 0)
        return exchange

    def next_unanswered(self) -> Exchange | None:
        if self.answered < len(self.waiting):
            self.answered += 1
            return self.waiting[self.answered - 1]
        return None

    def request_never_seen(self, exchange: Exchange) -> None:
        self.answered += 1
        exchange.transaction.buffers[0]["http.uri"] = exchange.normalised
        exchange.transaction.buffers[0]["http.uri.raw"] = exchange.raw_uri
        exchange.uri = http1_uri.Uri(path=exchange.path)
        self.advance(exchange, 0, Progress.COMPLETE)
        exchange.transaction.done[0] = True

    def flag(self, exchange: Exchange, event: str) -> None:
        self.session.flag(exchange.transaction, event)

    def progress(self, exchange: Exchange, direction: int) -> int:
        return exchange.transaction.progress[direction]

    def advance(self, exchange: Exchange, direction: int, progress: Progress) -> None:
        exchange.transaction.progress[direction] = int(progress)
        self.session.touch(exchange.transaction, direction)

    # --- request ------------------------------------------------------------------------------------------------
    def request_line_done(self, exchange: Exchange) -> None:
        buffers = exchange.transaction.buffers[0]
        buffers["http.request_line"] = exchange.request.line
        if exchange.method is not None:
            buffers["http.method"] = exchange.method
        if exchange.raw_uri is None:
            return
        buffers["http.uri.raw"] = exchange.raw_uri
        if exchange.method == b"CONNECT":
            uri = http1_uri.Uri()
            http1_uri.split_authority(exchange.raw_uri, uri)
        else:
            uri = http1_uri.split(exchange.raw_uri)
        exchange.uri = uri
        self._normalise(exchange, uri)
        if exchange.normalised is not None:
            buffers["http.uri"] = exchange.normalised

    def _normalise(self, exchange: Exchange, uri: http1_uri.Uri) -> None:
        path = None if uri.path is None else http1_uri.normalise_path(uri.path)
        query = uri.query
        if self.options.double_decode_path and path is not None and http1_uri.still_encoded(path):
            path = http1_uri.normalise_query(path)
            self.flag(exchange, "double_encoded_uri")
        if query is not None:
            query = http1_uri.normalise_query(query)
            if self.options.double_decode_query and http1_uri.still_encoded(query):
                query = http1_uri.normalise_query(query)
                self.flag(exchange, "double_encoded_uri")
        exchange.path = path
        parts = [path or b""]
        if query is not None:
            parts += [b"?", query]
        if uri.fragment is not None:
            parts += [b"#", http1_uri.normalise_query(uri.fragment)]
        exchange.normalised = b"".join(parts)

    def request_headers_done(self, exchange: Exchange) -> None:
        http1_buffers.expose_request(exchange)
        exchange.request.chain = self._chain(exchange, 0)
        http1_files.setup_request(exchange)
        self.session.touch(exchange.transaction, 0)

    def headers_so_far(self, exchange: Exchange, direction: int) -> None:
        http1_buffers.expose_fields(exchange, direction)
        self.session.touch(exchange.transaction, direction)

    def headers_cut(self, exchange: Exchange, direction: int) -> None:
        """The connection ended within a header block."""
        http1_buffers.expose_whole(exchange, direction)
        self.session.touch(exchange.transaction, direction)

    def trailer_done(self, exchange: Exchange, direction: int) -> None:
        message = exchange.message(direction)
        buffers = exchange.transaction.buffers[direction]
        buffers["http.header.raw"] = bytes(message.raw_headers)
        buffers["http.trailer"] = 1
        self.session.touch(exchange.transaction, direction)

    def request_complete(self, exchange: Exchange) -> None:
        self._finish_body(exchange, 0)
        self.advance(exchange, 0, Progress.COMPLETE)
        exchange.transaction.done[0] = True
        http1_files.close(exchange, 0)
        self.session.trigger_raw(0)

    # --- response -----------------------------------------------------------------------------------------------
    def response_line_done(self, exchange: Exchange) -> None:
        exchange.transaction.buffers[1]["http.response_line"] = exchange.response.line
        self.session.touch(exchange.transaction, 1)

    def response_headers_done(self, exchange: Exchange) -> None:
        http1_buffers.expose_whole(exchange, 1)
        if exchange.response.coding != "none":
            exchange.response.chain = self._chain(exchange, 1)
        self.session.touch(exchange.transaction, 1)

    def response_complete(self, exchange: Exchange) -> bool:
        """True when the request side has to go on before the next response."""
        self._finish_body(exchange, 1)
        self.advance(exchange, 1, Progress.COMPLETE)
        exchange.transaction.done[1] = True
        http1_files.close(exchange, 1)
        self.session.trigger_raw(1)
        if exchange in self.waiting:
            self.waiting.remove(exchange)
            self.answered = max(self.answered - 1, 0)
        if exchange.method == b"CONNECT" and 200 <= exchange.status <= 299:
            if exchange.transaction.index == 0:
                self.session.change = ""
                self.tunnel()
                exchange.transaction.progress[:] = [int(Progress.COMPLETE)] * 2
                exchange.transaction.done[:] = [True, True]
            return True
        return False

    def unblock_request(self) -> None:
        """A refused CONNECT: the client goes on with HTTP; its side looks again when we return."""

    def switch_protocols(self, exchange: Exchange) -> None:
        """101: the bytes behind the headers are another protocol's; only HTTP/2 is one we know of."""
        upgrade = exchange.response.headers.get(b"upgrade") or b""
        if upgrade == b"h2c" and self.session.wanted:
            # Already changing, and this is not what was to come.
            self.flag(exchange, "failed_protocol_change")
        elif upgrade == b"h2c":
            self.session.change = "http2"
            self.session.upgraded = exchange
        self.tunnel()

    def leftover(self, direction: int) -> bytes:
        """What was not read of a direction when the protocol changed."""
        side = self.response if direction else self.request
        return side.data[side.pos :]

    def tunnel(self) -> None:
        self.tunnelled = True

    # --- bodies -------------------------------------------------------------------------------------------------
    def _chain(self, exchange: Exchange, direction: int) -> Chain | None:
        message = exchange.message(direction)
        value = message.headers.get(b"content-encoding")
        if value is None:
            return None
        kinds = self._codings(exchange, value.replace(b"\0", b"").lower())
        if not kinds:
            return None

        def sink(data: bytes) -> None:
            self._store(exchange, direction, data)

        def note(event: str) -> None:
            self.flag(exchange, event)

        return Chain(kinds, sink, note, self.options.bomb_limit)

    def _codings(self, exchange: Exchange, value: bytes) -> list[str]:
        whole = CODINGS.get(value.decode("latin-1"))
        if whole is not None:
            return [whole] if whole != "lzma" or self.options.lzma else []
        kinds: list[str] = []
        for position, token in enumerate(filter(None, _CODING_LIST.split(value))):
            if self.options.decompress_layers and position >= self.options.decompress_layers:
                self.flag(exchange, "too_many_encoding_layers")
                break
            kind = next((kind for kind in ("gzip", "deflate") if kind.encode() in token), None)
            if kind is not None and token.decode("latin-1") not in CODINGS:
                self.flag(exchange, "abnormal_ce_header")
            elif kind is None and token == b"lzma" and self.options.lzma:
                kind = "lzma"
            elif kind is None and token not in _NO_CODING:
                self.flag(exchange, "abnormal_ce_header")
            if kind is not None:
                kinds.append(kind)
        return kinds

    def body_data(self, exchange: Exchange, direction: int, data: bytes) -> None:
        message = exchange.message(direction)
        if message.chain is not None:
            message.chain.feed(data)
        else:
            self._store(exchange, direction, data)

    def _finish_body(self, exchange: Exchange, direction: int) -> None:
        message = exchange.message(direction)
        if message.chain is not None:
            message.chain.finish()
            message.chain = None

    def _store(self, exchange: Exchange, direction: int, data: bytes) -> None:
        if not data:
            return
        message = exchange.message(direction)
        limit = self.options.response_body_limit if direction else self.options.request_body_limit
        room = len(data) if limit == 0 else max(limit - message.body_seen, 0)
        kept = data if room >= len(data) else data[:room]
        message.body_seen += len(data)
        message.body += kept
        name = "http.response_body_seen" if direction else "http.request_body_seen"
        exchange.transaction.buffers[direction][name] = message.body_seen
        http1_files.body_data(self.session, exchange, direction, kept)
        self.session.touch(exchange.transaction, direction)
