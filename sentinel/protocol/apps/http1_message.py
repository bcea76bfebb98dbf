"""One HTTP/1 message: headers as libhtp collects them, and the small grammars of their values (RFC 9112).

In: header lines without their end. Out: `Headers` (merged repetitions, folding undone by the caller), numbers of
Content-Length, chunk lengths, status and version. Invariant: at most MAX_HEADERS fields and MAX_REPEATS repetitions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.model import File, Transaction
    from sentinel.protocol.apps.http1_uri import Uri
    from sentinel.protocol.apps.inflate import Chain

# libhtp: headers-limit, HTP_MAX_HEADERS_REPETITIONS, and the hard limit of a buffered line.
MAX_HEADERS = 1024
MAX_REPEATS = 64
MAX_LINE = 18000

_NOT_TOKEN = re.compile(rb"[^!#$%&'*+\-.^_`|~0-9A-Za-z]")
_VERSION = re.compile(rb"\s*HTTP\s*/[\s0]*(\.9|1\.0|1\.1)\s*\Z")
# A header block without any oddity: token names, no folding, no lone CR, no NUL, CR LF everywhere.
_CLEAN_BLOCK = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\r\n\0]*\r\n)+\Z")
_NUMBER = re.compile(rb"\d+")
_CHUNK = re.compile(rb"[\r\n \t\v\f]*([0-9a-fA-F]*)")
_CHUNK_LEAD = re.compile(rb"[\r\n \t\v\f]*(?:[0-9a-fA-F]|\Z)")
_STATUS = re.compile(rb"\s*(\d+)\s*\Z")
_LIKE_HTTP = re.compile(rb"[\s\0]*[Hh][Tt][Tt][Pp]")
_MAX_CHUNK = 2**31 - 1
_MAX_LENGTH = 2**63 - 1

SPACES = b" \t\n\r\v\f"
BLANKS = b" \t"


class Progress(IntEnum):
    """libhtp's steps of a message; rules see them as transaction progress."""

    NOT_STARTED = 0
    LINE = 1
    HEADERS = 2
    BODY = 3
    TRAILER = 4
    COMPLETE = 5


class Version(IntEnum):
    INVALID = -2
    UNKNOWN = -1
    V0_9 = 9
    V1_0 = 100
    V1_1 = 101


_VERSIONS = {b".9": Version.V0_9, b"1.0": Version.V1_0, b"1.1": Version.V1_1}

METHODS = frozenset(
    b"HEAD GET PUT POST DELETE CONNECT OPTIONS TRACE PATCH PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK "
    b"VERSION-CONTROL CHECKOUT UNCHECKOUT CHECKIN UPDATE LABEL REPORT MKWORKSPACE MKACTIVITY BASELINE-CONTROL "
    b"MERGE INVALID".split()
)


@dataclass(slots=True)
class Header:
    name: bytes
    value: bytes
    repeated: bool = False


class Headers:
    """Fields in order of first appearance; repetitions are joined with a comma, as libhtp does."""

    __slots__ = ("_index", "_repeats", "items")

    def __init__(self) -> None:
        self.items: list[Header] = []
        self._index: dict[bytes, Header] = {}
        self._repeats = 0

    def get(self, name: bytes) -> bytes | None:
        found = self._index.get(name)
        return None if found is None else found.value

    def field(self, name: bytes) -> Header | None:
        return self._index.get(name)

    def clear(self) -> None:
        self.items.clear()
        self._index.clear()

    def add(self, name: bytes, value: bytes, flag: Callable[[str], None], side: str) -> bool:
        """False when there are too many fields."""
        # libhtp compares names without NULs, as browsers do.
        key = name.lower()
        if b"\0" in key:
            key = key.replace(b"\0", b"")
        known = self._index.get(key)
        if known is None:
            if len(self.items) > MAX_HEADERS:
                flag(f"{side}_too_many_headers")
                return False
            header = Header(name, value)
            self.items.append(header)
            self._index[key] = header
            return True
        if known.repeated:
            if self._repeats >= MAX_REPEATS:
                return True
            self._repeats += 1
        known.repeated = True
        if key == b"content-length":
            first, again = content_length(known.value), content_length(value)
            if first is None or again is None or first != again:
                flag(f"duplicate_content_length_field_in_{side}")
        else:
            known.value += b", " + value
        return True


