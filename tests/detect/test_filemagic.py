"""libmagic's descriptions, and the short form where there is no libmagic."""

import ctypes.util

import pytest

from sentinel.detect import filemagic
from sentinel.model import File


def told(data, *, closed=True):
    return filemagic.description(File(data=bytearray(data), closed=closed))


def test_words_of_libmagic():
    assert ctypes.util.find_library("magic")
    assert told(b"plain text\n") == b"ASCII text"
    assert told(b"%PDF-1.4\n%x").startswith(b"PDF document, version 1.4")
    assert told(b"\x1f\x8b\x08" + bytes(7)).startswith(b"gzip compressed data")


def test_waits_for_enough_of_a_file():
    file = File(data=bytearray(b"a" * (filemagic.MIN_BYTES - 1)))
    assert filemagic.description(file) is None
    file.data += b"b"
    assert filemagic.description(file).startswith(b"ASCII text")
    file.data[:4] = b"%PDF"
    assert filemagic.description(file).startswith(b"ASCII text")  # said once


def test_nothing_is_said_of_nothing():
    assert told(b"") is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"\x01\x02", b"data"), (b"\x7fELF", b"ELF executable"), (b"%PDF-1.4", b"PDF document, version 1.4")],
)
def test_short_form(data, expected):
    assert filemagic.short_form(data) == expected
