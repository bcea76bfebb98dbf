r"""The corners of Go's JSON that restic's documents have: string escapes, quoted names, RFC 3339 times.

Documents we write are byte for byte what restic would write for the same values (its `rewrite` re-encodes a tree
and refuses one that does not come out the same). Names are bytes on Linux: restic stores strconv.Quote(name), where
bytes that are no UTF-8 become \xNN. Times are integer nanoseconds here.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from functools import lru_cache

SECOND = 1_000_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST_SECONDS = -62_135_596_800  # 0001-01-01; Go refuses to encode years outside 0..9999
LATEST_SECONDS = 253_402_300_799  # 9999-12-31T23:59:59

# Printable ASCII that neither Go's JSON nor strconv.Quote changes.
_PLAIN = re.compile(rb"[ !#-%'-;=?-\[\]-~]*")
_QUOTED = {0x07: r"\a", 0x08: r"\b", 0x0C: r"\f", 0x0A: r"\n", 0x0D: r"\r", 0x09: r"\t", 0x0B: r"\v"}
_UNQUOTED = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, "'": 39, '"': 34}
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|([abfnrtv\\'\"]))|\\"
)
_HTML = str.maketrans(
    {"<": r"\u003c", ">": r"\u003e", "&": r"\u0026", "\u2028": r"\u2028", "\u2029": r"\u2029"}
)


def string(text: str) -> str:
    """A JSON string as encoding/json writes it, with the quotes."""
    encoded = json.dumps(text, ensure_ascii=False).translate(_HTML)
    if "\\b" in encoded or "\\f" in encoded:  # Go before 1.22 has no short form for these two
        encoded = re.sub(r"\\(.)", _lengthen, encoded)
    return encoded


def _lengthen(match: re.Match[str]) -> str:
    return {"b": r"\u0008", "f": r"\u000c"}.get(match[1], match[0])


def name_string(name: bytes) -> str:
    if _PLAIN.fullmatch(name):
        return f'"{name.decode("ascii")}"'
    return string(quote(name))


def quote(name: bytes) -> str:
    """strconv.Quote without the outer quotes."""
    out = []
    for char in name.decode("utf-8", "surrogateescape"):
        code = ord(char)
        if char in {'"', "\\"}:
            out.append("\\" + char)
        elif 0xDC80 <= code <= 0xDCFF:
            out.append(f"\\x{code - 0xDC00:02x}")
        elif char.isprintable():
            out.append(char)
        elif code in _QUOTED:
            out.append(_QUOTED[code])
        elif code < 0x20 or code == 0x7F:
            out.append(f"\\x{code:02x}")
        else:
            out.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return "".join(out)


def unquote(text: str) -> bytes:
    """The inverse of `quote`; ValueError where Go's strconv.Unquote fails."""
    if "\\" not in text:
        return text.encode("utf-8", "surrogatepass")
    out = bytearray()
    position = 0
    for match in _ESCAPE.finditer(text):
        out += text[position : match.start()].encode("utf-8", "surrogatepass")
        position = match.end()
        byte, short, long, octal, letter = match.groups()
        if byte or octal:
            out.append(int(byte, 16) if byte else int(octal, 8) & 0xFF)
        elif short or long:
            out += chr(int(short or long, 16)).encode("utf-8", "surrogatepass")
        elif letter:
            out.append(_UNQUOTED[letter])
        else:
            raise ValueError(f"invalid escape in a name: {text!r}")
    out += text[position:].encode("utf-8", "surrogatepass")
    return bytes(out)


def time_string(nanoseconds: int) -> str:
    """RFC 3339 in UTC with as many decimals as needed, as Go's RFC3339Nano."""
    seconds, rest = divmod(nanoseconds, SECOND)
    if rest:
        return f"{second_string(seconds)}.{rest:09d}".rstrip("0") + "Z"
    return f"{second_string(seconds)}Z"


@lru_cache(maxsize=4096)
def second_string(seconds: int) -> str:
    seconds = min(max(seconds, EARLIEST_SECONDS), LATEST_SECONDS)
    days, rest = divmod(seconds, 86_400)
    day = datetime.fromordinal(EPOCH.toordinal() + days)
    return f"{day.year:04d}-{day.month:02d}-{day.day:02d}T{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"


def parse_time(text: str) -> int:
    """Nanoseconds of an RFC 3339 time with any offset; ValueError when it is none."""
    head, tail = text[:19], text[19:]
    digits = tail[1:-1]
    if tail[-1:] == "Z" and tail[0] == "." and len(digits) <= 9 and digits.isdecimal():  # nearly all of them
        return _seconds_of(head, "Z") * SECOND + int(digits.ljust(9, "0"))
    rest = 0
    if tail[:1] == ".":
        found = re.match(r"\.([0-9]{1,9})", tail)
        if found is None:
            raise ValueError(f"not a time: {text!r}")
        rest = int(found[1].ljust(9, "0"))
        tail = tail[found.end() :].lstrip("0123456789")
    return _seconds_of(head, tail) * SECOND + rest


@lru_cache(maxsize=4096)
def _seconds_of(head: str, offset: str) -> int:
    moment = datetime.strptime(head + "+0000", "%Y-%m-%dT%H:%M:%S%z")
    difference = moment - EPOCH
    seconds = difference.days * 86_400 + difference.seconds
    return seconds - utc_offset(offset)


def utc_offset(text: str) -> int:
    """Seconds east of UTC that a time ends with."""
    if text[-1:] in {"Z", "z"}:
        return 0
    parts = re.search(r"([+-])(\d\d):(\d\d)$", text)
    if parts is None:
        raise ValueError(f"no time zone at the end of {text!r}")
    shift = int(parts[2]) * 3600 + int(parts[3]) * 60
    return shift if parts[1] == "+" else -shift