def parse_field(line: bytes, flag: Callable[[str], None], side: str) -> tuple[bytes, bytes]:
    """Name and value of one header line; without a colon all of it is value, so that rules still see it."""
    name, colon, value = line.partition(b":")
    if not colon or (side == "request" and b"\0" in name):
        flag(f"{side}_field_missing_colon")
        return b"", line.strip(BLANKS) if side == "request" else line.lstrip(BLANKS)
    stripped = name.rstrip(SPACES if side == "response" else BLANKS)
    if not name or stripped != name or _NOT_TOKEN.search(stripped):
        flag(f"{side}_header_invalid")
    return stripped, value.strip(BLANKS)


def clean_fields(block: bytes) -> list[tuple[bytes, bytes]] | None:
    """All fields of a header block at once when nothing about it needs a closer look, else None."""
    if len(block) > MAX_LINE or _CLEAN_BLOCK.match(block) is None:
        return None
    return [
        (name, value.strip(BLANKS))
        for name, _, value in (line.partition(b":") for line in block.split(b"\r\n")[:-1])
    ]


@dataclass(slots=True, eq=False)
class Message:
    """One half of an exchange, as far as it was read."""

    headers: Headers = field(default_factory=Headers)
    line: bytes | None = None
    version: Version = Version.UNKNOWN
    raw_headers: bytearray = field(default_factory=bytearray)
    exposed: bool = False  # headers are complete, rules may see them
    coding: str = ""  # "", none, identity, chunked, invalid
    body: bytearray = field(default_factory=bytearray)
    body_seen: int = 0
    body_cache: bytes = b""
    chain: Chain | None = None
    file: File | None = None
    file_done: bool = False
    parsed: int = 0  # of a multipart body
    trailing: bool = False  # in the trailer, not the header


@dataclass(slots=True, eq=False)
class Exchange:
    """What the parser keeps of a transaction (Transaction.parser_state)."""

    transaction: Transaction
    request: Message = field(default_factory=Message)
    response: Message = field(default_factory=Message)
    method: bytes | None = None
    raw_uri: bytes | None = None
    uri: Uri | None = None
    normalised: bytes | None = None
    path: bytes | None = None
    host: bytes | None = None
    port: int = -1
    status: int = -1
    continued: bool = False
    old: bool = False  # HTTP/0.9
    boundary: bytes = b""

    def message(self, direction: int) -> Message:
        return self.response if direction else self.request


def content_length(value: bytes) -> int | None:
    """The first run of digits; None without one or when it does not fit 63 bits."""
    found = _NUMBER.search(value)
    if found is None or len(found[0]) > 19:
        return None
    number = int(found[0])
    return number if number <= _MAX_LENGTH else None


class ChunkLength(IntEnum):
    """Answers of `chunk_length` that are no length."""

    EMPTY = -1
    INVALID = -2


def chunk_length(line: bytes) -> tuple[int, bool]:
    """Length (or a ChunkLength) and whether an extension follows."""
    found = _CHUNK.match(line)
    assert found is not None
    digits = found[1]
    if not digits:
        return (ChunkLength.EMPTY if found.end() == len(line) else ChunkLength.INVALID), False
    extension = b";" in line[found.end() :]
    if len(digits.lstrip(b"0")) > 8:
        return ChunkLength.INVALID, extension
    length = int(digits, 16)
    return (length if length <= _MAX_CHUNK else ChunkLength.INVALID), extension


def may_be_chunk_length(data: bytes) -> bool:
    """Libhtp gives an unfinished line eight bytes before it looks whether it can be a length at all."""
    return len(data) < 8 or _CHUNK_LEAD.match(data) is not None


def version_of(text: bytes) -> Version:
    found = _VERSION.match(text)
    return _VERSIONS[found[1]] if found else Version.INVALID


def status_of(text: bytes) -> int:
    found = _STATUS.match(text)
    if found is None or len(found[1]) > 3:
        return -1
    number = int(found[1])
    return number if number >= 100 else -1


def is_terminator(line: bytes, *, line_follows: bool = False) -> bool:
    """An empty line; a lone blank ends headers only when no empty line comes right behind it."""
    if line in {b"\r\n", b"\n", b"\r"}:
        return True
    return line_follows and len(line) == 2 and line[:1] in {b" ", b"\t"} and line[1:] == b"\n"


def reads_as_body(line: bytes) -> bool:
    """Browsers treat what does not begin with HTTP as the page itself."""
    return _LIKE_HTTP.match(line) is None


def chomp(line: bytes) -> bytes:
    return line.rstrip(b"\r\n")
