"""Contents with their places: the search agrees with trying every combination of occurrences."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.detect.rule import Content, IsDataAt, Size
from sentinel.detect.verify import expression_of, holds
from sentinel.detect.view import Scope, View

LETTERS = st.text("ab", min_size=1, max_size=2).map(str.encode)
OPTIONAL = st.none() | st.integers(0, 6)
contents = st.builds(
    lambda pattern, offset, depth, distance, within: Content(
        pattern,
        offset=0 if distance is not None else offset or 0,
        depth=None if distance is not None or depth is None else (offset or 0) + depth + len(pattern),
        distance=distance,
        within=None if distance is None or within is None else within + len(pattern),
    ),
    LETTERS, OPTIONAL, OPTIONAL, OPTIONAL, OPTIONAL,
)  # fmt: skip


def allowed(content, start, before, size):
    end = start + len(content.pattern)
    if content.distance is None:
        return start >= content.offset and (content.depth is None or end <= content.depth)
    if start < before + content.distance:
        return False
    return content.within is None or end <= before + content.distance + content.within


def by_trying_all(matches, data):
    places = [[i for i in range(len(data)) if data.startswith(m.pattern, i)] for m in matches]
    for combination in itertools.product(*places):
        before = 0
        for match, start in zip(matches, combination, strict=True):
            if not allowed(match, start, before, len(data)):
                break
            before = start + len(match.pattern)
        else:
            return True
    return False


def linked(matches):
    """As the draft links them: chained when the next is relative."""
    following = [*matches[1:], None]
    return tuple(
        m._replace(chained=after is not None and after.distance is not None)
        for m, after in zip(matches, following, strict=True)
    )


@settings(max_examples=400)
@given(st.lists(contents, min_size=1, max_size=3), st.text("abc", max_size=12).map(str.encode))
def test_search_is_complete(matches, data):
    assert holds(linked(matches), View(data)) == by_trying_all(matches, data)


@pytest.mark.parametrize(
    ("options", "data", "expected"),
    [
        ('content:"abc";', b"xxabcxx", True),
        ('content:"ABC"; nocase;', b"xxaBcxx", True),
        ('content:!"abc";', b"xxab", True),
        ('content:!"abc";', b"xxabc", False),
        ('content:"abc"; startswith;', b"xabc", False),
        ('content:"abc"; endswith;', b"abcxabc", True),
        ('content:"abc"; endswith;', b"abcx", False),
        ('content:"a"; content:"b"; distance:1; within:2;', b"ab..b", False),
        ('content:"a"; content:"b"; distance:1; within:2;', b"aba.b", True),
        ('content:"a"; content:!"b"; within:2;', b"a.b", False),
        ('content:"a"; content:!"b"; within:2;', b"a.bab", False),
        ('content:"a"; content:!"b"; distance:0; within:2;', b"a..b", True),
        ('content:"a"; isdataat:2,relative;', b"xa..", True),
        ('content:"a"; isdataat:3,relative;', b"xa..", False),
        ('content:"a"; isdataat:!1,relative;', b"xa", True),
        ("isdataat:!4;", b"abcd", True),
        ("isdataat:4;", b"abcd", False),
        ('content:"id="; pcre:"/^\\d+$/R";', b"id=12", True),
        ('content:"id="; pcre:"/^\\d+$/R";', b"id=12x", False),
        ('pcre:"/(a+)+$/";', b"a" * 50 + b"b", False),
        ('pcre:!"/x/";', b"abc", True),
        ('pcre:"/B(.)\\1/i";', b"abCC", True),
        ('content:"|41 42|C";', b"ABC", True),
        ('byte_extract:1,0,n; content:"b"; offset:n;', b"\x03bb.", False),
        ('byte_extract:1,0,n; content:"b"; offset:n;', b"\x03..b", True),
    ],
)
def test_payload_keywords(rule, options, data, expected):
    assert holds(rule(options).payload, View(data)) is expected


def test_depth_counts_from_the_start_of_the_stream():
    match = (Content(b"abc", depth=5),)
    assert holds(match, View(b"..abc", 0))
    assert not holds(match, View(b"..abc", 100))


def test_size_and_end():
    assert holds((Size(3, 5),), View(b"abcd"))
    assert not holds((Size(3, 5, negated=True),), View(b"abcd"))
    assert not holds((IsDataAt(9),), View(b""))


def test_hostile_payload_costs_a_bounded_number_of_steps(rule):
    options = (
        "".join(f'content:"a"; distance:0; within:{n + 2};' for n in range(12)) + 'content:"z"; within:5;'
    )
    assert not holds(rule(options).payload, View(b"a" * 20_000), Scope())


def test_expressions_are_compiled_once(rule):
    match = rule('pcre:"/x/";').payload[0]
    assert expression_of(match) is expression_of(match)
