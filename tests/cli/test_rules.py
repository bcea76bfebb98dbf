"""sentinel rules: what an operator types, what comes back."""

import json

import pytest
from typer.testing import CliRunner

from sentinel.cli.rules import app

GOOD = 'alert http any any -> any any (msg:"Shell"; http.uri; content:"/shell.php"; nocase; sid:9; rev:1;)\n'


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.fixture
def rules(tmp_path):
    file = tmp_path / "a.rules"
    file.write_text(GOOD + 'alert tcp any any -> any any (msg:"Bad"; frobnicate; sid:10;)\n')
    return file


@pytest.fixture
def capture(tmp_path):
    from scapy.layers.inet import IP, TCP
    from scapy.layers.l2 import Ether
    from scapy.utils import wrpcap

    ends = {"sport": 40000, "dport": 80}
    back = {"sport": 80, "dport": 40000}
    request = b"GET /shell.php HTTP/1.1\r\nHost: a\r\n\r\n"
    there, here = IP(src="10.0.0.1", dst="10.0.0.2"), IP(src="10.0.0.2", dst="10.0.0.1")
    segments = [
        there / TCP(**ends, flags="S", seq=1),
        here / TCP(**back, flags="SA", seq=1, ack=2),
        there / TCP(**ends, flags="A", seq=2, ack=2),
        there / TCP(**ends, flags="PA", seq=2, ack=2) / request,
        here / TCP(**back, flags="A", seq=2, ack=2 + len(request)),
    ]
    wrpcap(
        str(tmp_path / "x.pcap"),
        [Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / s for s in segments],
    )
    return tmp_path / "x.pcap"


def test_check_names_what_is_refused(run, rules):
    result = run("check", rules)
    assert result.exit_code == 2
    assert f"{rules}:2: rule 10: unknown keyword frobnicate" in result.output
    found = json.loads(run("check", rules, "--json").output)
    assert (found["loaded"], found["skipped"]) == (1, 0)
    assert found["failed"] == [
        {"path": str(rules), "line": 2, "rule": "10", "reason": "unknown keyword frobnicate"}
    ]


def test_check_is_silent_about_good_rules(run, tmp_path):
    (tmp_path / "b.rules").write_text(GOOD)
    result = run("check", tmp_path / "b.rules")
    assert (result.exit_code, result.output) == (0, "1 rules loaded, 0 refused, 0 skipped\n")


def test_list_and_explain(run, rules):
    assert json.loads(run("list", rules, "--json").output)[0]["sid"] == 9
    assert "Shell" in run("list", rules).output
    text = run("explain", 9, "--rules", rules).output
    assert "http.uri (to server): content b'/shell.php'" in text
    assert json.loads(run("explain", 9, "--rules", rules, "--json").output)["direction"] == "to server"
    assert run("explain", 11, "--rules", rules).exit_code != 0


def test_profile_and_test(run, rules, capture):
    (cost,) = json.loads(run("profile", capture, "--rules", rules, "--json").output)
    assert (cost["sid"], cost["matched"]) == (9, 1)
    assert run("test", capture, "--rules", rules, "--expect", "9=1").exit_code == 0
    result = run("test", capture, "--rules", rules, "--expect", "9=2")
    assert (result.exit_code, result.output.split()[0]) == (1, "WRONG")
    assert run("test", capture, "--rules", rules, "--expect", "x").exit_code != 0


def test_update_replaces_a_folder(run, tmp_path):
    source, target = tmp_path / "new", tmp_path / "rules"
    source.mkdir()
    (source / "a.rules").write_text(GOOD)
    assert "1 rules (1 new, 0 gone)" in run("update", source, target).output
    assert (target / "a.rules").read_text() == GOOD


def test_check_names_rules_whose_data_are_missing(run, tmp_path):
    (tmp_path / "a.rules").write_text("alert ip any any -> any any (iprep:src,Bad,>,1; sid:1;)\n")
    (tmp_path / "categories").write_text("1,Bad,x\n")
    result = run("check", tmp_path / "a.rules")
    assert result.exit_code == 2
    assert "rule 1: iprep: no category Bad" in result.output
    known = f"reputation-categories-file={tmp_path}/categories"
    assert run("check", tmp_path / "a.rules", "--set", known).exit_code == 0


def test_explain_says_what_a_rule_costs(run, rules, capture):
    result = run("explain", 9, "--rules", rules, "--capture", capture)
    assert "matched 1" in result.output
    other = rules.with_name("b.rules")
    other.write_text(GOOD.replace("/shell.php", "/other.php"))
    assert "never looked at" in run("explain", 9, "--rules", other, "--capture", capture).output


def test_explain_knows_the_rules_that_ship(run):
    assert "fast pattern" in run("explain", 9000001).output
