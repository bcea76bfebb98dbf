"""Wherever an expression matches, all pieces of one of its alternatives stand: against the real matcher."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.detect.alternatives import MOST, alternatives, weight
from sentinel.detect.expression import compile_expression


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (rb"abc\s+def", {(b"abc", b"def")}),
        (rb"(?:bash|zsh)\s+-i", {(b"bash", b"-i"), (b"zsh", b"-i")}),
        (rb"nc(?:at)? -e", {(b"nc -e",), (b"ncat -e",)}),
        (rb"\/\.env(?:\.(?:bak|old))?$", {(b"/.env",)}),
        (rb"^(?:www-data|nginx)@[\w.-]{1,40}:", {(b"www-data@", b":"), (b"nginx@", b":")}),
        (rb"x\x41[bB]\|", {(b"xab|",)}),
        (rb"a(?=zz)b(?!yy)", {(b"ab",)}),
        (rb"(?i:User)-(?P<n>id)=(\d+)\2", {(b"user-id=",)}),
        (rb"ab{2}c", {(b"abbc",)}),
        (rb"uid=\d+\(root\)", {(b"uid=", b"(root)")}),
        (rb"[\]x]yz", {(b"]yz",), (b"xyz",)}),
    ],
)
def test_what_must_stand(expression, expected):
    found = alternatives(expression, "")
    assert {frozenset(pieces) for pieces in found} == {frozenset(pieces) for pieces in expected}


@pytest.mark.parametrize(
    "expression",
    [
        *(rb"\d+", rb"a*", rb"(?:abc|\w)", rb"(?:abc)?", rb"[a-z]{3}", rb"^$", rb"(?:ab){0,3}"),
        *(
            rb"[[:alpha:]]x",
            rb"\Qa.b\E",
            rb"(?(1)a|b)",
            rb"(*UTF8)abc",
            rb"abc(",
            rb"ab)",
            rb"\p{L}abc",
            rb"\12a",
        ),
        b"(" * 60 + b"a" + b")" * 60,
        b"|".join(b"word%d" % n for n in range(MOST + 1)),
    ],
)
def test_nothing_is_certain_or_nothing_is_read(expression):
    assert alternatives(expression, "") == ()


def test_a_spaced_out_expression_is_not_read():
    assert alternatives(rb"ab c", "x") == ()


def test_the_commonest_alternative_counts():
    assert weight(alternatives(rb"(?:get|listDatabases)", "")) == weight([(b"get",)])
    assert weight(()) == 0


atoms = st.one_of(
    st.sampled_from(
        [b"a", b"B", b"ab", b"\\.", b".", b"[ab]", b"[^a]", b"\\w", b"\\d", b"\\x61", b"^", b"$", b"\\b"]
    )
)
nested = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map(b"".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda branches: b"(?:" + b"|".join(branches) + b")"),
        st.tuples(inner, st.sampled_from([b"*", b"+", b"?", b"{2}", b"{1,2}", b"{0,1}", b"+?"])).map(
            lambda pair: b"(" + pair[0] + b")" + pair[1]
        ),
        inner.map(lambda each: b"(?=" + each + b")"),
        inner.map(lambda each: b"(?!" + each + b")"),
    ),
    max_leaves=8,
)


@given(nested, st.text("abABx.1 ", max_size=10).map(str.encode), st.sampled_from(["", "i", "s"]))
def test_no_match_without_an_alternative(expression, data, flags):
    choices = alternatives(expression, flags)
    if choices and compile_expression(expression, flags).search(data):
        assert any(all(piece in data.lower() for piece in pieces) for pieces in choices)
