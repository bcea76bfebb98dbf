"""A rule with a content at a fixed offset: judged wherever its payload might begin, never too rarely."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.detect.build import build
from sentinel.detect.placed import POSSIBLE, WINDOW, placed
from sentinel.detect.settings import STOCK_VARIABLES
from sentinel.detect.verify import holds
from sentinel.detect.view import View

OPTIONS = (
    'content:"AB"; offset:1; depth:2; content:"c"; distance:1; within:1;',
    'content:"A"; startswith; content:"B"; content:!"c"; distance:0; within:2;',
    'content:"A"; depth:1; byte_test:1,>,66,2;',
    'content:"ab"; nocase; depth:2; pcre:"/c+a/R";',
    'content:"A"; offset:2; depth:1; isdataat:3,relative; content:!"B"; within:3; content:"c";',
    'content:"A"; depth:1; byte_jump:1,1,string,dec; content:"B"; distance:0;',
    'content:"A"; depth:1; content:"B"; endswith;',
)


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    file = tmp_path_factory.mktemp("rules") / "x.rules"
    file.write_text(
        "\n".join(f"alert tcp any any -> any any ({body} sid:{n};)" for n, body in enumerate(OPTIONS, 1))
    )
    return build([file], STOCK_VARIABLES).engine.rules


@given(st.text("ABabc", max_size=12).map(str.encode), st.integers(0, 11), st.integers(1, 12))
def test_a_portion_that_matches_is_never_missed(rules, data, begin, size):
    for rule in rules:
        judge = placed(rule.payload)
        if judge is not None and holds(rule.payload, View(data[begin : begin + size])):
            assert judge.judge(data, whole=True) == POSSIBLE


@given(st.text("ABabc", max_size=12).map(str.encode), st.integers(0, 12))
def test_what_is_kept_is_enough(rules, data, cut):
    """Two scans, the second with as much of the first as it wanted, see what one scan sees."""
    for rule in rules:
        judge = placed(rule.payload)
        if judge is None or judge.judge(data, whole=True) != POSSIBLE:
            continue
        kept = judge.judge(data[:cut], whole=True)
        assert (
            kept == POSSIBLE
            or judge.judge(data[cut - max(kept, 4) if cut > 4 else 0 :], whole=cut <= 4) == POSSIBLE
        )


def test_what_is_not_there_keeps_nothing(rules):
    judge = placed(rules[0].payload)
    assert judge.reach == 5
    assert judge.judge(b"xABxcx" + b"x" * 9, whole=True) == POSSIBLE
    assert judge.judge(b"xABxxx" + b"x" * 9, whole=True) == 0
    assert placed(rules[3].payload).judge(b"x" * 9 + b"aB", whole=True) == 2
    assert judge.judge(b"ABxc" + b"x" * 9, whole=True) == 0
    assert judge.judge(b"ABxc" + b"x" * 9, whole=False) == POSSIBLE  # it began before these bytes


def test_what_cannot_be_judged(rules):
    judged = {rule.sid for rule in rules if placed(rule.payload) is not None}
    assert judged == {1, 2, 3, 4, 5, 7}
    assert placed(rules[1].payload).reach == WINDOW
