"""What a user meets in the first hour: everything is explained, nothing is made by looking, errors are sentences."""

import json
import os
import subprocess
import sys
import time

import click
import pytest
import typer.main

from sentinel import config as configuration
from sentinel import yamlfile
from sentinel.cli import app, manual
from sentinel.ledger import Ledger
from sentinel.operate import dashboards

CONFIG = """\
state_directory: {folder}/state
firewall: {{policy: {folder}/policy.yml}}
backup:
  repositories: {{main: {{store: {folder}/repository, password_file: {folder}/key}}}}
  jobs: {{shop: {{source: {{paths: {{include: [/etc]}}}}, repository: main, schedule: "0 1 * * *"}}}}
"""
POLICY = """\
default: {inbound: drop, outbound: accept}
services: {ssh: tcp/22}
inbound: [{allow: ssh}]
failsafe: [{allow: ssh}]
"""


def commands(command, words=()):
    if hasattr(command, "list_commands"):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), (*words, name))
    else:
        yield words, command


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.fixture
def config(tmp_path):
    (tmp_path / "policy.yml").write_text(POLICY)
    path = tmp_path / "sentinel.yml"
    path.write_text(CONFIG.format(folder=tmp_path))
    return path


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_and_all_that_it_takes_is_explained(words):
    command = COMMANDS[words]
    assert command.help
    assert [p.name for p in command.params if not getattr(p, "hidden", False) and not p.help] == []
    page = command.get_help(click.Context(command, info_name=words[-1]))
    assert "[[" not in page
    assert "─" not in page, "boxes are for no console at 3 a.m."


@pytest.mark.parametrize(
    "words",
    [
        "status",
        "doctor",
        "check-config",
        "playbook list",
        "playbook show restore-files",
        "playbook run restore-files --job shop --dry-run",
        "firewall explain 192.0.2.1 tcp/22",
        "response preview",
        "ledger show",
        "ledger verify",
    ],
)
def test_looking_makes_no_state(config, tmp_path, sentinel, words):
    done = sentinel(*words.split(), "--config", config)
    assert done.returncode in {0, 1, 2}
    assert "internal error" not in done.stderr
    assert not (tmp_path / "state").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path, sentinel):
    (tmp_path / "file").touch()
    done = sentinel("dashboards", "export", tmp_path / "file", check=1)
    assert done.stderr == f"sentinel: {tmp_path}/file/dashboards: Not a directory\n"


def test_the_exported_prometheus_configuration_is_valid(tmp_path, sentinel):
    sentinel("dashboards", "export", tmp_path, check=0)
    command = ["promtool", "check", "config", tmp_path / "prometheus" / "prometheus.yml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert yamlfile.parse("{}", configuration.MetricsSettings, "x").listen in dashboards.PROMETHEUS


def completed(line):
    words = line.split(" ")
    environment = os.environ | {
        "_SENTINEL_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    code = "import sys; from sentinel.cli import command; command()(prog_name='sentinel')"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    return done.stdout.decode().split()


def test_a_shell_completes_commands_and_names(config):
    assert completed("sentinel led") == ["ledger"]
    assert completed("sentinel run net") == ["network"]
    assert completed("sentinel playbook show restore-p") == ["restore-postgresql"]
    assert completed(f"sentinel backup drill --config {config} s") == ["shop"]
    assert completed(f"sentinel playbook run --config {config} restore-files --job s") == ["shop"]
    assert completed(f"sentinel backup drill --config {config}.none s") == []


def test_the_ledger_is_filtered_by_time(config, tmp_path, sentinel):
    assert sentinel("ledger", "show", "--config", config, check=0).stdout == "no records\n"
    (tmp_path / "state").mkdir()
    Ledger(tmp_path / "state").append("backup.run", "shop")

    def shown(since):
        lines = sentinel("ledger", "show", "--json", "--since", since, "--config", config, check=0).stdout
        return [json.loads(line)["subject"] for line in lines.splitlines()]

    assert shown("1h") == ["shop"]
    assert shown("2020-01-01") == ["shop"]
    assert shown(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))) == []
    wrong = sentinel("ledger", "show", "--since", "soon", "--config", config, check=2)
    assert wrong.stderr == "--since soon: expected a time such as 2h, 7d or 2026-12-01T00:00:00Z\n"


def test_the_man_page_has_what_can_be_typed():
    page = manual.render()
    assert "\\-\\-since" in page
    assert "\\-\\-worker" not in page
