"""HTTP/2 (RFC 9113): one transaction a stream, and one for each frame of stream 0, as Suricata 7 makes them.

In: both directions of a flow. Out: transactions "http2" with the http.* buffers of their stream, http2.* values, and
the bodies as files. Progress: 0 idle, 1 open, ... 7 closed. Invariants: at most MAX_STREAMS streams, one frame and one
header block (64 KiB) are held; frames of unknown length beyond a limit are skipped, not stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sentinel.protocol.apps.hpack import Hpack
from sentinel.protocol.apps.inflate import CODINGS, Chain
from sentinel.protocol.apps.session import append_file, close_file, open_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.model import File, Transaction
    from sentinel.protocol.apps.http1_message import Exchange
    from sentinel.protocol.apps.session import Session

MAGIC = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _PRIORITY, _RST, _SETTINGS, _PUSH, _PING, _GOAWAY, _WINDOW, _CONTINUATION = range(10)
_END_STREAM, _END_HEADERS, _PADDED, _HAS_PRIORITY = 0x1, 0x4, 0x8, 0x20
# Suricata: max-streams, max-reassembly-size; frames above are skipped.
MAX_STREAMS = 4096
_MAX_HELD = 102400
_MAX_FRAMES = 65536
_OPEN, _CLOSED, _GLOBAL = 1, 7, 8

_REQUEST = {
    b":method": "http.method", b":path": "http.uri.raw", b"user-agent": "http.user_agent", b"cookie": "http.cookie",
    b"referer": "http.referer", b"accept": "http.accept", b"accept-encoding": "http.accept_enc",
    b"accept-language": "http.accept_lang", b"connection": "http.connection",
    b"content-type": "http.content_type", b"content-length": "http.content_len",
}  # fmt: skip
_RESPONSE = {
    b":status": "http.stat_code", b"set-cookie": "http.cookie", b"server": "http.server",
    b"location": "http.location", b"content-type": "http.content_type", b"content-length": "http.content_len",
    b"connection": "http.connection",
}  # fmt: skip


@dataclass(slots=True, eq=False)
class Stream:
    """What the parser keeps of a transaction."""

    transaction: Transaction
    number: int
    fields: tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]] = field(
        default_factory=lambda: ([], [])
    )
    ended: list[bool] = field(default_factory=lambda: [False, False])
    files: list[File | None] = field(default_factory=lambda: [None, None])
    chains: list[Chain | None] = field(default_factory=lambda: [None, None])
    block: bytearray = field(default_factory=bytearray)

    def get(self, direction: int, name: bytes) -> bytes | None:
        found = [value for key, value in self.fields[direction] if key == name]
        return b", ".join(found) if found else None


class Http2:
    """The parser of one flow. After an upgrade from HTTP/1 (`upgraded`) stream 1 is already open."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.hpack = [Hpack(), Hpack()]
        self.rest = [b"", b""]
        self.skip = [0, 0]
        self.streams: dict[int, Stream] = {}
        self.magic_seen = False
        self.frames = 0
        if session.upgraded is not None:
            self._mimic(session.upgraded)

    def _mimic(self, exchange: Exchange) -> None:
        """After an upgrade the HTTP/1 request is stream 1 (RFC 7540 section 3.2)."""
        stream = self._stream(1)
        self.magic_seen = False
        fields = [(b":method", exchange.method or b""), (b":path", exchange.raw_uri or b"/")]
        fields += [
            (b":authority" if header.name.lower() == b"host" else header.name, header.value)
            for header in exchange.request.headers.items
        ]
        stream.fields[0].extend(fields)
        self._expose(stream, 0, stream.transaction.buffers[0])
        self._end(stream, 0)

    def feed(self, direction: int, data: bytes, *, gap: int = 0, eof: bool = False) -> bool:
        if gap:
            return False
        data = self.rest[direction] + data
        pos = 0
        if direction == 0 and not self.magic_seen:
            if len(data) < len(MAGIC) and MAGIC.startswith(data):
                self.rest[0] = data
                return True
            self.magic_seen = True
            if data.startswith(MAGIC):
                pos = len(MAGIC)
            else:
                self._global_event("invalid_client_magic")
        good = True
        while pos < len(data) and good:
            if self.skip[direction]:
                size = min(self.skip[direction], len(data) - pos)
                self.skip[direction] -= size
                pos += size
                continue
            used = self._frame(direction, data, pos)
            if used == 0:
                break
            good = used > 0
            pos += max(used, 0)
        self.rest[direction] = data[pos:] if good else b""
        if eof:
            self._close_all(direction)
        return good

    def _close_all(self, direction: int) -> None:
        for stream in self.streams.values():
            close_file(stream.files[direction], truncated=not stream.ended[direction])
            stream.transaction.done[direction] = True
            self.session.touch(stream.transaction)

    # --- frames -------------------------------------------------------------------------------------------------
    def _frame(self, direction: int, data: bytes, pos: int) -> int:
        """Bytes consumed, 0 for more input, -1 to give up."""
        if len(data) - pos < 9:
            return 0
        length = int.from_bytes(data[pos : pos + 3], "big")
        kind, flags = data[pos + 3], data[pos + 4]
        number = int.from_bytes(data[pos + 5 : pos + 9], "big") & 0x7FFFFFFF
        if kind > 20:
            self._global_event("invalid_frame_header")
            return -1
        if length > _MAX_HELD:
            self._global_event("long_frame_data")
            self.skip[direction] = length
            return 9
        if len(data) - pos < 9 + length:
            return 0
        self.frames += 1
        if self.frames > _MAX_FRAMES:
            self._global_event("too_many_frames")
            return -1
        self._handle(direction, kind, flags, number, data[pos + 9 : pos + 9 + length])
        return 9 + length

    def _handle(self, direction: int, kind: int, flags: int, number: int, payload: bytes) -> None:
        stream = self._stream(number)
        buffers = stream.transaction.buffers[direction]
        buffers.setdefault("http2.frametype", []).append(kind)
        reader = _READERS.get(kind)
        if reader is not None:
            reader(self, stream, direction, flags, payload)
        if number == 0:
            # Stream 0 has nothing to wait for: a transaction a frame.
            stream.transaction.progress[:] = [_GLOBAL, _GLOBAL]
            stream.transaction.done[:] = [True, True]
        elif kind in {_DATA, _HEADERS} and flags & _END_STREAM:
            self._end(stream, direction)
        self.session.touch(stream.transaction)

    def _stream(self, number: int) -> Stream:
        known = self.streams.get(number) if number else None
        if known is not None:
            return known
        if len(self.streams) >= MAX_STREAMS:
            self._global_event("too_many_streams")
            del self.streams[next(iter(self.streams))]
        transaction = self.session.begin("http2")
        transaction.derive = derive
        stream = Stream(transaction, number)
        transaction.parser_state = stream
        for buffers in transaction.buffers:
            buffers["http.protocol"] = b"HTTP/2"
        transaction.buffers[1]["http.stat_msg"] = b""
        if number:
            self.streams[number] = stream
        return stream

    def _end(self, stream: Stream, direction: int) -> None:
        stream.ended[direction] = True
        chain = stream.chains[direction]
        if chain is not None:
            chain.finish()
        close_file(stream.files[direction])
        stream.transaction.progress[direction] = _CLOSED
        stream.transaction.done[direction] = True
        if all(stream.ended):
            self.streams.pop(stream.number, None)

    def _global_event(self, event: str) -> None:
        live = self.session.flow.transactions
        transaction = live[-1] if live else self.session.begin("http2")
        self.session.flag(transaction, event)

    # --- kinds of frames ----------------------------------------------------------------------------------------
    def _headers(self, stream: Stream, direction: int, flags: int, payload: bytes) -> None:
        pad = payload[0] if flags & _PADDED and payload else 0
        start = 1 if flags & _PADDED else 0
        if flags & _HAS_PRIORITY:
            if len(payload) >= start + 5:
                stream.transaction.buffers[direction].setdefault("http2.priority", []).append(
                    payload[start + 4]
                )
            start += 5
        stream.block = bytearray(payload[start : len(payload) - pad])
        if flags & _END_HEADERS:
            self._block(stream, direction)

    def _continuation(self, stream: Stream, direction: int, flags: int, payload: bytes) -> None:
        if len(stream.block) + len(payload) > _MAX_HELD:
            self.session.flag(stream.transaction, "reassembly_limit_reached")
            return
        stream.block += payload
        if flags & _END_HEADERS:
            self._block(stream, direction)

    def _push(self, stream: Stream, direction: int, flags: int, payload: bytes) -> None:
        pad = payload[0] if flags & _PADDED and payload else 0
        start = 5 if flags & _PADDED else 4
        stream.block = bytearray(payload[start : len(payload) - pad])
        if flags & _END_HEADERS:
            self._block(stream, direction)

    def _block(self, stream: Stream, direction: int) -> None:
        decoder = self.hpack[direction]
        fields = decoder.decode(bytes(stream.block))
        stream.block.clear()
        buffers = stream.transaction.buffers[direction]
        if decoder.damaged:
            self.session.flag(stream.transaction, "invalid_header")
        if decoder.resized:
            buffers.setdefault("http2.size_update", []).extend(decoder.resized)
        stream.fields[direction].extend(fields[: 1024 - len(stream.fields[direction])])
        self._expose(stream, direction, buffers)
        stream.transaction.progress[direction] = max(stream.transaction.progress[direction], _OPEN)

    def _expose(self, stream: Stream, direction: int, buffers: dict[str, Any]) -> None:
        for name, buffer in (_RESPONSE if direction else _REQUEST).items():
            value = stream.get(direction, name)
            if value is not None:
                buffers[buffer] = value
        if stream.fields[direction]:
            buffers["http2.header_name"] = [name for name, _ in stream.fields[direction]]
        if direction:
            if "http.stat_code" in buffers:
                buffers["http.response_line"] = b"HTTP/2 %b\r\n" % buffers["http.stat_code"]
            return
        if "http.uri.raw" in buffers:
            buffers["http.uri"] = buffers["http.uri.raw"]
            if "http.method" in buffers:
                buffers["http.request_line"] = b"%b %b HTTP/2\r\n" % (
                    buffers["http.method"],
                    buffers["http.uri"],
                )
        self._host(stream, buffers)

    def _host(self, stream: Stream, buffers: dict[str, Any]) -> None:
        authority, host = stream.get(0, b":authority"), stream.get(0, b"host")
        raw = authority if authority is not None else host
        if raw is None:
            return
        buffers["http.host.raw"] = raw
        name = raw.rpartition(b"@")[2].lower()
        if b"@" in raw:
            self.session.flag(stream.transaction, "userinfo_in_uri")
        if not name.startswith(b"["):
            name = name.partition(b":")[0]
        buffers["http.host"] = name
        if authority is not None and host is not None and authority.lower() != host.lower():
            self.session.flag(stream.transaction, "authority_host_mismatch")

    def _data(self, stream: Stream, direction: int, flags: int, payload: bytes) -> None:
        if stream.number == 0:
            self.session.flag(stream.transaction, "data_stream_zero")
            return
        if flags & _PADDED and payload:
            payload = payload[1 : len(payload) - payload[0]]
        if not payload:
            return
        if stream.files[direction] is None:
            stream.files[direction] = open_file(
                stream.transaction, b"", direction
            )  # Suricata gives it no name
            stream.chains[direction] = self._chain(stream, direction)
        chain = stream.chains[direction]
        if chain is not None:
            chain.feed(payload)
        else:
            append_file(stream.files[direction], payload)

    def _chain(self, stream: Stream, direction: int) -> Chain | None:
        coding = (stream.get(direction, b"content-encoding") or b"").strip().lower().decode("latin-1")
        kind = CODINGS.get(coding)
        if kind is None or kind == "lzma":
            return None

        def sink(data: bytes) -> None:
            append_file(stream.files[direction], data)

        def note(_: str) -> None:
            self.session.flag(stream.transaction, "failed_decompression")

        return Chain([kind], sink, note, self.session.options.http.bomb_limit)

    def _priority(self, stream: Stream, direction: int, flags: int, payload: bytes) -> None:
        if len(payload) >= 5:
            stream.transaction.buffers[direction].setdefault("http2.priority", []).append(payload[4])

    def _error(self, stream: Stream, direction: int, flags: int, payload: bytes) -> None:
        code = payload[-4:] if len(payload) == 4 else payload[4:8]
        if len(code) == 4:
            stream.transaction.buffers[direction].setdefault("http2.errorcode", []).append(
                int.from_bytes(code, "big")
            )
        if len(payload) == 4 and stream.number:  # RST_STREAM ends the stream at once
            for side in (0, 1):
                self._end(stream, side)

    def _settings(self, stream: Stream, direction: int, flags: int, payload: bytes) -> None:
        if len(payload) % 6:
            self.session.flag(stream.transaction, "invalid_frame_data")
        pairs = [
            (int.from_bytes(payload[i : i + 2], "big"), int.from_bytes(payload[i + 2 : i + 6], "big"))
            for i in range(0, len(payload) - 5, 6)
        ]
        if pairs:
            stream.transaction.buffers[direction].setdefault("http2.settings", []).extend(pairs[:4096])
        for number, value in pairs:
            if number == 1:  # the size this side allows is the limit of what the other side sends
                self.hpack[1 - direction].limit = min(value, 65536)

    def _window(self, stream: Stream, direction: int, flags: int, payload: bytes) -> None:
        if len(payload) == 4:
            stream.transaction.buffers[direction].setdefault("http2.window", []).append(
                int.from_bytes(payload, "big") & 0x7FFFFFFF
            )


