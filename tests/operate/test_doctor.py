"""Each check says what is wrong and how to mend it; a healthy host has no finding but ok."""

import json
import os
import re
import time
import typing

import pytest

from sentinel import config, yamlfile
from sentinel.ledger import Ledger
from sentinel.operate import doctor
from sentinel.state import State

CONFIG = """\
state_directory: {folder}/state
logs: {{files: [{{path: {folder}/access.log, format: nginx-access}}]}}
network: {{interfaces: [lo]}}
firewall: {{policy: {folder}/policy.yml, enforce: true}}
backup:
  repositories: {{main: {{store: {folder}/repository, password_file: {folder}/key}}}}
  jobs: {{shop: {{source: {{paths: {{include: [/etc]}}}}, repository: main, schedule: "0 1 * * *", drill: {{playbook: restore-files, schedule: "0 3 * * *"}}}}}}
"""


@pytest.fixture
def host(tmp_path):
    path = tmp_path / "sentinel.yml"
    path.write_text(CONFIG.format(folder=tmp_path))
    (tmp_path / "access.log").write_text("x\n")
    (tmp_path / "key").write_text("secret-password")
    (tmp_path / "key").chmod(0o640)
    state = State(tmp_path / "state")
    now = time.time_ns()
    for name in ("network", "logs", "firewall", "backup"):
        state.report(name, "running", pid=os.getpid(), since=now)
    with state.write() as connection:
        connection.execute(
            "INSERT INTO job_run (job, started, result, snapshot, detail) VALUES ('shop', ?, 'ok', 's', '{}')",
            (now,),
        )
        connection.execute(
            "INSERT INTO drill_run (job, playbook, started, result, snapshot, detail) VALUES ('shop', 'p', ?, 'ok', 's', '{}')",
            (now,),
        )
    Ledger(tmp_path / "state").append("service.start", "host")
    return path


def findings(path):
    return doctor.examine(path)


def problem(path, check):
    (found,) = [f for f in findings(path) if f.check == check and f.level != "ok"]
    assert found.remedy
    return found.message


def test_a_healthy_host(host):
    assert {f.level for f in findings(host) if f.check != "H001-state"} == {"ok"}
    assert {f.check for f in findings(host)} >= set(doctor.CHECKS) - {"F001-firewall"}


def test_password_open_to_everybody(host, tmp_path):
    (tmp_path / "key").chmod(0o644)
    assert "open to everybody" in problem(host, "H003-secrets")


def test_dead_and_silent_components(host, tmp_path):
    State(tmp_path / "state").report("logs", "failed", pid=1, since=0)
    assert "logs is failed" in problem(host, "C001-components")
    with State(tmp_path / "state").write() as connection:
        connection.execute("UPDATE component SET state = 'running', updated = 0 WHERE name = 'logs'")
    assert "logs has said nothing" in problem(host, "C001-components")


def test_missing_interface_and_log(host, tmp_path):
    host.write_text(host.read_text().replace("[lo]", "[nosuch0]"))
    assert "nosuch0 does not exist" in problem(host, "N001-interfaces")
    (tmp_path / "access.log").unlink()
    assert "no such file" in problem(host, "L001-logs")


def test_failed_job_and_drill(host, tmp_path):
    with State(tmp_path / "state").write() as connection:
        connection.execute(
            "UPDATE job_run SET result = 'failed', detail = ?", ('{"message": "no space left"}',)
        )
        connection.execute("DELETE FROM drill_run")
    assert "last run failed: no space left" in problem(host, "B001-jobs")
    assert "never drilled" in problem(host, "B002-drills")


def test_a_job_is_late_by_its_own_schedule(host, tmp_path):
    three_days_ago = time.time_ns() - 3 * 86_400 * 10**9
    with State(tmp_path / "state").write() as connection:
        connection.execute("UPDATE job_run SET started = ?", (three_days_ago,))
        connection.execute("UPDATE drill_run SET started = ?", (three_days_ago,))
    assert "last good run 72.0 h ago" in problem(host, "B001-jobs")
    assert "last drill 72.0 h ago" in problem(host, "B002-drills")
    host.write_text(host.read_text().replace('schedule: "0 1 * * *"', 'schedule: "every 8760h"'))
    with State(tmp_path / "state").write() as connection:
        connection.execute("UPDATE job_run SET started = ?", (time.time_ns() - 10**9,))
    assert all(f.level == "ok" for f in findings(host) if f.check == "B001-jobs")


def test_broken_ledger(host, tmp_path):
    ledger = Ledger(tmp_path / "state")
    ledger.path.write_text(ledger.path.read_text().replace("service", "servant"))
    assert "ledger.jsonl:1: content does not match" in problem(host, "A001-ledger")


