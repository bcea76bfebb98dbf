import pytest

from sentinel.detect.keywords_content import pattern_bytes
from sentinel.detect.rule import Content, Pcre


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abc", b"abc"),
        ("a|20 0D|b", b"a \rb"),
        ('a\\;b\\"c\\\\d\\:e', b'a;b"c\\d:e'),
        ("|41||42|", b"AB"),
        ("\xe9", b"\xe9"),
    ],
)
def test_pattern_bytes(text, expected):
    assert pattern_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "|4|", "|zz|", "a|41"])
def test_bad_patterns(text):
    with pytest.raises(ValueError):
        pattern_bytes(text)


def test_modifiers_end_up_on_their_content(rule):
    found = rule(
        'content:"Abc"; nocase; offset:2; depth:5; content:"x"; distance:-1; within:3; fast_pattern;'
    ).payload
    assert found[0] == Content(b"abc", nocase=True, offset=2, depth=7, chained=True, placed=True)
    assert found[1] == Content(b"x", distance=-1, within=3, fast=True)


def test_legacy_modifiers_move_contents(rule):
    found = rule('content:"/a"; http_uri; content:"Mozilla"; http_user_agent; pcre:"/b/U"; uricontent:"c";')
    parts = {part.buffer: part.matches for part in found.parts[0]}
    assert [type(match) for match in parts["http.uri"]] == [Content, Pcre, Content]
    assert len(parts["http.user_agent"]) == 1
    assert found.payload == ()


@pytest.mark.parametrize(
    "text",
    [
        "nocase;",
        'content:"abc"; depth:2;',
        'content:"abc"; within:2;',
        'content:"abc"; offset:1; startswith;',
        'http.uri; content:"a"; http_uri;',
        'content:"a"; fast_pattern; content:"b"; fast_pattern;',
        'content:"a"; distance:1; fast_pattern:only;',
        "content:abc;",
        'pcre:"abc";',
        'pcre:"/a/y";',
        'content:"a"; nocase:1;' * 0 + 'content:"a"; rawbytes:1;',
        'http.uri; content:"x"; http.stat_code; pcre:"/y/U";',
    ],
)
def test_bad_combinations(rule, text):
    with pytest.raises(ValueError):
        rule(text)


def test_fast_pattern_choice(rule):
    assert rule('content:"GET"; content:"/very-rare-thing"; content:"x"; fast_pattern;').fast.pattern == b"x"
    assert rule('content:"GET"; content:"/very-rare-thing";').fast.pattern == b"/very-rare-thing"
    assert rule('content:!"only negated";').fast is None