_READERS: dict[int, Callable[[Http2, Stream, int, int, bytes], None]] = {
    _DATA: Http2._data,  # noqa: SLF001
    _HEADERS: Http2._headers,  # noqa: SLF001
    _PRIORITY: Http2._priority,  # noqa: SLF001
    _RST: Http2._error,  # noqa: SLF001
    _SETTINGS: Http2._settings,  # noqa: SLF001
    _PUSH: Http2._push,  # noqa: SLF001
    _GOAWAY: Http2._error,  # noqa: SLF001
    _WINDOW: Http2._window,  # noqa: SLF001
    _CONTINUATION: Http2._continuation,  # noqa: SLF001
}


# --- buffers on demand ---------------------------------------------------------------------------------------------
def _header(stream: Stream, direction: int) -> bytes | None:
    fields = stream.fields[direction]
    return b"".join(b"%b: %b\r\n" % pair for pair in fields) if fields else None


def _header_names(stream: Stream, direction: int) -> bytes | None:
    fields = stream.fields[direction]
    return b"\r\n" + b"".join(b"%b\r\n" % name for name, _ in fields) + b"\r\n" if fields else None


def _each(stream: Stream, direction: int) -> list[bytes] | None:
    return [b"%b: %b" % pair for pair in stream.fields[direction]] or None


