"""Rules tried on lines; above all: every shipped rule agrees with its own examples."""

from __future__ import annotations

from pathlib import Path

from sentinel import trial
from sentinel.detect.sigma.read import read

RULES = Path(__file__).parents[1] / "rules" / "logs"
RULE = """
title: Basket emptied
id: 4be6b5c1-9a3c-4b2e-8f0a-0d6f6f0b7c01
logsource: {category: webserver}
detection:
  found: {cs-uri-query|contains: empty-basket}
  condition: found
tests:
  format: request
  match: [GET /empty-basket]
  miss: [GET /basket, GET /x?empty-basket=1]
"""


def test_shipped_rules_agree_with_their_examples():
    tried, problems = trial.examples([RULES])
    assert problems == []
    assert tried > 350


def test_every_shipped_rule_has_lines_that_raise_it_and_lines_that_do_not():
    loaded = read([RULES])
    without = [
        heading.title
        for heading in (*loaded.rules, *loaded.correlations)
        if not ((own := loaded.examples.get(heading.id)) and own.match and own.miss)
    ]
    assert without == []


def test_an_example_that_disagrees_is_named_with_its_place(tmp_path):
    file = tmp_path / "rule.yml"
    file.write_text(RULE)
    tried, problems = trial.examples([file])
    assert tried == 3
    assert [(p.path, p.line) for p in problems] == [(str(file), 2)]
    assert "raises its example 'GET /x?empty-basket=1'" in problems[0].message


def test_backtest_counts_what_a_rule_would_have_raised(tmp_path):
    file, log = tmp_path / "rule.yml", tmp_path / "access.log"
    file.write_text(RULE)
    line = '198.51.100.{} - - [02/Mar/2026:10:00:00 +0000] "GET /{} HTTP/1.1" 200 5 "-" "x"\n'
    log.write_text("".join(line.format(n, "empty-basket" if n % 2 else "basket") for n in range(10)))
    result = trial.backtest([file], [log], "nginx-access")
    assert result.lines == 10
    assert result.alerts == {"Basket emptied": 5}
    assert len(result.addresses["Basket emptied"]) == 5
    assert result.first["Basket emptied"] == f"{log}:2"
    assert result.last["Basket emptied"] == f"{log}:10"


def test_lines_of_examples_are_repeated_and_numbered():
    lines, log_format = trial._lines("2 x GET /p?{n}&{nn} 200/77\nGET /q 404", "requests")
    assert log_format == "nginx-access"
    assert [line.split('"')[1] for line in lines] == [
        "GET /p?0&00 HTTP/1.1",
        "GET /p?1&01 HTTP/1.1",
        "GET /q HTTP/1.1",
    ]
    assert [line.split('"')[2].split() for line in lines] == [["200", "77"], ["200", "77"], ["404", "512"]]
    assert trial._lines("3 x a{n}", "syslog")[0] == ["a0", "a1", "a2"]
