"""The grammar: headers, options, and where Suricata's own splitting is unlike what the eye sees."""

import pytest

from sentinel.detect.suricata import header_fields, split_options


def test_options_end_at_semicolons_even_inside_quotes():
    assert split_options('msg:"a\\; b"; sid:1;') == [("msg", '"a\\; b"'), ("sid", "1")]
    assert split_options('content:"a; b"; sid:1;')[0] == ("content", '"a')
    assert split_options("nocase; sid:1;") == [("nocase", None), ("sid", "1")]


@pytest.mark.parametrize("text", ["msg:x", "sid:1;; x:2;", "a:1; trailing"])
def test_unfinished_options_are_refused(text):
    with pytest.raises(ValueError):
        split_options(text)


def test_header_fields_keep_brackets_together():
    assert header_fields("[10.0.0.1, 10.0.0.2] any -> any [80, 443]") == [
        "[10.0.0.1,10.0.0.2]", "any", "->", "any", "[80,443]",
    ]  # fmt: skip


def test_whole_rule(rule):
    found = rule(
        'drop http $HOME_NET any <> $EXTERNAL_NET [80,8080] (msg:"a \\"b\\""; flow:established,to_server; '
        'http.uri; content:"/x|20|y"; nocase; classtype:trojan-activity; metadata:a b, a c; '
        "reference:url,x.example; sid:7; rev:3; gid:2; priority:2;)"
    )
    assert (found.action, found.sid, found.rev, found.gid, found.msg) == ("drop", 7, 3, 2, 'a "b"')
    assert (found.category, found.severity, found.both_ways) == ("A trojan", 2, True)
    assert found.metadata == (("a", ("b", "c")),)
    assert found.applications == {"http", "http2"}
    assert found.directions == (True, False)
    assert found.fast.pattern == b"/x y"
    assert found.level == "medium"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("alert tcp any any -> any any", "parentheses"),
        ("alert tcp any any -> any (sid:1;)", "header"),
        ("warn tcp any any -> any any (sid:1;)", "unknown action"),
        ("alert tcp6 any any -> any any (sid:1;)", "unknown protocol"),
        ("alert tcp any any <- any any (sid:1;)", "direction"),
        ("alert tcp any any -> any any (msg:x;)", "sid is missing"),
        ("alert tcp any any -> any any (frobnicate:1; sid:1;)", "unknown keyword frobnicate"),
        ("alert tcp any any -> any any (http.uri; http.method; content:x; sid:1;)", "no match on http.uri"),
        ('alert dns any any -> any any (http.uri; content:"x"; sid:1;)', "different applications"),
        ('alert http any any -> any any (flow:to_client; http.uri; content:"x"; sid:1;)', "direction"),
        (
            'alert http any any -> any any (http.uri; content:"x"; http.stat_code; content:"200"; sid:1;)',
            "directions",
        ),
    ],
)
def test_refusals_say_why(rule, text, reason):
    with pytest.raises(ValueError, match=reason):
        rule(text)
