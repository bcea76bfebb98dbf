"""Answers in chunks or compressed, as rules would read them; or a word that only the real parser can tell.

In: an HTTP/1 answer's head and what follows. Out: where its chunks end; the answer with a plain body, as far as it is
there. Only what every reader takes alike is read: plain chunk sizes, no trailers, one gzip member and nothing after it,
and not more than LIMIT of it. RFC 9112 section 7.1, RFC 1952.
"""

from __future__ import annotations

import re
import zlib

LIMIT = 1 << 20  # bytes that a body may become here
UNFINISHED = -1
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,7})\r\n")
_BEGUN = re.compile(rb"[0-9A-Fa-f]{0,7}\r?")
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*(?=\r\n)")
_GZIP = re.compile(rb"\r\ncontent-encoding:[ \t]*gzip[ \t]*(?=\r\n)")
_GZIP_HEAD = re.compile(rb"(?s)\x1f\x8b\x08\0.{6}")


def codings(head: bytes) -> tuple[bool, bool] | None:
    """Is the body in chunks, is it compressed? None: in another way. `head` in lower case, with its last line end."""
    chunked, gzip = len(_CHUNKED.findall(head)), len(_GZIP.findall(head))
    others = head.count(b"\r\ntransfer-encoding") + head.count(b"\r\ncontent-encoding")
    return (bool(chunked), bool(gzip)) if others == chunked + gzip and max(chunked, gzip) <= 1 else None


def end_of_chunks(data: bytes, at: int) -> int | None:
    """Where the body that begins at `at` ends; None when its chunks are not plain ones."""
    while True:
        found = _CHUNK.match(data, at)
        if found is None:
            return UNFINISHED if _BEGUN.fullmatch(data, at) else None
        size = int(found[1], 16)
        at = found.end() + size
        if at + 2 > len(data):
            return UNFINISHED
        if data[at : at + 2] != b"\r\n":
            return None
        at += 2
        if not size:
            return at


def plain(message: bytes) -> bytes | None:
    """The message with its body decoded, as far as it is there; itself when nothing is to be undone."""
    head, mark, body = message.partition(b"\r\n\r\n")
    found = codings(head.lower() + b"\r\n")
    if found is None:
        return None
    chunked, gzip = found
    if chunked:
        body = b"".join(_chunks(body))
    if gzip and body:
        inflated = _inflated(body)
        if inflated is None:
            return None
        body = inflated
    return head + mark + body


def _chunks(body: bytes) -> list[bytes]:
    at, found = 0, []
    while (match := _CHUNK.match(body, at)) is not None and int(match[1], 16):
        end = match.end() + int(match[1], 16)
        found.append(body[match.end() : end])
        at = end + 2
    return found


def _inflated(body: bytes) -> bytes | None:
    if len(body) >= 10 and _GZIP_HEAD.match(body) is None:
        return None  # names and comments in its head are read in different ways
    decoder = zlib.decompressobj(31)
    try:
        found = decoder.decompress(body, LIMIT)
    except zlib.error:
        return None
    return None if decoder.unconsumed_tail or decoder.unused_data else found
