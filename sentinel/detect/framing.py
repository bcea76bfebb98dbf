"""Where HTTP/1 messages end in joined bytes, by the cheapest means that cannot be fooled.

In: bytes that begin at a message's start. Out: the spans of complete messages and where the unfinished one begins; or
None when only the real parser can tell (no or several lengths, encodings, folded headers, odd request targets ...).
RFC 9112 section 6.3.
"""

from __future__ import annotations

import re

from sentinel.detect.coded import UNFINISHED, codings, end_of_chunks

# Not HEAD: what its answer says of a length is not followed by one.
REQUEST = re.compile(rb"(?:GET|POST|PUT|DELETE|OPTIONS|PATCH) ([^\s]+) HTTP/1\.[01]\r\n")
RESPONSE = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)[^\r\n]*\r\n")
_LENGTH = re.compile(rb"\r\n(?:[cC]ontent-[lL]ength):[ \t]*(\d{1,12})[ \t]*(?=\r\n)")
_ODD_TARGET = re.compile(rb"//|\\|/\.\.?(?:/|\?|$)|%(?:25|00|[uU])")
_BEGUN = re.compile(rb"[A-Z/0-9.]{1,9}(?: [^\r\n]*\r?)?")  # a first line that goes on
HEAD_LIMIT = 16_384  # bytes of headers; servers refuse more
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_CODED = re.compile(rb"\r\n(?:transfer|content)-encoding")
_BODILESS = (b"1", b"204", b"304")


def spans(data: bytes, *, request: bool) -> tuple[list[tuple[int, int]], int] | None:
    """Of answers also those in chunks, or compressed in the way that `coded` reads."""
    opening = REQUEST if request else RESPONSE
    found: list[tuple[int, int]] = []
    lower = data.lower()
    measured = b"\r\ncontent-length" in lower
    coded = not request and _CODED.search(lower) is not None
    heads: list[bytes] = []
    at, size = 0, len(data)
    while at < size:
        first = opening.match(data, at)
        head = data.find(b"\r\n\r\n", at)
        if head < 0:
            if size - at >= HEAD_LIMIT or not (first is not None or _BEGUN.fullmatch(data, at)):
                return None
            heads.append(lower[at:].removesuffix(b"\r"))
            break
        if first is None or (request and _ODD_TARGET.search(data, first.start(1), first.end(1))):
            return None
        heads.append(lower[at : head + 2])
        lengths = _LENGTH.findall(data, at, head + 2) if measured else []
        if measured and not len(lengths) == lower.count(b"\r\ncontent-length", at, head + 2) <= 1:
            return None
        end: int | None = head + 4 + (int(lengths[0]) if lengths else 0)
        if not request and (coded or bool(lengths) is first[1].startswith(_BODILESS)):
            end = _answer_end(data, heads[-1], head + 4, lengths, first[1])
        if end is None:
            return None
        if end > size or end == UNFINISHED:
            break
        found.append((at, end))
        at = end
    return None if _is_odd(b"".join(heads), coded=coded) else (found, at)


def _answer_end(data: bytes, head: bytes, body: int, lengths: list[bytes], status: bytes) -> int | None:
    """Of an answer, by its status and codings; UNFINISHED, or None when only the parser can tell."""
    found = codings(head)
    if found is None or (status.startswith(_BODILESS) and any(found)):
        return None
    if found[0]:
        return None if lengths else end_of_chunks(data, body)
    if status.startswith(_BODILESS):
        return None if lengths else body
    if lengths:
        return body + int(lengths[0])
    # Ends with the connection, unless what follows is another answer after all.
    return UNFINISHED if data.find(b"HTTP/1.", body) < 0 else None


def _is_odd(head: bytes, *, coded: bool = False) -> bool:
    """`head` in lower case. Plain searches: several times faster than one expression with alternatives."""
    ends = head.count(b"\r\n")
    if head.count(b"\n") != ends or head.count(b"\r") != ends or b"\0" in head:
        return True
    # Lines that a parser would have to undo or that change how the message is framed; a folded line is one too.
    return (
        (not coded and (b"\r\ntransfer-encoding" in head or b"\r\ncontent-encoding" in head))
        or head.count(b"\r\nupgrade") > head.count(b"\r\nupgrade-insecure-requests:")
        or b"\r\nexpect" in head
        or b"\r\n " in head
        or b"\r\n\t" in head
    )


def targets(target: bytes) -> list[bytes] | None:
    """Forms that a request target of a framed message may have in http.uri; None: only the parser can tell.

    How much of the query is decoded depends on the personality, so both are given.
    """
    if b"%" not in target:
        return [target]
    path, mark, query = target.partition(b"?")
    decoded, plain = unescaped(path), unescaped(query)
    if _ODD_TARGET.search(decoded):
        return None
    return list(dict.fromkeys((target, decoded + mark + query, decoded + mark + plain)))


def unescaped(data: bytes) -> bytes:
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), data)
