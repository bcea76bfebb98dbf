"""Rules of expressions alone: whatever a message leaves out, the rule does not match."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.detect.build import build
from sentinel.detect.framing import targets
from sentinel.detect.settings import STOCK_VARIABLES
from sentinel.detect.standing import WHOLE_BODY, Standing, judged
from sentinel.detect.verify import holds
from sentinel.detect.view import View

EXPRESSIONS = (
    r"/[?&](?:pass|pwd)=[^&]{2,}/i",
    r"/^\/a(?!b)/",
    r"/(?<=\/)x\b/",
    r"/(a)\1$/",
    r"/^$/",
    r"/b.$/s",
)


def rules_of(tmp_path, *bodies):
    file = tmp_path / "x.rules"
    heads = (f"alert http any any -> any any ({body} sid:{n};)" for n, body in enumerate(bodies, 1))
    file.write_text("\n".join(heads))
    return build([file], STOCK_VARIABLES).engine.rules


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    bodies = [f'http.uri; pcre:"{each}";' for each in EXPRESSIONS]
    rules = rules_of(tmp_path_factory.mktemp("rules"), *bodies)
    assert all(judged(rule, 0) for rule in rules)
    return rules, Standing(rules, 0)


@given(st.text("/?&=abxpsw\n", max_size=12).map(str.encode))
def test_exactly_the_rules_whose_expression_is_there(standing, target):
    rules, asked = standing
    expected = {rule.sid for rule in rules if holds(rule.parts[0][0].matches, View(target))}
    assert {rule.sid for rule in asked.possible({"http.uri": target})} == expected


@given(st.lists(st.text("/?&=abxpsw\n", max_size=9).map(str.encode), min_size=1, max_size=4))
def test_asked_of_many_messages_at_once(standing, targets):
    _, asked = standing
    values = [{"http.uri": target} for target in targets]
    assert asked.suspects(values) or not any(any(True for _ in asked.possible(each)) for each in values)


def test_messages_without_any_expression_are_told_together(tmp_path):
    asked = Standing(rules_of(tmp_path, 'http.uri; pcre:"/^\\/a\\d/";', 'http.uri; pcre:"/x$/";'), 0)
    assert not asked.suspects([{"http.uri": b"/b/a1"}, {"http.uri": b"/xy"}, {"http.user_agent": b"/a1"}])
    assert asked.suspects([{"http.uri": b"/b"}, {"http.uri": b"/a1"}])
    at_the_end = Standing(rules_of(tmp_path, 'http.uri; pcre:"/x\\z/";'), 0)
    assert at_the_end.suspects([{"http.uri": b"/b"}])


def test_a_message_without_the_buffer_leaves_nothing(standing):
    assert not list(standing[1].possible({"http.user_agent": b"/?pass=12"}))


def test_all_expressions_of_a_rule_must_be_found(tmp_path):
    asked = Standing(rules_of(tmp_path, 'http.user_agent; pcre:"/^curl/"; http.uri; pcre:"/id/";'), 0)
    agent = {"http.user_agent": b"curl/8"}
    assert list(asked.possible(agent | {"http.uri": b"/id"}))
    assert not list(asked.possible(agent | {"http.uri": b"/"}))
    assert not list(asked.possible({"http.uri": b"/id"}))


def test_an_escaped_target_is_asked_in_all_its_forms(standing):
    rules, asked = standing
    assert 1 in {rule.sid for rule in asked.possible({"http.uri": b"/?%70ass=%31%32"})}
    assert {rule.sid for rule in asked.possible({"http.uri": b"/x/%2e%2e/y"})} == {rule.sid for rule in rules}


@pytest.mark.parametrize(
    ("target", "forms"),
    [
        (b"/plain?q=1", [b"/plain?q=1"]),
        (b"/%61?q=%62", [b"/%61?q=%62", b"/a?q=%62", b"/a?q=b"]),
        (b"/%61", [b"/%61", b"/a"]),
        (b"/%zz", [b"/%zz"]),
        (b"/a%2f%2fb", None),
        (b"/a%5cb", None),
    ],
)
def test_forms_of_a_target(target, forms):
    assert targets(target) == forms


def test_a_long_body_is_looked_at_in_windows_and_so_always_possible(tmp_path):
    rules = rules_of(tmp_path, 'http.request_body; pcre:"/^secret/";')
    asked = Standing(rules, 0)
    assert not list(asked.possible({"http.request_body": b"x" * WHOLE_BODY}))
    assert list(asked.possible({"http.request_body": b"x" * (WHOLE_BODY + 1)})) == list(rules)


@pytest.mark.parametrize(
    "body",
    [
        'http.uri; pcre:!"/a/";',
        'http.uri; content:"a"; pcre:"/b/R";',
        'http.uri; to_sha256; pcre:"/a/";',
        'http.header; pcre:"/a/";',
        'http.uri; pcre:"/a b/x";',
        "http.uri; urilen:>5;",
    ],
)
def test_others_are_not_judged_here(tmp_path, body):
    assert not any(judged(rule, 0) for rule in rules_of(tmp_path, body))


def test_rules_of_expressions_do_not_make_every_message_parsed(tmp_path):
    file = tmp_path / "x.rules"
    file.write_text('alert http any any -> any any (http.uri; pcre:"/ev[i1]l/"; sid:1;)')
    screen = build([file], STOCK_VARIABLES).engine.screen

    def shown(target):
        data = b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n"
        ends = (6, 40_000, 80, 1, 2)
        return screen.stream(ends, True, data, packets=None, whole=True, apps={"http"}, notes=set())

    assert shown(b"/list") == 0
    assert shown(b"/ev1l") == -1
    assert shown(b"/%65vil") == -1
