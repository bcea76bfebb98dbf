"""Every shipped playbook, executed: in its sandbox, broken, killed and resumed; and the restores for real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from shop import KINDS, Bench, SqliteShop

from sentinel import yamlfile
from sentinel.playbook import book
from sentinel.playbook.engine import Mode, Result
from sentinel.playbook.runner import Request, Runner

SHIPPED = book.SHIPPED[1]
NAMES = sorted(path.stem for path in SHIPPED.glob("*.yml"))


class FilesBench(Bench):
    def configure(self, **_settings) -> None:
        folder = self.place / "srv"
        folder.mkdir(exist_ok=True)
        for number in range(5):
            (folder / f"file{number}").write_text(f"content {number}")
        super().configure(source={"paths": {"include": [str(folder)]}})


@pytest.fixture
def ready(tmp_path, bench_of):
    """Playbook -> a bench whose job has run, and the parameters that the sandbox needs."""

    def make(name: str) -> tuple[Bench, str, dict[str, str]]:
        kind = name.removeprefix("restore-")
        if name in {"restore-files", "restore-host"}:
            bench = FilesBench(tmp_path, None)
        elif kind in KINDS:
            bench = bench_of(kind)
        else:
            shop = SqliteShop(tmp_path, None)
            shop.seed()
            bench = Bench(tmp_path, shop)
        assert bench.run().result == "ok"
        if name == "restore-host":
            return bench, "", {"location": str(bench.store), "password_file": str(tmp_path / "repo.pw")}
        about_jobs = name.startswith("restore-") or name == "repository-damaged"
        return bench, "shop" if about_jobs else "", {}

    return make


def runner(bench: Bench) -> Runner:
    return Runner(config=bench.config, settings=bench.settings, state=bench.state, ledger=bench.ledger)


@pytest.mark.service
@pytest.mark.netns
@pytest.mark.parametrize("name", NAMES)
def test_executed_in_its_sandbox(ready, name) -> None:
    bench, job, parameters = ready(name)
    if name == "repository-damaged":
        pack = max(
            (bench.store / "data").rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0
        )
        pack.chmod(0o600)
        pack.write_bytes(pack.read_bytes()[:-100])
    before = {
        path: path.read_bytes()
        for path in bench.store.rglob("*")
        if path.is_file() and "locks" not in path.parts
    }
    if name.removeprefix("restore-") in KINDS:  # as the scheduler runs it
        live = bench.shop.rows()
        result = bench.drill()
        assert result.problems == ()
        assert result.rto_seconds > 0
        assert bench.shop.rows() == live
    else:
        outcome = runner(bench).run(Request(name, Mode.SANDBOX, job, parameters))
        assert outcome.ok, outcome.message
    steps = json.loads(bench.state.read("SELECT detail FROM playbook_run")[0]["detail"])["steps"]
    ran = {record["step"] for record in steps if record["result"] in {Result.OK, Result.ALREADY}}
    real = {step.step for step in book.load(SHIPPED / f"{name}.yml").steps if step.only == "real"}
    assert ran | real == set(book.load(SHIPPED / f"{name}.yml").step_names())
    after = {
        path: path.read_bytes()
        for path in bench.store.rglob("*")
        if path.is_file() and "locks" not in path.parts
    }
    assert before == after, "a rehearsal changed the real repository"
    recorded = [entry.subject for entry in bench.ledger.entries() if entry.action == "playbook.step"]
    assert len(recorded) == len(steps)


@pytest.mark.parametrize("name", NAMES)
def test_a_broken_step_fails_and_is_named(tmp_path, name) -> None:
    bench = Bench(tmp_path, SqliteShop(tmp_path, None))
    data = yamlfile.construct(yamlfile.compose((SHIPPED / f"{name}.yml").read_text(), name), name)
    broken = next(step for step in data["steps"] if step.get("run") and "only" not in step)
    broken["run"], broken["check"] = ["false"], []
    data["steps"] = [broken]
    data["sandbox"] = "directory"
    folder = bench.place / "books"
    folder.mkdir()
    (folder / f"{name}.yml").write_text(yamlfile.dump(data))
    parameters = {key: "any" for key in data["parameters"] if key != "job"}
    outcome = runner(bench).run(Request(str(folder / f"{name}.yml"), Mode.SANDBOX, "shop", parameters))
    assert outcome.failed_step == broken["step"]
    assert f"step {broken['step']!r} failed" in outcome.message


def kill_in(bench: Bench, command: list[str], name: str, step: str) -> str:
    """Start, wait until the step has begun, kill -9; the run's id."""
    index = book.load(SHIPPED / f"{name}.yml").step_names().index(step)
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while True:
        rows = bench.state.read("SELECT id, step FROM playbook_run WHERE result = 'running'")
        if rows and rows[0]["step"] >= index:
            break
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.1)  # into the step's command, which takes longer to start than this
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    return rows[0]["id"]


