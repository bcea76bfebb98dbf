"""Coded answers: undone as any reader would, or left to the parser."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.detect.coded import LIMIT, UNFINISHED, codings, end_of_chunks, plain

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED, GZIP = b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: gzip\r\n"


def in_chunks(parts):
    return b"".join(b"%X\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=5), st.booleans(), st.binary(max_size=9))
def test_undone_and_ended_where_it_ends(parts, compressed, after):
    body = b"".join(parts)
    sent = gzip.compress(body, mtime=0) if compressed else body
    pieces = [sent[at : at + 7] for at in range(0, len(sent), 7)]
    message = HEAD + CHUNKED + (GZIP if compressed else b"") + b"\r\n" + in_chunks(pieces)
    at = message.index(b"\r\n\r\n") + 4
    assert end_of_chunks(message + after, at) == len(message)
    decoded = plain(message)
    assert decoded[decoded.index(b"\r\n\r\n") + 4 :] == body


@given(st.binary(min_size=1, max_size=200), st.integers(0, 200))
def test_what_is_there_so_far(body, cut):
    message = HEAD + CHUNKED + GZIP + b"\r\n" + in_chunks([gzip.compress(body, mtime=0)])
    at = message.index(b"\r\n\r\n") + 4
    part = message[: max(at, len(message) - 1 - cut)]
    assert end_of_chunks(part, at) == UNFINISHED
    decoded = plain(part)
    assert body.startswith(decoded[at:])


@pytest.mark.parametrize(
    "chunks",
    [
        b"2;x\r\nok\r\n0\r\n\r\n",
        b"2\nok\n0\n\n",
        b"2\r\nokay\r\n0\r\n\r\n",
        b"0\r\nA: b\r\n\r\n",
        b" 2\r\nok",
        b"zz",
    ],
)
def test_chunks_that_readers_take_differently(chunks):
    assert end_of_chunks(chunks, 0) is None


def test_compression_that_readers_take_differently():
    sent = gzip.compress(b"body", mtime=0)
    named = sent[:3] + b"\x08" + sent[4:10] + b"name\0" + sent[10:]
    bomb = gzip.compress(bytes(LIMIT + 1))
    for body in (sent + b"more", sent[:-6] + b"123456", named, zlib.compress(b"body"), b"plain text", bomb):
        assert plain(HEAD + GZIP + b"\r\n" + body) is None


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (b"", (False, False)),
        (CHUNKED, (True, False)),
        (GZIP + CHUNKED, (True, True)),
        (CHUNKED + CHUNKED, None),
        (b"Transfer-Encoding: gzip, chunked\r\n", None),
        (b"Content-Encoding: br\r\n", None),
        (b"Content-Encoding : gzip\r\n", None),
    ],
)
def test_codings(lines, expected):
    assert codings((HEAD + lines).lower()) == expected
