"""Whether an expression can match plain text alone: never said wrongly that it cannot."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sentinel.detect.sigma.plain import PLAIN_BYTES, may_be_plain

ATOMS = ["a", "b", "/", "'", "\\(", "\\s", "\\S", "\\w", "\\W", "\\d", ".", "[^a]", "[^\\w]", "[^\\s/]", "['b]", "[\"']", "[\\s\\d]", "\\b", "^", "$"]  # fmt: skip


def repeated(inner):
    return st.tuples(inner, st.sampled_from(["", "*", "+", "?", "{2}", "{0,1}"])).map(
        lambda pair: f"(?:{pair[0]}){pair[1]}"
    )


def joined(inner):
    parts = st.lists(inner, min_size=1, max_size=3)
    return parts.map("".join) | parts.map(lambda made: f"(?:{'|'.join(made)})") | repeated(inner)


expressions = st.recursive(st.sampled_from(ATOMS), joined, max_leaves=6)


@settings(max_examples=500)
@given(expressions, st.text("ab/01", max_size=6))
def test_what_matches_plain_text_may_be_plain(expression, text):
    assume(re.search(expression.encode(), text.encode()))
    assert may_be_plain(expression.encode())


@pytest.mark.parametrize(
    ("expression", "plain"),
    [
        (rb"union\s+select", False),
        (rb"union(?:\s|/\*)?select", True),
        (rb"['\"]\s*or\b", False),
        (rb"(?:etc|usr)/passwd", True),
        (rb"\$\{jndi", False),
        (rb"a|<script", True),
        (rb"[^\S]x", False),
        (rb"x(?!')", True),
        (rb"\xe7\xba", True),
        (rb"(", True),
    ],
)
def test_examples(expression, plain):
    assert may_be_plain(expression) is plain


def test_ordinary_targets_are_plain():
    assert not b"/search?q=winter+coat&page=2&filter%5Bbrand%5D=7".translate(None, PLAIN_BYTES)