def middle(name: str) -> str:
    """Of the steps that a sandbox executes, the one in the middle that does something."""
    steps = [step for step in book.load(SHIPPED / f"{name}.yml").steps if step.run and step.only != "real"]
    return steps[len(steps) // 2].step


@pytest.mark.service
@pytest.mark.netns
@pytest.mark.parametrize("name", NAMES)
def test_killed_in_the_middle_resume_ends_right(ready, name) -> None:
    bench, job, parameters = ready(name)
    command = [sys.executable, "-m", "sentinel", "playbook", "run", "--config", str(bench.config)]
    values = [word for item in parameters.items() for word in ("--set", "=".join(item))]
    begin = [*command, name, "--sandbox", *(["--job", job] if job else []), *values]
    run = kill_in(bench, begin, name, middle(name))
    done = subprocess.run([*command, "--resume", "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["run"], result["result"]) == (run, "ok")
    assert bench.ledger.verify().bad_line is None
    ended = {step["step"] for step in result["steps"] if step["result"] in {"ok", "already done"}}
    real = {step.step for step in book.load(SHIPPED / f"{name}.yml").steps if step.only == "real"}
    assert ended | real == set(book.load(SHIPPED / f"{name}.yml").step_names())
    assert not Path(
        json.loads(bench.state.read("SELECT detail FROM playbook_run")[0]["detail"])["directory"]
    ).exists()


@pytest.mark.service
@pytest.mark.parametrize("kind", KINDS)
def test_shop_lost_and_restored_for_real(bench_of, sentinel, kind) -> None:
    """Seeded shop, job, drop, playbook with a person's approval, identical rows."""
    bench = bench_of(kind)
    sentinel("backup", "run", "shop", "--config", bench.config, check=0)
    before = bench.shop.rows()
    bench.shop.destroy()
    name = f"restore-{kind}"
    confirms = [step.step for step in book.load(SHIPPED / f"{name}.yml").steps if step.confirm]
    begin = [name]
    if kind == "sqlite":
        waiting = sentinel("playbook", "run", name, "--config", bench.config, check=1)
        assert "waits for an approval" in waiting.stderr
        begin = ["--resume"]
    approvals = [word for step in confirms for word in ("--approve", step)]
    sentinel("playbook", "run", *begin, *approvals, "--config", bench.config, check=0)
    assert bench.shop.rows() == before
    given = [entry for entry in bench.ledger.entries() if entry.action == "playbook.approval"]
    assert {entry.detail["how"] for entry in given} == {"--approve"}
    assert bench.ledger.verify().bad_line is None


@pytest.mark.service
@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_damaged_shop_is_replaced_and_the_damage_kept(bench_of, sentinel, kind) -> None:
    """The database is there but wrong: what is left of it is set aside before it is replaced."""
    bench = bench_of(kind)
    sentinel("backup", "run", "shop", "--config", bench.config, check=0)
    before = bench.shop.rows()
    bench.shop.empty_orders()
    name = f"restore-{kind}"
    steps = book.load(SHIPPED / f"{name}.yml").steps
    approvals = [word for step in steps if step.confirm for word in ("--approve", step.step)]
    sentinel("playbook", "run", name, *approvals, "--config", bench.config, check=0)
    assert bench.shop.rows() == before
    kept = {
        "postgresql": lambda: bench.shop.admin.ask("SELECT 1 FROM pg_database WHERE datname = 'shop_before'"),
        "mariadb": lambda: list((bench.place / "state" / "playbooks").rglob("database.sql")),
    }
    assert kept[kind]()


def test_files_restored_for_real(tmp_path, sentinel) -> None:
    bench = FilesBench(tmp_path, None)
    assert bench.run().result == "ok"
    target = tmp_path / "copy"
    (tmp_path / "srv" / "file2").unlink()
    (tmp_path / "srv" / "file3").write_text("encrypted")
    approve = ("--approve", "put-in-place", "--set", f"target={target}")
    sentinel("playbook", "run", "restore-files", *approve, "--config", bench.config, check=0)
    assert [(tmp_path / "srv" / f"file{n}").read_text() for n in range(5)] == [
        f"content {n}" for n in range(5)
    ]


def test_a_host_from_repository_and_password_alone(tmp_path, sentinel) -> None:
    """No configuration at all, as on a bare machine."""
    bench = FilesBench(tmp_path, None)
    assert bench.run().result == "ok"
    bare = tmp_path / "bare"
    bare.mkdir()
    approvals = [word for step in ("restore", "boot", "databases") for word in ("--approve", step)]
    values = [f"location={bench.store}", f"password_file={tmp_path / 'repo.pw'}", f"target={bare / 'root'}"]
    sentinel(
        "playbook",
        "run",
        "restore-host",
        *approvals,
        *(word for value in values for word in ("--set", value)),
        "--config",
        bare / "none.yml",
        check=0,
        env={**os.environ, "STATE_DIRECTORY": str(bare / "state")},
    )
    restored = bare / "root" / str(tmp_path / "srv").lstrip("/")
    assert sorted(path.name for path in restored.iterdir()) == [f"file{n}" for n in range(5)]


@pytest.mark.parametrize("name", NAMES)
def test_shown_to_a_human_with_stock_commands(sentinel, tmp_path, name) -> None:
    """Also on a machine without any configuration."""
    page = sentinel("playbook", "show", name, "--config", tmp_path / "none.yml", check=0).stdout
    steps = [step for step in book.load(SHIPPED / f"{name}.yml").steps if step.only != "sandbox"]
    assert all(step.step in page for step in steps)
    assert "By hand, without Sentinel:" in page
    if name.startswith("restore-"):
        assert "restic " in page
