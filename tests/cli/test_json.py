"""Every command that reads has --json, and what it prints then parses: the command tree is walked, not remembered."""

import contextlib
import json
import os
import sqlite3
import struct
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from sentinel.cli import COMMANDS, LazyGroup, app
from sentinel.ledger import Ledger
from sentinel.state import State

# Commands that change something, run, stream data to stdout, or answer by exit code alone. All others read.
NOT_READING = {
    "run", "setup", "init", "demo", "manual", "dashboards export",
    "replay", "parse",  # print JSON anyway: EVE, one object a line
    "rules update",
    "firewall apply", "firewall ban", "firewall unban", "firewall boot", "firewall confirm", "firewall rollback",
    "backup init", "backup run", "backup restore", "backup forget", "backup prune", "backup drill", "backup dump",
    "backup load", "backup save", "backup pause", "backup renew", "backup unlock", "backup key add", "backup key passwd",
    "backup key remove", "backup database answers", "backup database drop", "backup database exists",
    "backup database rename", "playbook run",
}  # fmt: skip
ONE_A_LINE = {"ledger show"}
MAY_BE_EMPTY = {"check-config", "firewall bans", "response preview", "rules exceptions", "rules profile"}
IN_A_NAMESPACE = {"firewall plan", "firewall status", "firewall bans"}  # they ask the kernel

CONFIG = """\
state_directory: {folder}/state
logs: {{files: [{{path: {folder}/access.log, format: nginx-access}}]}}
firewall: {{policy: {folder}/policy.yml}}
exceptions: [{{rule: "1", path: /health, until: 2099-01-01T00:00:00Z, reason: probe}}]
backup:
  repositories: {{main: {{store: {folder}/repository, password_file: {folder}/key}}}}
  jobs: {{shop: {{source: {{sqlite: {{path: {folder}/shop.db}}}}, repository: main, schedule: "0 1 * * *"}}}}
"""
SIGMA = """\
title: evil
id: 0f1e2d3c-4b5a-4968-8776-655443322110
logsource: {category: webserver}
detection: {evil: {url.original|contains: evil}, condition: evil}
level: high
tests: {format: nginx-access, match: ['LINE']}
"""
LINE = '192.0.2.9 - - [02/Mar/2026:08:00:00 +0000] "GET /evil HTTP/1.1" 200 1 "-" "x"'

RULE = 'alert http any any -> any any (msg:"x"; http.uri; content:"evil"; sid:1; rev:1;)\n'

# read command -> what follows it; `{folder}` is the example's
EXAMPLES = {
    "check-config": "",
    "status": "",
    "doctor": "",
    "rules list": "{folder}/a.rules",
    "rules check": "{folder}/a.rules",
    "rules explain": "1 --rules {folder}/a.rules",
    "rules except": "--rule 1 --reason probe",
    "rules profile": "{folder}/a.pcap --rules {folder}/a.rules",
    "rules test": "--rules {folder}/r.yml",
    "rules exceptions": "",
    "rules backtest": "--rules {folder}/r.yml {folder}/access.log",
    "firewall plan": "",
    "firewall status": "",
    "firewall bans": "",
    "firewall explain": "198.51.100.7 tcp/22",
    "response preview": "",
    "backup list": "",
    "backup check": "",
    "backup verify": "shop",
    "backup key list": "--repository main",
    "playbook list": "",
    "playbook show": "restore-files",
    "playbook facts": "",
    "ledger show": "",
    "ledger verify": "",
}


def leaves(command, path):
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(path), {option for parameter in command.params for option in parameter.opts}
        return
    for name, below in inner.items():
        yield from leaves(below, (*path, name))


def tree():
    group = LazyGroup(name="sentinel")
    return dict(leaf for name in COMMANDS for leaf in leaves(group.get_command(None, name), (name,)))


OPTIONS = tree()
READING = sorted(OPTIONS.keys() - NOT_READING)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("json")
    (folder / "sentinel.yml").write_text(CONFIG.format(folder=folder))
    (folder / "policy.yml").write_text("inbound: [{allow: tcp/443}]\n")
    (folder / "a.rules").write_text(RULE)
    (folder / "r.yml").write_text(SIGMA.replace("LINE", LINE))
    (folder / "access.log").write_text(LINE + "\n")
    (folder / "a.pcap").write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))  # no packets
    with contextlib.closing(sqlite3.connect(folder / "shop.db")) as database:
        database.executescript("CREATE TABLE orders (id); INSERT INTO orders VALUES (1)")
    (folder / "key").write_text("secret")
    (folder / "key").chmod(0o600)
    config = str(folder / "sentinel.yml")
    for words in (["backup", "init", "main"], ["backup", "run", "shop"]):
        assert CliRunner().invoke(app, [*words, "--config", config]).exit_code == 0
    Ledger(folder / "state").append("service.start", "host")
    State(folder / "state").report("logs", "running", pid=os.getpid(), since=0, detail={"lines": 1})
    return folder


def output(folder, name):
    words = [*name.split(), *EXAMPLES[name].format(folder=folder).split(), "--json"]
    if "--config" in OPTIONS[name]:
        words += ["--config", str(folder / "sentinel.yml")]
    if name in IN_A_NAMESPACE:
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        argv = ["unshare", *user, "--net", sys.executable, "-m", "sentinel", *words]
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    done = CliRunner().invoke(app, words)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.stdout


def test_the_table_names_no_command_that_is_gone():
    assert OPTIONS.keys() >= NOT_READING
    assert sorted(EXAMPLES) == READING


@pytest.mark.netns
@pytest.mark.parametrize("name", READING)
def test_json_parses(folder, name):
    assert "--json" in OPTIONS[name]
    text = output(folder, name)
    parsed = [json.loads(line) for line in text.splitlines()] if name in ONE_A_LINE else json.loads(text)
    assert parsed or name in MAY_BE_EMPTY
