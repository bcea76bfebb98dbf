"""Loading: every refusal named, nothing half loaded, and the cache gives the same rules."""

import pytest

from sentinel.detect.load import load, rule_lines
from sentinel.detect.settings import STOCK_VARIABLES
from sentinel.errors import InvalidInputError

RULES = """# a comment
alert tcp any any -> any any (msg:"one"; content:"x"; sid:1; rev:1;)

alert tcp any any -> any any (msg:"two"; \\
    content:"y"; sid:2;)
alert tcp any any -> any any (msg:"bad"; frobnicate; sid:3;)
alert tcp any any -> any any (msg:"newer"; content:"z"; sid:1; rev:2;)
alert tcp any any -> any any (msg:"same"; content:"z"; sid:2;)
alert tcp any any -> any any (msg:"other engine"; requires:version >= 9; sid:4;)
pass tcp any any -> any any (msg:"pass"; content:"z"; classtype:own-class; sid:5;)
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.rules").write_text(RULES)
    (tmp_path / "classification.config").write_text("config classification: own-class,My class,4\n")
    return tmp_path


def test_all_is_accounted_for(folder):
    found = load([folder], STOCK_VARIABLES)
    assert [rule.sid for rule in found.rules] == [5, 1, 2]  # pass rules come first
    assert [(failure.line, failure.rule) for failure in found.failed] == [(6, "3"), (8, "2")]
    assert found.skipped == 1
    assert {rule.sid: rule.msg for rule in found.rules}[1] == "newer"
    assert (found.rules[0].category, found.rules[0].severity) == ("My class", 4)
    assert "frobnicate" in str(found.failed[0].problem())


def test_cache_gives_the_same(folder, tmp_path):
    cache = tmp_path / "cache"
    first = load([folder], STOCK_VARIABLES, cache)
    again = load([folder], STOCK_VARIABLES, cache)
    assert again.rules == first.rules
    assert again.digest == first.digest
    (folder / "a.rules").write_text(RULES.replace("sid:5", "sid:6"))
    assert load([folder], STOCK_VARIABLES, cache).rules[0].sid == 6


def test_damaged_or_foreign_cache_is_not_used(folder, tmp_path):
    cache = tmp_path / "cache"
    load([folder], STOCK_VARIABLES, cache)
    (stored,) = cache.glob("*.pickle")
    stored.write_bytes(b"garbage")
    assert len(load([folder], STOCK_VARIABLES, cache).rules) == 3
    stored.chmod(0o666)
    assert len(load([folder], STOCK_VARIABLES, cache).rules) == 3


def test_missing_paths_are_named_at_once(tmp_path):
    with pytest.raises(InvalidInputError) as raised:
        load([tmp_path / "x", tmp_path / "y"], {})
    assert len(raised.value.problems) == 2


def test_lines_are_numbered_from_their_start():
    assert [number for number, _ in rule_lines(RULES.encode())] == [2, 4, 6, 7, 8, 9, 10]