def test_a_configuration_with_mistakes_is_a_failed_check_and_the_rest_is_looked_at(host, tmp_path):
    """Section by section: logs is wrong, firewall and backup are not."""
    (tmp_path / "key").chmod(0o644)
    host.write_text(host.read_text().replace("format: nginx-access", "fromat: nginx-access") + "hots: x\n")
    found = findings(host)
    assert [f.message for f in found if f.check == "H000-configuration"] == [
        f"{host}:2: unknown key 'logs.files.0.fromat'",
        f"{host}:8: unknown key 'hots'",
    ]
    assert "open to everybody" in problem(host, "H003-secrets")
    assert {f.check for f in found if f.level == "ok"} >= {"N001-interfaces", "B001-jobs", "A001-ledger"}
    assert "L001-logs" not in {f.check for f in found}


def test_a_file_that_is_no_yaml_and_one_that_is_not_there(host, tmp_path, sentinel):
    host.write_text("host: [\n")
    done = sentinel("doctor", "--config", host, "--bundle", tmp_path / "bundle.json", check=1)
    assert f"failed   H000-configuration  {host}:2: not valid YAML" in done.stdout
    assert json.loads((tmp_path / "bundle.json").read_text())["configuration"] is None
    assert findings(tmp_path / "none.yml")[0].message == f"{tmp_path}/none.yml: No such file or directory"


def test_looking_makes_no_state(tmp_path):
    path = tmp_path / "sentinel.yml"
    path.write_text(f"state_directory: {tmp_path}/state\n")
    assert "nothing has run here yet" in problem(path, "H001-state")
    assert not (tmp_path / "state").exists()


def test_a_state_that_does_not_open(host, tmp_path):
    for file in (tmp_path / "state").glob("state.db*"):
        file.unlink()
    (tmp_path / "state" / "state.db").mkdir()
    assert "state cannot be opened" in problem(host, "H001-state")
    assert not [f for f in findings(host) if f.check in {"C001-components", "B001-jobs"}], "not known"


SECRETS = """\
webhook:
  url: http://127.0.0.1:9/alerts
  labels: {note: "http://admin:sEcReT1@wiki/page?api_token=sEcReT2&x=1"}
# an old one: sEcReT3
"""


def test_bundle_has_no_secrets(host, tmp_path, sentinel):
    host.write_text(host.read_text() + SECRETS)
    done = sentinel("doctor", "--config", host, "--json", "--bundle", tmp_path / "bundle.json")
    assert {f["check"] for f in json.loads(done.stdout)} >= {"H001-state", "A001-ledger"}
    text = (tmp_path / "bundle.json").read_text()
    assert "sEcReT" not in text
    assert "secret-password" not in text
    assert "127.0.0.1:9/alerts" in text
    assert str(tmp_path / "key") in text  # where it is kept is no secret
    assert (tmp_path / "bundle.json").stat().st_mode & 0o077 == 0


def test_bundle_has_no_secrets_that_a_mistake_quotes(host, tmp_path, sentinel):
    host.write_text(host.read_text() + "webhook: {url: 'http://admin:sEcReT1@wiki/'}\n")
    sentinel("doctor", "--config", host, "--bundle", tmp_path / "bundle.json", check=1)
    text = (tmp_path / "bundle.json").read_text()
    assert "secrets belong in files" in text
    assert "sEcReT" not in text


def keys(model, seen):
    """Every key that sentinel.yml can have, at any depth."""
    if model in seen:
        return
    seen.add(model)
    for name, field in model.model_fields.items():
        yield name
        pending = [field.annotation]
        while pending:
            kind = pending.pop()
            pending += typing.get_args(kind)
            if isinstance(kind, type) and issubclass(kind, yamlfile.Settings):
                yield from keys(kind, seen)


def test_every_setting_that_could_hold_a_secret_is_blanked_or_only_says_where_it_is():
    suspicious = {k for k in keys(config.Config, set()) if re.search("pass|secret|token|key|cred", k)}
    assert suspicious
    for key in suspicious:
        kept = doctor.without_secrets({key: "hunter2"}) == {key: "hunter2"}
        assert kept == (key.endswith(("_file", "_env", "_credential")) or key == "key"), (
            key
        )  # key: a file, for TLS


@pytest.mark.parametrize(
    "text",
    [
        "password: hunter2",
        'db: {secret_key: "hun ter2"}',
        "api_token: |\n  hunter2\n  hunter2",
        "access_key: [AKIA, hunter2]",
        "store: s3://AKIA:hunter2@bucket/prefix",
        "url: https://h/?token=hunter2&a=1",
    ],
)
def test_secret_values_are_blanked(text):
    cleaned = str(doctor.without_secrets(yamlfile.construct(yamlfile.compose(text, "x"), "x")))
    assert "<removed>" in cleaned
    assert not re.search("hun|ter2|AKIA", cleaned)
