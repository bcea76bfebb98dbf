"""ClientHello and ServerHello (RFC 8446 section 4.1, RFC 6066, RFC 7301) as far as rules and fingerprints need them.

In: the body of one handshake message. Out: `Hello`; `truncated` says that lengths did not fit. Never raises.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_SNI, _GROUPS, _POINTS, _SIGNATURES, _ALPN, _VERSIONS = 0, 10, 11, 13, 16, 43
_MAX_NAMES = 64


@dataclass(slots=True)
class Hello:
    version: int = 0
    random: bytes = b""
    session_id: bytes = b""
    ciphers: list[int] = field(default_factory=list)
    extensions: list[int] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    point_formats: list[int] = field(default_factory=list)
    signatures: list[int] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    alpn: list[bytes] = field(default_factory=list)
    sni: bytes | None = None
    sni_invalid: bool = False
    sni_repeated: bool = False
    truncated: bool = False


def _words(data: bytes) -> list[int]:
    return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data) - 1, 2)]


def _prefixed(data: bytes, pos: int, size: int) -> tuple[bytes, int] | None:
    """The value behind a length of `size` bytes, and the position behind it; None when it does not fit."""
    start = pos + size
    if start > len(data):
        return None
    end = start + int.from_bytes(data[pos:start], "big")
    return (data[start:end], end) if end <= len(data) else None


def parse(body: bytes, *, client: bool) -> Hello:
    hello = Hello()
    if len(body) < 35:
        hello.truncated = True
        return hello
    hello.version = int.from_bytes(body[:2], "big")
    hello.random = body[2:34]
    got = _prefixed(body, 34, 1)
    if got is None:
        hello.truncated = True
        return hello
    hello.session_id, pos = got
    if client:
        got = _prefixed(body, pos, 2)
        if got is None:
            hello.truncated = True
            return hello
        hello.ciphers = _words(got[0])
        got = _prefixed(body, got[1], 1)  # compression methods
        if got is None:
            hello.truncated = True
            return hello
        pos = got[1]
    else:
        hello.ciphers = _words(body[pos : pos + 2])
        pos += 3
    if pos < len(body):
        _extensions(hello, body, pos)
    return hello


def _extensions(hello: Hello, body: bytes, pos: int) -> None:
    block = _prefixed(body, pos, 2)
    if block is None:
        hello.truncated = True
        return
    data, pos = block[0], 0
    while pos + 4 <= len(data):
        kind = int.from_bytes(data[pos : pos + 2], "big")
        got = _prefixed(data, pos + 2, 2)
        if got is None:
            hello.truncated = True
            return
        hello.extensions.append(kind)
        _extension(hello, kind, got[0])
        pos = got[1]


def _extension(hello: Hello, kind: int, value: bytes) -> None:
    if kind == _SNI:
        _server_name(hello, value)
    elif kind == _GROUPS:
        hello.groups = _words(value[2:])
    elif kind == _POINTS:
        hello.point_formats = list(value[1 : 1 + value[0]]) if value else []
    elif kind == _SIGNATURES:
        hello.signatures = _words(value[2:])
    elif kind == _VERSIONS:
        hello.versions = _words(value[1:]) if len(value) != 2 else _words(value)
    elif kind == _ALPN:
        pos = 2
        while pos < len(value) and len(hello.alpn) < _MAX_NAMES:
            got = _prefixed(value, pos, 1)
            if got is None:
                return
            hello.alpn.append(got[0])
            pos = got[1]


def _server_name(hello: Hello, value: bytes) -> None:
    if hello.sni is not None:
        hello.sni_repeated = True
        return
    if not value:
        return  # a server acknowledges the name with an empty extension
    if len(value) < 5:
        hello.sni_invalid = True
        return
    kind = value[2]
    got = _prefixed(value, 3, 2)
    if got is None or kind != 0 or not got[0]:
        hello.sni_invalid = True
        return
    hello.sni = got[0]
    if len(got[0]) > 255:
        hello.sni_invalid = True
