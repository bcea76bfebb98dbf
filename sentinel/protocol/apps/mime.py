"""MIME messages (RFC 5322, 2045, 2047, 2231) as they pass line by line: headers, parts, decoded attachments.

In: lines of an e-mail without their end. Out: header fields of the message, and for every part with a name (or every
leaf part, as Suricata does) one file with decoded content. Invariants: nesting, header size and the number of files are
bounded; a line is handled once.
"""

from __future__ import annotations

import base64
import binascii
import quopri
import re
from typing import TYPE_CHECKING

from sentinel.protocol.apps.session import append_file, close_file, open_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.model import File, Transaction

# Suricata: MAX_HEADER_VALUE, header-value-depth; nesting bounded by its stack of entities.
_MAX_HEADER = 16384
_MAX_DEPTH = 32
_MAX_NAME = 512
_PARAMETER = re.compile(rb";\s*([A-Za-z0-9*_.\-]+)\s*=\s*(\"(?:[^\"\\]|\\.)*\"?|[^;\s]*)")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]+")
_ENCODED_WORD = re.compile(rb"=\?[^?]*\?([BbQq])\?([^?]*)\?=")


def parameters(value: bytes) -> dict[bytes, bytes]:
    """Parameters of a Content-* field; continuations (name*0, name*1) are joined (RFC 2231)."""
    found: dict[bytes, bytes] = {}
    for name, raw in _PARAMETER.findall(value):
        key = name.lower()
        text = raw.strip(b'"')
        base, star, number = key.partition(b"*")
        if star and number.strip(b"*").isdigit():
            found[base] = found.get(base, b"") + text
        else:
            found.setdefault(base if star else key, text)
    return found


def decode_words(value: bytes) -> bytes:
    def decode(word: re.Match[bytes]) -> bytes:
        try:
            if word[1] in b"Bb":
                return base64.b64decode(word[2])
        except binascii.Error:
            return word[0]
        return quopri.decodestring(word[2], header=True)

    return _ENCODED_WORD.sub(decode, value)


class Part:
    """One entity: its headers until the empty line, then its content."""

    __slots__ = ("boundary", "encoding", "fields", "file", "in_body", "message", "name", "rest")

    def __init__(self) -> None:
        self.fields: list[list[bytes]] = []
        self.in_body = False
        self.boundary = b""
        self.encoding = b""
        self.name = b""
        self.message = False
        self.rest = b""
        self.file: File | None = None

    def get(self, name: bytes) -> bytes:
        for field in self.fields:
            if field[0] == name:
                return field[1]
        return b""


class Mime:
    """One e-mail; `line` takes its lines in order, `finish` ends it."""

    def __init__(
        self, transaction: Transaction, flag: Callable[[str], None], touch: Callable[[], None]
    ) -> None:
        self.transaction = transaction
        self.flag = flag
        self.touch = touch
        self.stack = [Part()]
        self.root = self.stack[0]
        self.header_bytes = 0

    def line(self, line: bytes, ending: bytes = b"\r\n") -> None:
        part = self.stack[-1]
        if line.startswith(b"--") and self._boundary(line):
            return
        if part.in_body:
            self._content(part, line, ending)
        elif line:
            self._header(part, line)
        else:
            self._begin_body(part)

    def finish(self) -> None:
        while self.stack:
            self._end(self.stack.pop())

    def _boundary(self, line: bytes) -> bool:
        text = line[2:].rstrip(b" \t")
        for depth in range(len(self.stack) - 1, -1, -1):
            mark = self.stack[depth].boundary
            if not mark or not text.startswith(mark):
                continue
            closing = text[len(mark) :]
            if closing not in {b"", b"--"}:
                continue
            while len(self.stack) > depth + 1:
                self._end(self.stack.pop())
            if not closing:
                self.stack.append(Part())
            return True
        return False

    def _header(self, part: Part, line: bytes) -> None:
        self.header_bytes += len(line)
        if self.header_bytes > _MAX_HEADER:
            self.flag("mime_long_header_value")
            return
        if line[:1] in {b" ", b"\t"}:
            if part.fields:
                part.fields[-1][1] += b" " + line.strip()
            return
        name, colon, value = line.partition(b":")
        if not colon:
            self.flag("mime_invalid_header")
            # Text without headers is the body already.
            part.in_body = part is not self.root
            return
        part.fields.append([name.strip().lower(), value.strip()])

    def _begin_body(self, part: Part) -> None:
        part.in_body = True
        kind = part.get(b"content-type")
        disposition = part.get(b"content-disposition")
        part.encoding = part.get(b"content-transfer-encoding").lower()
        known = parameters(b";" + kind.partition(b";")[2])
        name = parameters(b";" + disposition.partition(b";")[2]).get(b"filename") or known.get(b"name") or b""
        part.name = decode_words(name)
        lower = kind.lower()
        if lower.startswith(b"multipart/") and len(self.stack) < _MAX_DEPTH:
            part.boundary = known.get(b"boundary", b"")
            return
        if lower.startswith(b"message/rfc822") and len(self.stack) < _MAX_DEPTH:
            part.message = True
            self.stack.append(Part())
            return
        if len(part.name) > _MAX_NAME:
            self.flag("mime_long_filename")
            part.name = part.name[:_MAX_NAME]
        if part.name:
            part.file = open_file(self.transaction, part.name, 0)
            self.touch()

    def _content(self, part: Part, line: bytes, ending: bytes) -> None:
        if part.file is None:
            return
        if part.encoding == b"base64":
            self._base64(part, line)
        elif part.encoding == b"quoted-printable":
            soft = line.rstrip(b" \t").endswith(b"=")
            decoded = quopri.decodestring(line)
            append_file(part.file, decoded if soft else decoded + ending)
        else:
            append_file(part.file, line + ending)
        self.touch()

    def _base64(self, part: Part, line: bytes) -> None:
        text = part.rest + line
        clean = _NOT_BASE64.sub(b"", text)
        if clean != text and text.strip() != clean:
            self.flag("mime_invalid_base64")
        clean = clean.rstrip(b"=") if b"=" in clean else clean
        whole = len(clean) // 4 * 4
        if b"=" in text:
            clean += b"=" * (-len(clean) % 4)
            whole = len(clean)
        part.rest = clean[whole:]
        try:
            append_file(part.file, base64.b64decode(clean[:whole]))
        except binascii.Error:
            self.flag("mime_invalid_base64")

    def _end(self, part: Part) -> None:
        if part.file is None:
            return
        if part.rest:
            self._base64(part, b"=")
        if part.encoding not in {b"base64", b"quoted-printable"} and part.file.data.endswith(b"\r\n"):
            # The line break in front of a boundary belongs to the boundary (RFC 2046 section 5.1.1).
            del part.file.data[-2:]
            part.file.size -= 2
        close_file(part.file)
        self.touch()
