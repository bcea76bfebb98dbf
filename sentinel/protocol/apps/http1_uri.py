"""Request URIs as libhtp's IDS personality splits and normalises them (htp_util.c; RFC 3986 sections 3 and 5.2.4).

In: the raw URI. Out: its parts, and the normalised path and query of http.uri. Invariant: output is never longer than
input, whatever the escapes say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ESCAPE = re.compile(rb"%(?:([0-9a-fA-F]{2})|[uU]([0-9a-fA-F]{4}))")
_SLASHES = re.compile(rb"/{2,}")
_HEX = re.compile(rb"%[0-9a-fA-F]{2}|%[uU][0-9a-fA-F]{4}")
_MULTIBYTE = re.compile(rb"[\xc0-\xff][\x80-\xbf]{1,3}")
_DOTTED = re.compile(rb"(?:^|/)\.{1,2}(?:/|$)")
_REPLACEMENT = ord("?")


def _best_fit() -> dict[int, int]:
    """Code points beyond one byte and their look-alikes in it (windows-1252 best fit, the part attacks use)."""
    table: dict[int, int] = {}
    for code in range(0xFF01, 0xFF5F):  # full-width forms of ! to ~
        table[code] = code - 0xFEE0
    pairs = (
        "ĀAāaĂAăaĄAąaĆCćcĈCĉcĊCċcČCčcĎDďdĒEēeĔEĕeĖEėeĘEęeĚEěeĜGĝgĞGğgĠGġgĢGģgĤHĥhĨIĩiĪIīiĬIĭiĮIįiİIıiĴJĵjĶKķk"  # noqa: RUF001
        "ĹLĺlĻLļlĽLľlŁLłlŃNńnŅNņnŇNňnŌOōoŎOŏoŐOőoŔRŕrŖRŗrŘRřrŚSśsŜSŝsŞSşsŢTţtŤTťtŦTŧtŨUũuŪUūuŬUŭuŮUůuŰUűuŲUųu"
        "ŴWŵwŶYŷyŹZźzŻZżzǍAǎaǏIǐiǑOǒoǓUǔuʹ'ʺ\"ʼ'ˈ'ˋ`ˍ_"  # noqa: RUF001
        '‐-‑-‒-–-—-‘\'’\'‚,“"”"„"•.….'  # noqa: RUF001
        "′'‵`‹<›>⁄/−-∕/∖\\∗*∙.∣|∶:∼~〈<〉>《<》>"  # noqa: RUF001
    )
    for wide, narrow in zip(pairs[::2], pairs[1::2], strict=True):
        table[ord(wide)] = ord(narrow)
    for code in (0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006, 0x3000):
        table[code] = 0x20
    return table


_BEST_FIT = _best_fit()


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


def split_authority(authority: bytes, uri: Uri) -> None:
    """[user:password@]host[:port]; an IPv6 host stands in brackets."""
    before, at, after = authority.rpartition(b"@")
    if at:
        uri.credentials = before
        authority = after
    if authority.startswith(b"["):
        end = authority.find(b"]")
        if end < 0:
            uri.hostname = authority
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
        return bytes((code if code < 0x100 else _BEST_FIT.get(code, _REPLACEMENT),))

    return _ESCAPE.sub(replace, data)


def _decode_utf8(data: bytes) -> bytes:
    """Valid and overlong UTF-8 sequences become one byte each; anything else stays."""

    def replace(found: re.Match[bytes]) -> bytes:
        lead = found[0][0]
        length = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
        run = found[0]
        if lead > 0xF4 or len(run) < length:
            return run
        code = lead & (0x7F >> length)
        for byte in run[1:length]:
            code = code << 6 | byte & 0x3F
        single = code if code < 0x100 else _BEST_FIT.get(code, _REPLACEMENT)
        return bytes((single,)) + run[length:]

    return _MULTIBYTE.sub(replace, data)


def remove_dot_segments(path: bytes) -> bytes:
    """RFC 3986 section 5.2.4; a path that does not begin with a slash keeps that."""
    if not _DOTTED.search(path):
        return path
    out: list[bytes] = []
    segments = path.split(b"/")
    last = len(segments) - 1
    rooted = path.startswith(b"/")
    for position, segment in enumerate(segments):
        if segment == b"..":
            if len(out) > (1 if rooted else 0):
                out.pop()
            if position == last:
                out.append(b"")
        elif segment == b".":
            if position == last:
                out.append(b"")
        else:
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
    return _decode_escapes(query) if b"%" in query else query


def still_encoded(data: bytes) -> bool:
    return _HEX.search(data) is not None
