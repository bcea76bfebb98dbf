"""Numbers in payloads, checked against int.from_bytes and the rule manual's examples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.detect.verify import holds
from sentinel.detect.verify_bytes import masked, read
from sentinel.detect.view import View


@given(st.binary(min_size=1, max_size=12), st.integers(-2, 12), st.integers(1, 8), st.booleans())
def test_read_is_from_bytes_or_nothing(data, at, count, little):
    found = read(data, at, count, 0, little)
    if at >= 0 and at + count <= len(data):
        assert found == int.from_bytes(data[at : at + count], "little" if little else "big")
    else:
        assert found is None


def test_masks_shift_to_the_lowest_bit():
    assert masked(0xABCD, 0x0FF0) == 0xBC
    assert masked(5, 0) == 5


@pytest.mark.parametrize(
    ("options", "data", "expected"),
    [
        ("byte_test:2,>,256,0;", b"\x01\x01", True),
        ("byte_test:2,>,256,0,little;", b"\x01\x01\x00", True),
        ("byte_test:1,!=,5,0;", b"\x05", False),
        ("byte_test:1,!&,4,0;", b"\x03", True),
        ("byte_test:1,&,4,0;", b"\x06", True),
        ("byte_test:3,=,123,0,string,dec;", b"123", True),
        ("byte_test:4,=,0x1F,0,string,hex;", b"0x1f", True),
        ("byte_test:2,=,5,9;", b"\x00\x05", False),
        ("byte_test:1,=,0x0B,0,bitmask 0xF0;", b"\xb7", True),
        ('content:"L"; byte_jump:1,0,relative; content:"x"; distance:0; within:1;', b"L\x02..x", True),
        ('content:"L"; byte_jump:1,0,relative; content:"x"; distance:0; within:1;', b"L\x01..x", False),
        ('byte_jump:1,0,multiplier 2; content:"x"; distance:0; within:1;', b"\x01..x", True),
        ('byte_jump:1,0,align; content:"x"; distance:0; within:1;', b"\x01....x", True),
        ('byte_jump:1,0,from_beginning; content:"x"; distance:0; within:1;', b"\x02.x", True),
        ("byte_jump:1,0;", b"\x09..", False),
        ("byte_extract:1,0,n; byte_test:1,=,n,1;", b"\x07\x07", True),
        ("byte_extract:1,0,n; byte_test:1,=,n,1;", b"\x07\x08", False),
        ("byte_extract:1,0,n; isdataat:n;", b"\x03...", True),
        ("byte_math:bytes 1, offset 0, oper +, rvalue 3, result r; byte_test:1,=,r,1;", b"\x04\x07", True),
        ("byte_math:bytes 1, offset 0, oper -, rvalue 9, result r; byte_test:1,=,r,1;", b"\x04\x07", False),
        ("byte_math:bytes 1, offset 0, oper <<, rvalue 1, result r; byte_test:1,=,r,1;", b"\x04\x08", True),
        ('content:"q="; base64_decode:relative; base64_data; content:"evil";', b"q=ZXZpbA==", True),
        ('content:"q="; base64_decode:relative; base64_data; content:"evil";', b"q=Z29vZA==", False),
        ("asn1:oversize_length 10;", b"\x30\x20aaaa", True),
        ("asn1:oversize_length 100;", b"\x30\x20aaaa", False),
        ("asn1:bitstring_overflow;", b"\x03\x02\x09\x00", True),
    ],
)
def test_byte_keywords(rule, options, data, expected):
    assert holds(rule(options).payload, View(data)) is expected


@given(
    st.binary(max_size=40), st.sampled_from(["double_overflow", "bitstring_overflow", "oversize_length 5"])
)
def test_asn1_never_fails_on_any_bytes(data, option):
    from sentinel.detect.rule import Check
    from sentinel.detect.verify_bytes import asn1

    arguments = ("bit" in option, "double" in option, 5 if "over" in option else 0, 0, False)
    assert asn1(Check("asn1", arguments), data, 0) in {True, False}
