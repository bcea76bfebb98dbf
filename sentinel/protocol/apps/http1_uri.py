"""Request URIs as libhtp's IDS personality splits and normalises them (htp_util.c; RFC 3986 sections 3 and 5.2.4).

In: the raw URI. Out: its parts, and the normalised path and query of http.uri. Invariant: output is never longer than
input, whatever the escapes say.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from sentinel.protocol.apps.http1_bestfit import BEST_FIT

_ESCAPE = re.compile(rb"%(?:([0-9a-fA-F]{2})|[uU]([0-9a-fA-F]{4}))")
_BYTE = re.compile(rb"%([0-9a-fA-F]{2})")
_SLASHES = re.compile(rb"/{2,}")
_HOST = re.compile(rb"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_MAX_HOST = 255
_HEX = re.compile(rb"%[0-9a-fA-F]{2}|%[uU][0-9a-fA-F]{4}")
_TEXT = re.compile(
    rb"[\xc0-\xdf][\x80-\xbf]|[\xe0-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|[\xf0-\xf4][\x80-\xbf]{3}"
    rb"|(?:[\xc0-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})\Z"  # unfinished: dropped
    rb"|[\xe0-\xec\xee\xef][\x80-\xbf]|[\xf0-\xf4][\x80-\xbf]{1,2}|[\x80-\xff]"  # broken: replaced
)
_LENGTHS = {2: range(0xC0, 0xE0), 3: range(0xE0, 0xF0), 4: range(0xF0, 0xF5)}
_DOTTED = re.compile(rb"(?:^|/)\.{1,2}(?:/|$)")
_REPLACEMENT = ord("?")


@dataclass(slots=True)
class Uri:
    """The parts as written; None where a part is missing."""

    scheme: bytes | None = None
    credentials: bytes | None = None
    hostname: bytes | None = None
    port: bytes | None = None
    path: bytes | None = None
    query: bytes | None = None
    fragment: bytes | None = None

    @property
    def port_number(self) -> int:
        """-1 when absent or no port number."""
        text = (self.port or b"").strip()
        if not text.isdigit() or len(text) > 5:
            return -1
        return int(text) if 0 < int(text) < 65536 else -1


def valid_host(name: bytes) -> bool:
    """Letters, digits, hyphens and underscores in labels of 1 to 63 bytes, or an IPv6 address in brackets."""
    if name.startswith(b"["):
        try:
            ipaddress.IPv6Address(name[1:-1].decode("ascii", "replace"))
        except ValueError:
            return False
        return name.endswith(b"]")
    return len(name) <= _MAX_HOST and _HOST.fullmatch(name) is not None


def valid_authority(uri: Uri) -> bool:
    """Whether host and port, as far as they are there, can be what they should be."""
    if uri.hostname is None or not valid_host(uri.hostname):
        return False
    return uri.port is None or uri.port_number > 0


def split_authority(authority: bytes, uri: Uri, *, credentials: bool = True) -> None:
    """[user:password@]host[:port]; an IPv6 host stands in brackets."""
    before, at, after = authority.rpartition(b"@")
    if at and credentials:
        uri.credentials = before
        authority = after
    if authority.startswith(b"["):
        end = authority.find(b"]")
        if end < 0:
            uri.hostname = None
            return
        uri.hostname = authority[: end + 1]
        rest = authority[end + 1 :]
        if rest.startswith(b":"):
            uri.port = rest[1:]
        return
    host, colon, port = authority.partition(b":")
    uri.hostname = host
    if colon:
        uri.port = port


def split(raw: bytes) -> Uri:
    """The parts of a request URI; only one with a scheme has an authority."""
    uri = Uri()
    rest = raw
    if rest and not rest.startswith(b"/"):
        scheme, colon, after = rest.partition(b":")
        if colon:
            uri.scheme = scheme
            rest = after
            if rest.startswith(b"//") and rest[2:3] != b"/":
                end = len(rest)
                for mark in b"/?#":
                    found = rest.find(mark, 2)
                    if 0 <= found < end:
                        end = found
                split_authority(rest[2:end], uri)
                rest = rest[end:]
    rest, hash_mark, fragment = rest.partition(b"#")
    if hash_mark:
        uri.fragment = fragment
    path, question, query = rest.partition(b"?")
    if path or not question:
        uri.path = path
    if question:
        uri.query = query
    return uri


def _decode_escapes(data: bytes) -> bytes:
    def replace(found: re.Match[bytes]) -> bytes:
        if found[1]:
            return bytes((int(found[1], 16),))
        code = int(found[2], 16)
        return bytes((code if code < 0x100 else BEST_FIT.get(code, _REPLACEMENT),))

    return _ESCAPE.sub(replace, data)


def _decode_utf8(data: bytes) -> bytes:
    """Valid and overlong UTF-8 sequences become one byte each; broken ones a question mark, an unfinished end nothing."""

    def replace(found: re.Match[bytes]) -> bytes:
        run = found[0]
        length = len(run)
        if length < 2 or run[0] not in _LENGTHS.get(length, ()):
            whole = next((size for size, leads in _LENGTHS.items() if run[0] in leads), 1)
            return b"" if found.end() == len(data) and length < whole else b"?"
        code = run[0] & (0x7F >> length)
        for byte in run[1:]:
            code = code << 6 | byte & 0x3F
        return bytes((code if code < 0x100 else BEST_FIT.get(code, _REPLACEMENT),))

    return _TEXT.sub(replace, data)


def remove_dot_segments(path: bytes) -> bytes:
    """RFC 3986 section 5.2.4 as libhtp does it: a last "." or ".." leaves no slash behind."""
    if not _DOTTED.search(path):
        return path
    out: list[bytes] = []
    rooted = path.startswith(b"/")
    for segment in path.split(b"/"):
        if segment == b"..":
            if len(out) > (1 if rooted else 0):
                out.pop()
        elif segment != b".":
            out.append(segment)
    return b"/".join(out)


def normalise_path(path: bytes) -> bytes:
    """Escapes, backslashes, runs of slashes, UTF-8 look-alikes, dot segments: the IDS personality."""
    if b"%" in path:
        path = _decode_escapes(path)
    if b"\\" in path:
        path = path.replace(b"\\", b"/")
    if b"//" in path:
        path = _SLASHES.sub(b"/", path)
    if not path.isascii():
        path = _decode_utf8(path)
    return remove_dot_segments(path) if b"." in path else path


def normalise_query(query: bytes) -> bytes:
    """Escapes only; a plus sign stays."""
    return _BYTE.sub(lambda found: bytes((int(found[1], 16),)), query) if b"%" in query else query


def still_encoded(data: bytes) -> bool:
    return _HEX.search(data) is not None
