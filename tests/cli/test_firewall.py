"""sentinel firewall as an operator runs it: commands in a namespace, exit codes, JSON."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.netns
POLICY = "groups: {office: [198.51.100.0/24]}\ninbound:\n  - {allow: tcp/443}\n  - {allow: tcp/22, from: office}\nnever_ban: [office]\n"


@pytest.fixture
def run(tmp_path):
    """All commands of one test in one namespace: a shell of its own would be one more program, so `unshare` per script."""
    (tmp_path / "policy.yml").write_text(POLICY)
    (tmp_path / "sentinel.yml").write_text(
        f"state_directory: {tmp_path}/state\nfirewall: {{policy: {tmp_path}/policy.yml}}\n"
    )

    def commands(*lines):
        script = "import json, subprocess, sys\nout = []\nfor line in json.loads(sys.argv[1]):\n"
        script += " r = subprocess.run(line, capture_output=True, text=True)\n out.append((r.returncode, r.stdout, r.stderr))\nprint(json.dumps(out))"
        argvs = [
            line[1:]
            if line[0] == "!"
            else [
                sys.executable,
                "-m",
                "sentinel",
                "firewall",
                *line,
                "--config",
                str(tmp_path / "sentinel.yml"),
            ]
            for line in lines
        ]
        done = subprocess.run(
            ["unshare", "--net", sys.executable, "-c", script, json.dumps(argvs)],
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    return commands


def test_a_day_with_the_firewall(run):
    plan, applied, again, banned, protected, listed, wider, confirmed, status, unbanned, back = run(
        ["plan"],
        ["apply", "--reason", "CHG-9"],
        ["apply"],
        ["ban", "203.0.113.7", "--for", "1h", "--reason", "scans"],
        ["ban", "198.51.100.7"],
        ["bans", "--json"],
        ["explain", "203.0.113.7", "tcp/443", "--json"],
        ["confirm"],
        ["status", "--json"],
        ["unban", "203.0.113.7"],
        ["rollback"],
    )
    assert plan[0] == 0
    assert '+ inbound: tcp dport 443 counter accept comment "inbound 1"' in plan[1]
    assert "no failsafe rules" in plan[1]
    assert (applied[0], "version 1 applied" in applied[1]) == (0, True)
    assert (again[0], "waits for confirmation" in again[2]) == (1, True)
    assert (banned[0], banned[1].startswith("203.0.113.7 banned until 2")) == (0, True)
    assert (protected[0], "never_ban" in protected[2]) == (1, True)
    [ban] = json.loads(listed[1])
    assert (ban["address"], ban["reason"], ban["hits"]) == ("203.0.113.7", "scans", 0)
    assert 3_500 < ban["seconds_left"] <= 3_600
    assert json.loads(wider[1])["rule"] == "bans"
    assert confirmed == [0, "version 1 confirmed\n", ""]
    found = json.loads(status[1])
    assert (found["in_sync"], found["bans"], found["versions"][0]["reason"]) == (True, 1, "CHG-9")
    assert unbanned[:2] == [0, "203.0.113.7 is free\n"]
    assert (back[0], "no earlier version" in back[2]) == (1, True)


def test_by_probe_and_boot_and_dry_run(run):
    dry, empty, applied, flushed, drifted, booted, status = run(
        ["apply", "--dry-run"],
        ["status"],
        ["apply", "--confirm=probe"],
        ["!", "nft", "flush", "ruleset"],
        ["status"],
        ["boot"],
        ["status"],
    )
    assert dry[0] == flushed[0] == 0
    assert empty[1].startswith("no policy was ever applied")
    assert applied == [0, "version 1 applied and confirmed by its probes\n", ""]
    assert "NOT IN THE KERNEL" in drifted[1]
    assert booted == [0, "version 1\n", ""]
    assert status[1].startswith("the kernel agrees")


def test_explain_says_rule_and_line(run, tmp_path):
    inside, outside, conditions, ping, bad = run(
        ["explain", "198.51.100.9", "tcp/22"],
        ["explain", "203.0.113.9", "tcp/22"],
        ["explain", "203.0.113.9", "tcp/25", "--outbound"],
        ["explain", "203.0.113.9", "icmp/echo-request"],
        ["explain", "203.0.113.9", "tcp/1-5"],
    )
    assert inside[1] == f"accept: inbound 2 ({tmp_path}/policy.yml:4): accept tcp/22 from office\n"
    assert outside[1].startswith("drop: inbound default: no rule matches")
    assert conditions[1].startswith("accept: outbound default")
    assert ping[1].startswith("drop: inbound default")
    assert bad[0] == 2


def test_a_bad_policy_is_named_by_line_and_the_kernel_untouched(run, tmp_path):
    (tmp_path / "policy.yml").write_text(
        "inbound:\n  - {allow: tcp/443}\n  - {alow: tcp/22}\n  - {allow: 10.0.0.0/8}\n"
    )
    applied, kernel = run(["apply", "--confirm=probe"], ["!", "nft", "list", "ruleset"])
    assert applied[0] == 2
    assert f"{tmp_path}/policy.yml:3: unknown key" in applied[2]
    assert "Traceback" not in applied[2]
    assert kernel[1] == ""


def test_status_shows_what_ends_what_bypasses_and_drift(run, tmp_path):
    (tmp_path / "policy.yml").write_text(
        "groups: {guests: [{address: 192.0.2.9, until: 2199-01-01T00:00:00Z, reason: CHG-7}, name.invalid]}\n"
        "inbound: [{allow: tcp/22, from: guests}]\n"
    )
    nat = "add table ip nat; add chain ip nat c; add rule ip nat c tcp dport 8080 dnat to 172.17.0.2:80"
    _, _, right, _, wrong, plan = run(
        ["apply", "--confirm=probe"],
        ["!", "nft", nat],
        ["status"],
        ["!", "nft", "insert rule inet sentinel inbound accept"],
        ["status"],
        ["plan"],
    )
    assert right[1].startswith("the kernel agrees\n")
    assert "name name.invalid: never answered\n" in right[1]
    assert "temporary group guests: 192.0.2.9: " in right[1]
    assert " left CHG-7\n" in right[1]
    assert "published tcp/8080 -> 172.17.0.2:80 (table ip nat) bypasses the inbound rules\n" in right[1]
    assert wrong[1].startswith("DRIFT")
    assert "(drift)" in plan[1]


def test_usage(run):
    for line in (
        ["ban", "1.2.3.4", "--for", "soon"],
        ["ban", "1.2.3.4", "--until", "2020-01-01"],
        ["ban", "1.2.3.4", "--until", "tomorrow"],
        ["ban", "nobody"],
        ["apply", "--confirm=maybe"],
    ):
        [(code, _, text)] = run(line)
        assert code == 2, text
        assert text.count("\n") == 1
