"""Content-Encoding layers as libhtp undoes them: gzip, deflate (raw or zlib), lzma; broken streams pass through.

In: encoded body bytes in pieces. Out: decoded bytes. Output leaves a layer only when 8 KiB are together, at the end of
the compressed stream, or at `finish`, as libhtp's does, so rules see the same windows. When the data is not what the
header says, a layer tries the other format (up to three times) and then hands the bytes on as they are.
Invariants: memory is bounded by one buffer a layer; a bomb (more than `bomb_limit` out and over 2048 times the input)
stops all layers.
"""

from __future__ import annotations

import lzma
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# libhtp's GZIP_BUF_SIZE: the grain in which decoded bytes reach inspection.
_BUFFER = 8192
_WINDOW = {"gzip": 47, "deflate": -15}
_OTHER = {"gzip": "deflate", "deflate": "gzip"}
_BOMB_RATIO = 2048
_MAX_RESTARTS = 3
# libhtp's lzma-memlimit default: a dictionary may not take more.
_LZMA_MEMORY = 1024 * 1024

CODINGS = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate", "x-deflate": "deflate", "lzma": "lzma"}


def gzip_header_length(data: bytes) -> int:
    """How many bytes libhtp skips of a gzip header with flags zlib refuses (it reads one extension at most)."""
    if len(data) < 4 or data[:2] != b"\x1f\x8b" or data[3] == 0:
        return 0
    flags = data[3]
    if flags & 0b11000:  # FNAME or FCOMMENT: up to its NUL
        end = data.find(b"\0", 10)
        length = (end if end >= 0 else len(data)) + 1
    else:
        length = 12 if flags & 0b10 else 10
    return length if length <= len(data) else 0


def _salvage(decoder: Any, data: bytes, room: int) -> bytes:
    """What a zlib decoder can still give before the fault in `data`: the longest prefix that does not raise."""
    good, bad, found = 0, len(data), b""
    while good + 1 < bad:
        middle = (good + bad) // 2
        try:
            found = decoder.copy().decompress(data[:middle], room)
        except zlib.error:
            bad = middle
        else:
            good = middle
    return found


class Layer:
    """One coding of a body."""

    __slots__ = ("_dead", "_decoder", "_emit", "_kind", "_note", "_passthrough", "_pending", "_restarts")

    def __init__(self, kind: str, emit: Callable[[bytes], None], note: Callable[[str], None]) -> None:
        self._kind = kind
        self._emit = emit
        self._note = note
        self._decoder: Any = _make(kind)
        self._pending = bytearray()
        self._restarts = 0
        self._passthrough = False
        self._dead = False

    def feed(self, data: bytes) -> None:
        if self._passthrough:
            self._emit(data)
            return
        rest = data
        while rest and not self._dead:
            if len(self._pending) >= _BUFFER:
                self._flush()
            try:
                rest = self._step(rest)
            except (zlib.error, lzma.LZMAError, EOFError):
                self._note("gzip_decompression_failed")
                skip = self._restart(data)
                if skip < 0:
                    self._passthrough = True
                    self._emit(data)
                    return
                rest = data[skip:]

    def finish(self) -> None:
        self._flush()

    def _flush(self) -> None:
        if self._pending:
            out = bytes(self._pending)
            self._pending.clear()
            self._emit(out)

    def _step(self, data: bytes) -> bytes:
        """Decode up to one buffer; returns the input that is left. Raises when nothing at all could be decoded."""
        room = _BUFFER - len(self._pending)
        decoder = self._decoder
        if decoder is None:
            raise zlib.error
        if self._kind == "lzma":
            self._pending += decoder.decompress(data, room)
            while not decoder.drained and not self._dead:
                self._flush()
                self._pending += decoder.decompress(b"", _BUFFER)
            return b""
        snapshot = decoder.copy()
        try:
            self._pending += decoder.decompress(data, room)
        except zlib.error:
            self._pending += _salvage(snapshot, data, room)
            self._decoder = None
            if not self._pending or self._restarts:
                self._pending.clear()
                raise
            self._note("gzip_decompression_failed")
            self._flush()
            return b""
        if decoder.eof:
            self._flush()
            return b""  # bytes after the end are dropped, as by libhtp
        return bytes(decoder.unconsumed_tail)

    def _restart(self, data: bytes) -> int:
        """Bytes of `data` to skip before the next try, or -1 when all tries are used up."""
        if self._kind == "lzma" or self._restarts >= _MAX_RESTARTS:
            return -1
        if self._restarts > 0:
            self._kind = _OTHER[self._kind]
        self._restarts += 1
        self._decoder = _make(self._kind)
        self._pending.clear()
        return gzip_header_length(data)

    def stop(self) -> None:
        self._dead = True
        self._pending.clear()


class _Lzma:
    """LZMA-alone whose dictionary never grows beyond _LZMA_MEMORY, whatever its header asks for."""

    __slots__ = ("_decoder", "_header")

    def __init__(self) -> None:
        self._header = b""
        self._decoder: lzma.LZMADecompressor | None = None

    def decompress(self, data: bytes, room: int) -> bytes:
        if self._decoder is None:
            self._header += data
            if len(self._header) < 5:
                return b""
            asked = int.from_bytes(self._header[1:5], "little")
            size = min(asked, _LZMA_MEMORY).to_bytes(4, "little")
            data = self._header[:1] + size + self._header[5:]
            self._decoder = lzma.LZMADecompressor(lzma.FORMAT_ALONE)
        return self._decoder.decompress(data, room)

    @property
    def drained(self) -> bool:
        return self._decoder is None or self._decoder.needs_input or self._decoder.eof


def _make(kind: str) -> Any:
    if kind == "lzma":
        return _Lzma()
    return zlib.decompressobj(_WINDOW[kind])


class Chain:
    """All codings of one body, the first one listed undone first."""

    __slots__ = ("_bomb_limit", "_layers", "_note", "_sink", "seen", "written")

    def __init__(
        self, kinds: list[str], sink: Callable[[bytes], None], note: Callable[[str], None], bomb_limit: int
    ) -> None:
        self._sink = sink
        self._note = note
        self._bomb_limit = bomb_limit
        self.seen = self.written = 0
        self._layers: list[Layer] = []
        emit = self._emit
        for kind in reversed(kinds):
            layer = Layer(kind, emit, note)
            self._layers.insert(0, layer)
            emit = layer.feed

    def feed(self, data: bytes) -> None:
        self.seen += len(data)
        self._layers[0].feed(data)

    def finish(self) -> None:
        for layer in self._layers:
            layer.finish()

    def _emit(self, data: bytes) -> None:
        self.written += len(data)
        self._sink(data)
        if self.written > self._bomb_limit and self.written > _BOMB_RATIO * self.seen:
            self._note("compression_bomb")
            for layer in self._layers:
                layer.stop()
