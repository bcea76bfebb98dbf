"""MIME messages (RFC 5322, 2045, 2047, 2231) as they pass line by line: headers, parts, decoded attachments.

In: lines of an e-mail without their end. Out: header fields of the message, and for every part with a name (or every
leaf part, as Suricata does) one file with decoded content. Invariants: nesting, header size and the number of files are
bounded; a line is handled once.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import quopri
import re
from typing import TYPE_CHECKING

from sentinel.protocol.apps.session import append_file, close_file, open_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.model import File, Transaction

# Suricata: header-value-depth, MAX_HEADER_NAME, MAX_LINE_LEN, MAX_ENC_LINE_LEN, BOUNDARY_BUF less two dashes;
# nesting is bounded by its stack of entities.
_MAX_VALUE = 2000
_MAX_FIELD_NAME, _MAX_LINE, _MAX_ENCODED_LINE, _MAX_BOUNDARY = 75, 998, 76, 254
_MAX_FIELDS, _MAX_HEADERS = 256, 65536
_MAX_DEPTH = 32
_MAX_NAME = 255
_PARAMETER = re.compile(rb";\s*([A-Za-z0-9*_.\-]+)\s*=\s*(\"(?:[^\"\\]|\\.)*\"?|[^;\s]*)")
_FIELD = re.compile(rb"([!-9;-~]+):")
_BAD_QUOTED = re.compile(rb"=(?![0-9A-F]{2}|$)")
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

    __slots__ = (
        "boundary",
        "closed",
        "encapsulated",
        "encoding",
        "fields",
        "file",
        "in_body",
        "message",
        "name",
        "rest",
    )

    def __init__(self) -> None:
        self.fields: list[list[bytes]] = []
        self.in_body = False
        self.closed = self.encapsulated = False
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
        self.value_bytes = self.header_bytes = 0
        self.anomalies: set[str] = set()
        self.failed = False

    def in_body(self) -> bool:
        return not self.stack or self.stack[-1].in_body

    def line(self, line: bytes, ending: bytes = b"\r\n") -> None:
        if self.failed or not self.stack:
            return
        if len(line) > _MAX_LINE:
            self.anomalies.add("mime_long_line")
        part = self.stack[-1]
        if part.in_body:
            if line.startswith(b"--") and self._boundary(line):
                return
            part.closed = part.closed and not line
            self._content(part, line, ending)
        elif line:
            self._header(part, line, ending)
        else:
            self._begin_body(part)

    def report(self) -> None:
        """The events of a whole message come at its end."""
        if self.failed:
            self.flag("mime_parse_failed")
        elif len(self.stack) - self.stack[-1].encapsulated > 1:
            self.anomalies.add("mime_malformed_msg")
        for event in sorted(self.anomalies):
            self.flag(event)

    def _fail(self, event: str) -> None:
        self.failed = True
        self.anomalies.add(event)
        self.report()

    def finish(self) -> None:
        while self.stack:
            self._end(self.stack.pop())

    def _boundary(self, line: bytes) -> bool:
        """Only the innermost open multipart part ends or goes on with a boundary line."""
        for depth in range(len(self.stack) - 1, -1, -1):
            part = self.stack[depth]
            if not part.boundary or part.closed:
                continue
            if not line.startswith(part.boundary, 2):
                return False
            while len(self.stack) > depth + 1:
                self._end(self.stack.pop())
            part.closed = line.startswith(b"--", 2 + len(part.boundary))
            if not part.closed:
                self.stack.append(Part())
            return True
        return False

    def _header(self, part: Part, line: bytes, ending: bytes) -> None:
        self.header_bytes += len(line)
        match = _FIELD.match(line)
        if match:
            name, value = match[1], line[match.end() :].lstrip(b" ")
            if len(name) > _MAX_FIELD_NAME:
                self.anomalies.add("mime_long_header_name")
            self.value_bytes = 0
            if len(part.fields) < _MAX_FIELDS and self.header_bytes < _MAX_HEADERS:
                part.fields.append([name.lower(), self._value(value).rstrip()])
        elif part.fields:
            text = self._value(line).strip()
            if text and self.header_bytes < _MAX_HEADERS:
                part.fields[-1][1] += b" " + text
        else:
            # Text without headers is the body already.
            part.in_body = True
            self._content(part, line, ending)

    def _value(self, value: bytes) -> bytes:
        room = _MAX_VALUE - self.value_bytes
        self.value_bytes += min(len(value), room)
        if len(value) > room:
            self.anomalies.add("mime_long_header_value")
        return value[:room]

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
            if len(part.boundary) > _MAX_BOUNDARY:
                self._fail("mime_long_boundary")
            return
        if lower.startswith(b"message/rfc822") and len(self.stack) < _MAX_DEPTH:
            part.message = True
            self.stack.append(Part())
            self.stack[-1].encapsulated = True
            return
        if len(part.name) > _MAX_NAME:
            self.anomalies.add("mime_long_filename")
            part.name = part.name[:_MAX_NAME]
        if part.name:
            part.file = open_file(self.transaction, part.name, 0)
            self.touch()

    def _content(self, part: Part, line: bytes, ending: bytes) -> None:
        if len(line) > _MAX_ENCODED_LINE and part.encoding in {b"base64", b"quoted-printable"}:
            self.anomalies.add("mime_long_enc_line")
        if part.encoding == b"quoted-printable" and _BAD_QUOTED.search(line):
            self.anomalies.add("mime_invalid_qp")
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
        """Bytes outside of the alphabet are skipped, and no line is wrong (RFC 2045)."""
        text = part.rest + line
        clean = _NOT_BASE64.sub(b"", text)
        clean = clean.rstrip(b"=") if b"=" in clean else clean
        whole = len(clean) // 4 * 4
        if b"=" in text:
            clean += b"=" * (-len(clean) % 4)
            whole = len(clean)
        part.rest = clean[whole:]
        with contextlib.suppress(binascii.Error):
            append_file(part.file, base64.b64decode(clean[:whole]))

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
