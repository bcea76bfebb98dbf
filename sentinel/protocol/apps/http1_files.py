"""Files carried by HTTP/1: the response body, PUT and POST bodies, and the parts of multipart/form-data.

In: decoded body bytes as they come. Out: model.File objects on the transaction, named as Suricata names them
(Content-Disposition, else the path; the filename parameter of a part). Invariant: at most MAX_FILES a transaction.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sentinel.protocol.apps.session import append_file, close_file, open_file

if TYPE_CHECKING:
    from sentinel.protocol.apps.http1_message import Exchange
    from sentinel.protocol.apps.session import Session

_BOUNDARY = re.compile(rb"boundary=(\"[^\"]*\"|[^;\s]*)", re.IGNORECASE)
_FILENAME = re.compile(rb"(?:^|;)\s*filename=(\"(?:[^\"\\]|\\.)*\"?|[^;]*)", re.IGNORECASE)
_DISPOSITION = re.compile(rb"^content-disposition:\s*(.*)$", re.IGNORECASE | re.MULTILINE)
# A boundary, then lines that have a colon and something behind it.
_FIELDS = re.compile(rb"--[^\r\n]*(?:\r\n[^:\r\n]*:[^\r\n]+)*")
# Content-Range: a unit, then first-last/size, any of which may be unknown.
_RANGE = re.compile(rb" *[^ ]* *(?:\*/(\d+)|(\d+)-(\d+)/(?:\*|(\d+)))")
# Suricata: HTP_BOUNDARY_MAX and SC_FILENAME_MAX.
_MAX_BOUNDARY = 200
_MAX_NAME = 4096


def _filename(disposition: bytes) -> bytes | None:
    found = _FILENAME.search(disposition)
    return found[1].strip(b" \t\r\n").strip(b'"') if found else None


def _is_range(value: bytes) -> bool:
    found = _RANGE.match(value)
    if not found:
        return False
    _, first, last, size = (int(number) if number else -1 for number in found.groups())
    return last <= 0 or size <= 0 or (first <= last < size)


def setup_request(exchange: Exchange) -> None:
    """Decide once whether a POST body is multipart."""
    if exchange.method != b"POST":
        return
    kind = exchange.request.headers.get(b"content-type") or b""
    if not kind.lower().startswith(b"multipart/form-data"):
        return
    found = _BOUNDARY.search(kind)
    boundary = found[1].strip(b'"') if found else b""
    if 0 < len(boundary) <= _MAX_BOUNDARY:
        exchange.boundary = b"--" + boundary


def body_data(session: Session, exchange: Exchange, direction: int, data: bytes) -> None:
    message = exchange.message(direction)
    limit = session.options.http.response_body_limit if direction else session.options.http.request_body_limit
    if limit and message.body_seen > limit and not data:
        close(exchange, direction, truncated=True)
        return
    if direction == 0:
        if exchange.boundary:
            _multipart(session, exchange)
        elif exchange.method in {b"POST", b"PUT"}:
            _plain(exchange, 0, data, exchange.path)
        return
    if message.line is None and not exchange.old:
        return  # junk in front of the status line
    disposition = message.headers.get(b"content-disposition")
    name = _filename(disposition) if disposition else None
    placed = message.headers.get(b"content-range")
    if placed is not None and message.file is None and not message.file_done and not _is_range(placed):
        session.flag(exchange.transaction, "range_invalid")
    _plain(exchange, 1, data, name if name is not None else exchange.path)


def _plain(exchange: Exchange, direction: int, data: bytes, name: bytes | None) -> None:
    message = exchange.message(direction)
    if message.file is None:
        if name is None or message.file_done:
            return
        message.file_done = True
        message.file = open_file(exchange.transaction, name[:_MAX_NAME], direction)
    append_file(message.file, data)


def _multipart(session: Session, exchange: Exchange) -> None:
    """Parts that are whole by now become files; the one that is still open grows."""
    message = exchange.request
    body, boundary = message.body, exchange.boundary
    while True:
        if message.file is not None and not message.file.closed:
            end = body.find(b"\r\n" + boundary, message.parsed)
            ready = end if end >= 0 else max(len(body) - len(boundary) - 1, message.parsed)
            append_file(message.file, bytes(body[message.parsed : ready]))
            message.parsed = ready
            if end < 0:
                return
            close_file(message.file)
        start = body.find(boundary, message.parsed)
        if start < 0:
            return
        header_end = body.find(b"\r\n\r\n", start)
        if header_end < 0:
            message.parsed = start
            return
        if not _FIELDS.fullmatch(body, start, header_end):
            session.flag(exchange.transaction, "multipart_invalid_header")
        found = _DISPOSITION.search(body, start, header_end)
        name = _filename(found[1]) if found else None
        message.parsed = header_end + 4
        if name:
            message.file = open_file(exchange.transaction, name[:_MAX_NAME], 0)
            if message.file is None:
                return


def close(exchange: Exchange, direction: int, *, truncated: bool = False) -> None:
    close_file(exchange.message(direction).file, truncated=truncated)
