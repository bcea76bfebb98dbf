"""URI parts and normalisation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.protocol.apps import http1_uri


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (b"/a/b", b"/a/b"),
        (b"/a/../b", b"/b"),
        (b"/a/./b/", b"/a/b/"),
        (b"/../../etc/passwd", b"/etc/passwd"),
        (b"//a///b", b"/a/b"),
        (b"/a%2fb", b"/a/b"),
        (b"/a%2F..%2Fb", b"/b"),
        (b"/a\\b\\..\\c", b"/a/c"),
        (b"/%61%62", b"/ab"),
        (b"/%u0061", b"/a"),
        (b"/%uff41", b"/a"),
        (b"/%zz%4", b"/%zz%4"),
        (b"/%2541", b"/%41"),
        (b"/\xc0\xafetc", b"//etc"),
        (b"/\xef\xbc\x8fx", b"//x"),
        (b"/Case", b"/Case"),
        (b"/a/..", b""),
        (b"/a/.", b"/a"),
        (b"/%c3%28\xff", b"/?(?"),
        (b"/a\xe2\x80", b"/a"),
    ],
)
def test_paths(raw, wanted):
    assert http1_uri.normalise_path(raw) == wanted


def test_query_keeps_plus():
    assert http1_uri.normalise_query(b"a=%3Cb+c%3E") == b"a=<b+c>"


def test_parts_of_an_absolute_uri():
    uri = http1_uri.split(b"http://user:word@Shop.example:8080/p/a?q=1#f")
    assert (uri.scheme, uri.credentials, uri.hostname, uri.port_number) == (
        b"http", b"user:word", b"Shop.example", 8080,
    )  # fmt: skip
    assert (uri.path, uri.query, uri.fragment) == (b"/p/a", b"q=1", b"f")


@pytest.mark.parametrize(
    ("authority", "host", "port"),
    [
        (b"[::1]:80", b"[::1]", 80),
        (b"a", b"a", -1),
        (b"a:0", b"a", -1),
        (b"a:99999", b"a", -1),
        (b"[::1", None, -1),
    ],
)
def test_authorities(authority, host, port):
    uri = http1_uri.Uri()
    http1_uri.split_authority(authority, uri)
    assert (uri.hostname, uri.port_number) == (host, port)


@given(st.binary(max_size=200))
def test_never_longer_and_never_raises(raw):
    assert len(http1_uri.normalise_path(raw)) <= len(raw)
    http1_uri.split(raw)
