"""What a file is, in the words of libmagic, which Suricata asks as well.

In: the first bytes of a file. Out: libmagic's description; where that library is not installed, a short form for the
types that rules ask for. libmagic is used through ctypes, because all it takes is four calls; its database is the
system's. A file is described once, when MIN_BYTES are there or it is complete.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.model import File

MIN_BYTES = 512  # Suricata: FILEMAGIC_MIN_SIZE
_NONE = 0  # MAGIC_NONE


def description(file: File) -> bytes | None:
    """None while there is too little of the file to tell."""
    if file.magic is None and file.data and (len(file.data) >= MIN_BYTES or file.closed):
        file.magic = _describer()(bytes(file.data))
    return file.magic


@functools.cache
def _describer() -> Callable[[bytes], bytes]:
    name = ctypes.util.find_library("magic")
    if name is None:
        return short_form
    library = ctypes.CDLL(name)
    library.magic_open.restype = ctypes.c_void_p
    library.magic_load.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    library.magic_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
    library.magic_buffer.restype = ctypes.c_char_p
    cookie = library.magic_open(_NONE)
    if not cookie or library.magic_load(cookie, None):
        return short_form  # no database

    def describe(data: bytes) -> bytes:
        found: bytes | None = library.magic_buffer(cookie, data, len(data))
        return found or b""

    return describe


def short_form(data: bytes) -> bytes:
    name = next((name for start, name in _SHORT if data.startswith(start)), b"data")
    return name + data[5:8] if name.endswith(b"version ") else name


_SHORT: tuple[tuple[bytes, bytes], ...] = (
    (b"MZ", b"PE32 executable for MS Windows"),
    (b"\x7fELF", b"ELF executable"),
    (b"%PDF-", b"PDF document, version "),
    (b"PK\x03\x04", b"Zip archive data"),
    (b"\x1f\x8b", b"gzip compressed data"),
    (b"BZh", b"bzip2 compressed data"),
    (b"\xfd7zXZ", b"XZ compressed data"),
    (b"7z\xbc\xaf", b"7-zip archive data"),
    (b"Rar!", b"RAR archive data"),
    (b"\x89PNG", b"PNG image data"),
    (b"\xff\xd8\xff", b"JPEG image data"),
    (b"GIF8", b"GIF image data"),
    (b"\xd0\xcf\x11\xe0", b"Composite Document File V2 Document"),
    (b"#!", b"script text executable"),
    (b"<!DOCTYPE html", b"HTML document text"),
    (b"<html", b"HTML document text"),
    (b"<?xml", b"XML document text"),
    (b"CWS", b"Macromedia Flash data (compressed)"),
    (b"FWS", b"Macromedia Flash data"),
    (b"\xca\xfe\xba\xbe", b"compiled Java class data"),
)
