"""sentinel rules with Sigma rules: a line explained, examples tried, old logs replayed, from the command line."""

import json

import pytest
from typer.testing import CliRunner

from sentinel.cli.rules import app
from sentinel.errors import UsageError

RULE = """title: Basket emptied
id: 4be6b5c1-9a3c-4b2e-8f0a-0d6f6f0b7c01
logsource: {category: webserver}
detection:
  found: {cs-uri-stem|contains: empty-basket}
  condition: found
tests:
  format: request
  match: [GET /empty-basket]
  miss: [GET /basket]
"""
LINE = '198.51.100.{} - - [02/Mar/2026:10:00:00 +0000] "GET /{} HTTP/1.1" 200 5 "-" "x"'


@pytest.fixture
def run():
    def invoke(*arguments, stdin=None):
        return CliRunner().invoke(app, [str(each) for each in arguments], input=stdin)

    return invoke


@pytest.fixture
def rule(tmp_path):
    file = tmp_path / "rule.yml"
    file.write_text(RULE)
    return file


def test_explain_a_line(run, rule):
    line = LINE.format(7, "%65mpty-basket")
    text = run("explain", line, "--rules", rule).output
    assert "format      nginx-access" in text
    assert "url.original  /empty-basket" in text
    assert "MATCH       Basket emptied (medium)" in text
    found = json.loads(run("explain", "-", "--rules", rule, "--json", stdin=line + "\n").output)
    assert [(each["rule"], each["matched"]) for each in found["tried"]] == [("Basket emptied", True)]
    missed = run("explain", LINE.format(7, "x"), "--rules", rule, "--rule", "Basket emptied")
    assert "no    cs-uri-stem is '*empty-basket*'" in missed.output


def test_explain_takes_what_ships_and_a_configuration(run, tmp_path, rule):
    shipped = run("explain", LINE.format(7, "?id=1+union+select+2"))
    assert "SQL injection: UNION SELECT" in shipped.output
    config = tmp_path / "sentinel.yml"
    config.write_text(f"logs:\n  rules: [{rule}]\n  shop: {{actions: {{pay: [/zahlen]}}}}\n")
    found = json.loads(run("explain", LINE.format(7, "zahlen"), "--config", config, "--json").output)
    assert found["rules"] == 1
    assert found["fields"]["shop.action"] == "pay"


def test_test_runs_the_rules_own_examples(run, rule):
    good = run("test", "--rules", rule)
    assert (good.exit_code, good.output) == (0, "2 examples tried, 0 wrong\n")
    rule.write_text(RULE.replace("GET /basket", "GET /empty-basket/2"))
    bad = run("test", "--rules", rule)
    assert bad.exit_code == 1
    assert f"{rule}:1: Basket emptied: raises its example 'GET /empty-basket/2'" in bad.output
    assert json.loads(run("test", "--rules", rule, "--json").output)["examples"] == 2


def test_backtest(run, rule, tmp_path):
    log = tmp_path / "access.log"
    log.write_text("".join(LINE.format(n, "empty-basket" if n % 2 else "x") + "\n" for n in range(10)))
    found = json.loads(run("backtest", log, "--rules", rule, "--json").output)
    assert found == {
        "lines": 10,
        "alerts": 5,
        "rules": [
            {"rule": "Basket emptied", "alerts": 5, "addresses": 5, "first": f"{log}:2", "last": f"{log}:10"}
        ],
    }
    text = run("backtest", log, "--rules", rule).output
    assert text.splitlines()[-1] == "10 lines, 5 alerts"
    assert isinstance(run("backtest", tmp_path / "no.log", "--rules", rule).exception, UsageError)


def test_list_names_rules_of_both_languages(run, rule, tmp_path):
    (tmp_path / "a.rules").write_text(
        'alert tcp any any -> any any (msg:"Net"; content:"abc"; sid:9; rev:1;)\n'
    )
    found = json.loads(run("list", tmp_path, "--json").output)
    assert [each.get("sid", each.get("id")) for each in found] == [9, "4be6b5c1-9a3c-4b2e-8f0a-0d6f6f0b7c01"]
    assert "Basket emptied" in run("list", rule).output