def _body(stream: Stream, direction: int) -> bytes | None:
    file = stream.files[direction]
    return bytes(file.data) if file is not None else None


def _eve(stream: Stream, direction: int) -> dict[str, Any]:
    request, response = stream.transaction.buffers
    http: dict[str, Any] = {"version": "2"}
    names = (
        ("hostname", request.get("http.host")), ("url", request.get("http.uri")),
        ("http_user_agent", request.get("http.user_agent")), ("http_method", request.get("http.method")),
    )  # fmt: skip
    for name, value in names:
        if value:
            http[name] = value.decode("utf-8", "replace")
    status = response.get("http.stat_code", b"")
    if status.isdigit() and len(status) == 3:
        http["status"] = int(status)
    if stream.files[1] is not None:
        http["length"] = stream.files[1].size
    http["http2"] = {"stream_id": stream.number}
    return {"http": http}


_DERIVED: dict[str, Callable[[Stream, int], Any]] = {
    "http.header": _header,
    "http.header.raw": _header,
    "http.header_names": _header_names,
    "http.request_header": lambda stream, direction: None if direction else _each(stream, 0),
    "http.response_header": lambda stream, direction: _each(stream, 1) if direction else None,
    "http.request_body": lambda stream, direction: None if direction else _body(stream, 0),
    "http.response_body": lambda stream, direction: _body(stream, 1) if direction else None,
    "eve": _eve,
}


def derive(transaction: Transaction, direction: int, name: str) -> Any:
    make = _DERIVED.get(name)
    return None if make is None else make(transaction.parser_state, direction)
