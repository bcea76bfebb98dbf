import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.detect.rule import Check
from sentinel.detect.transforms import transform


@pytest.mark.parametrize(
    ("name", "args", "data", "expected"),
    [
        ("compress_whitespace", (), b"a \t b", b"a b"),
        ("strip_whitespace", (), b" a\r\n b", b"ab"),
        ("to_md5", (), b"x", hashlib.md5(b"x").digest()),
        ("to_sha1", (), b"x", hashlib.sha1(b"x").digest()),
        ("to_sha256", (), b"x", hashlib.sha256(b"x").digest()),
        ("dotprefix", (), b"a.example", b".a.example"),
        ("url_decode", (), b"a%20b+c%zz", b"a b c%zz"),
        ("header_lowercase", (), b"NO COLON", b"no colon"),
        ("header_lowercase", (), b"Host: A\r\nX-Y: B", b"host: A\r\nx-y: B"),
        ("to_lowercase", (), b"AbC", b"abc"),
        ("to_uppercase", (), b"AbC", b"ABC"),
        ("pcrexform", (rb"id=(\d+)",), b"x?id=42&", b"42"),
        ("pcrexform", (rb"id=(\d+)",), b"none", b"none"),
        ("strip_pseudo_headers", (), b":method: GET\nhost: a", b"host: a"),
    ],
)
def test_transforms(name, args, data, expected):
    assert transform(data, (Check(name, args),)) == expected


@given(st.binary(max_size=50), st.binary(min_size=1, max_size=7))
def test_xor_twice_is_nothing(data, key):
    step = Check("xor", (key,))
    assert transform(data, (step, step)) == data


def test_transforms_apply_in_a_rule(exchange, fired):
    rules = (
        'alert http any any -> any any (http.uri; url_decode; content:"a b"; sid:1;)\n'
        'alert http any any -> any any (http.host; dotprefix; content:".shop.example"; sid:2;)\n'
        f'alert http any any -> any any (http.method; to_md5; content:"|{hashlib.md5(b"GET").hexdigest()}|"; sid:3;)\n'
        'alert http any any -> any any (http.host; to_uppercase; content:"shop"; sid:4;)\n'
    )
    assert sorted(fired(rules, exchange("/a+b"))) == [1, 2, 3]
