import time

import pytest

from sentinel.detect.expression import LEAST_SECONDS, TIME_LIMIT_SECONDS, compile_expression


def found(pattern, data, flags=""):
    return compile_expression(pattern, flags).search(data) is not None


@pytest.mark.parametrize(
    ("pattern", "flags", "data", "expected"),
    [
        (rb"a(?i)B", "", b"ab", True),
        (rb"^x$", "m", b"a\nx\nb", True),
        (rb"a.b", "", b"a\nb", False),
        (rb"a.b", "s", b"a\nb", True),
        (rb"a b", "x", b"ab", True),
        (rb"abc", "A", b"xabc", False),
        (rb"x$", "", b"x\n", True),
        (rb"x$", "E", b"x\n", False),
        (rb"(?P<q>['\"]).*?(?P=q)", "", b"say 'a'", True),
        (rb"[[:digit:]]++x", "", b"12x", True),
        (rb"\x2f[^\x2f]+$", "", b"/a/b", True),
    ],
)
def test_pcre_dialect(pattern, flags, data, expected):
    assert found(pattern, data, flags) is expected


def test_ungreedy_swaps_quantifiers():
    assert compile_expression(rb"a+(b*)", "G").search(b"aabb")[:2] == (0, 1)
    assert compile_expression(rb"a+?", "G").search(b"aaa")[:2] == (0, 3)
    assert compile_expression(rb"[+*]\+a{2}", "G").search(b"*+aa")[:2] == (0, 4)


@pytest.mark.parametrize("pattern", [rb"(", rb"[a", rb"*a", rb"(?P<1>a)"])
def test_bad_expressions_are_refused(pattern):
    with pytest.raises(ValueError):
        compile_expression(pattern, "")


@pytest.mark.parametrize("pattern", [rb"(?:a|aa)+\1?$", rb"^(\w+\s?)*$", rb"(x+x+)+y", rb"(.*a){20}"])
def test_no_pattern_hangs(pattern):
    try:
        expression = compile_expression(pattern, "")
    except ValueError:
        return
    start = time.monotonic()
    expression.search(b"a" * 3000 + b"x" * 3000 + b"!")
    assert time.monotonic() - start < 5  # the limit is 0.05 s; this only tells a stop from a hang


def test_what_is_made_to_run_out_gets_ever_less_time_and_wins_it_back():
    expression = compile_expression(rb"(x+x+)+y", "")
    for _ in range(20):
        assert expression.search(b"x" * 5000) is None
    assert expression.limit_seconds == LEAST_SECONDS
    for _ in range(200):
        assert expression.search(b"xxy") is not None
    assert expression.limit_seconds == TIME_LIMIT_SECONDS
