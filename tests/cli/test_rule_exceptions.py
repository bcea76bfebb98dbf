"""sentinel rules exceptions | except: what an operator types, what comes back."""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from typer.testing import CliRunner

from sentinel.alert_exceptions import Exceptions
from sentinel.cli.rules import app
from sentinel.config import load
from sentinel.model import Alert
from sentinel.outputs import Journal

HOUR = 3600 * 10**9


def moment(**ago):
    return (datetime.now(UTC) - timedelta(**ago)).isoformat(timespec="seconds")


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "sentinel.yml"
    exceptions = [
        {"rule": 9, "until": moment(days=-3), "reason": "CHG-7"},
        {"address": "192.0.2.0/24", "until": moment(days=1), "reason": "pentest"},
    ]
    file.write_text(yaml.safe_dump({"state_directory": str(tmp_path), "exceptions": exceptions}))
    return file


@pytest.fixture
def journal(config):
    """One alert of rule 9 hidden, one of it before it was excepted, one of another rule; one too old to count."""
    loaded, now = load(config), time.time_ns()
    journal = Journal(loaded.journals / "network.jsonl")

    def alert(rule, ago):
        return Alert(now - ago, "network", rule, "Shell", src_ip="192.0.2.1", dest_ip="10.0.0.2")

    journal.append([alert("9", 9 * 24 * HOUR), alert("9", 30 * HOUR), alert("10", HOUR)])
    journal.exceptions = Exceptions(loaded.exceptions)
    journal.append([alert("9", HOUR)])
    journal.close()
    with journal.path.open("ab") as cut:
        cut.write(b'{"event_type": "al')
    return journal


def run(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.mark.usefixtures("journal")
def test_what_each_exception_hid_and_would_hide(config):
    result = run("exceptions", "--config", config, "--json")
    assert result.exit_code == 0
    first, second = json.loads(result.output)
    assert (first["exception"], first["hidden"], first["would_hide"]) == ("rule 9", 1, 1)
    assert first["state"] == "3 days left"
    assert (second["state"], second["hidden"], second["would_hide"]) == ("ended", 1, 2)


@pytest.mark.usefixtures("journal")
def test_a_new_exception_is_tried_before_it_is_written(config):
    result = run(
        "except",
        "--rule",
        10,
        "--address",
        "10.0.0.0/8",
        "--until",
        "12h",
        "--reason",
        "x",
        "--config",
        config,
    )
    assert result.exit_code == 0
    assert "12 hours left" in result.output
    line = result.output[result.output.index("exceptions:") :]
    (printed,) = yaml.safe_load(line)["exceptions"]
    assert (printed["rule"], printed["address"], printed["reason"]) == ("10", "10.0.0.0/8", "x")
    config.write_text(line)
    assert load(config).exceptions[0].rule == "10"


def test_an_exception_for_everything_is_refused(config):
    result = run("except", "--reason", "x", "--config", config)
    assert "would hide every alert" in str(result.exception)


def test_a_time_that_is_none_is_refused(config):
    result = run("except", "--rule", "1", "--until", "soon", "--reason", "x", "--config", config)
    assert "neither a duration like 7d nor a time" in str(result.exception)
