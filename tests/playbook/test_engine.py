"""The engine with real commands: every step kind, failure, rollback, approval, kill -9 and resume."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from sentinel.backup.settings import BackupSettings
from sentinel.errors import PlaybookError, UsageError
from sentinel.ledger import Ledger
from sentinel.playbook.engine import Approval, Mode, Result
from sentinel.playbook.runner import Request, Runner
from sentinel.state import State

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "name: probe\ntitle: T\nwhen: W\nsteps:\n"


class Bench:
    """A runner over one playbook file, with a state directory of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.file = place / "probe.yml"
        self.state = State(place / "state")
        self.ledger = Ledger(place / "state")
        self.approved: set[str] = set()
        self.told: list[tuple[str, str, str]] = []

    def runner(self) -> Runner:
        return Runner(
            config=self.place / "sentinel.yml",
            settings=BackupSettings(scratch_directory=self.place / "scratch"),
            state=self.state,
            ledger=self.ledger,
            approve=lambda step, _q: Approval("amy", "terminal") if step.step in self.approved else None,
            tell=lambda event, step, text: self.told.append((event, step.step, text)),
        )

    def run(self, steps: str, mode: Mode = Mode.REAL):
        self.file.write_text(HEAD + steps)
        return self.runner().run(Request(str(self.file), mode))

    def row(self):
        return self.state.read("SELECT * FROM playbook_run ORDER BY started DESC")[0]

    def ledger_steps(self) -> list[tuple[str, str]]:
        return [(e.subject, e.detail["result"]) for e in self.ledger.entries() if e.action == "playbook.step"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_steps_run_in_order_and_are_recorded(bench: Bench) -> None:
    out = bench.place / "out"
    outcome = bench.run(
        f"""
  - {{step: one, title: t, run: ["sh -c 'echo one >> {out}'"]}}
  - {{step: two, title: t, run: ["sh -c 'echo two >> {out}'"], verify: ["grep -q two {out}"]}}
"""
    )
    assert outcome.ok
    assert out.read_text() == "one\ntwo\n"
    assert bench.ledger_steps() == [("probe/one", "ok"), ("probe/two", "ok")]
    assert bench.row()["result"] == "ok"
    assert bench.ledger.verify().bad_line is None


def test_a_check_that_holds_skips_the_step(bench: Bench) -> None:
    outcome = bench.run(f"  - {{step: one, title: t, check: ['true'], run: ['touch {bench.place}/made']}}\n")
    assert [record.result for record in outcome.steps] == [Result.ALREADY]
    assert not (bench.place / "made").exists()


def test_a_broken_step_is_named_and_what_was_done_is_undone(bench: Bench) -> None:
    steps = f"""
  - {{step: aside, title: t, run: ["mv {bench.place}/a {bench.place}/b"], rollback: ["mv {bench.place}/b {bench.place}/a"]}}
  - {{step: fill, title: t, run: ["cat {bench.place}/absent"], rollback: ["rm -f {bench.place}/half"]}}
  - {{step: never, title: t, run: ["touch {bench.place}/never"]}}
"""
    (bench.place / "a").write_text("live")
    outcome = bench.run(steps)
    assert not outcome.ok
    assert outcome.failed_step == "fill"
    assert "absent: No such file or directory" in outcome.message
    assert (bench.place / "a").read_text() == "live"
    assert not (bench.place / "never").exists()
    assert [(r.step, str(r.result)) for r in outcome.steps] == [
        ("aside", "ok"),
        ("fill", "failed"),
        ("fill", "rolled back"),
        ("aside", "rolled back"),
    ]
    with pytest.raises(PlaybookError, match="step 'fill' failed"):
        outcome.require_ok()
    with pytest.raises(UsageError):
        bench.runner().resume()  # a failed run was rolled back: there is nothing to go on with


def test_a_failed_verify_fails_the_step(bench: Bench) -> None:
    assert bench.run("  - {step: one, title: t, run: ['true'], verify: ['false']}\n").failed_step == "one"


def test_a_failed_rollback_is_recorded_and_the_others_go_on(bench: Bench) -> None:
    (bench.place / "a").write_text("live")
    outcome = bench.run(
        f"""
  - {{step: aside, title: t, run: ["mv {bench.place}/a {bench.place}/b"], rollback: ["mv {bench.place}/b {bench.place}/a"]}}
  - {{step: fill, title: t, run: ["false"], rollback: ["false"]}}
"""
    )
    assert [str(r.result) for r in outcome.steps] == ["ok", "failed", "rollback failed", "rolled back"]
    assert (bench.place / "a").exists()


def test_wait_repeats_until_it_holds(bench: Bench) -> None:
    counter = bench.place / "counter"
    until = f"sh -c 'echo x >> {counter}; test $(wc -l < {counter}) -ge 3'"
    assert bench.run(f'  - {{step: one, title: t, wait: {{until: "{until}", every: 0.05}}}}\n').ok
    assert counter.read_text() == "x\n" * 3


def test_wait_gives_up(bench: Bench) -> None:
    outcome = bench.run("  - {step: one, title: t, wait: {until: 'false', every: 0.05, timeout: 0}}\n")
    assert outcome.failed_step == "one"
    assert "still not so" in outcome.message


def test_a_step_that_takes_too_long_fails(bench: Bench) -> None:
    outcome = bench.run("  - {step: one, title: t, run: ['sleep 60'], timeout: 0.2}\n")
    assert "no result after 0.2 s" in outcome.message


def test_values_never_become_commands(bench: Bench) -> None:
    evil = f"x; touch {bench.place}/owned $(touch {bench.place}/owned) '"
    bench.file.write_text(
        "name: probe\ntitle: T\nwhen: W\nparameters: {word: {about: w}}\n"
        "steps:\n  - {step: one, title: t, run: ['echo {word}']}\n"
    )
    assert bench.runner().run(Request(str(bench.file), parameters={"word": evil})).ok
    assert ("output", "one", evil) in bench.told
    assert not (bench.place / "owned").exists()


def test_approval_is_asked_and_recorded_with_its_person(bench: Bench) -> None:
    steps = f"  - {{step: one, title: t, confirm: 'Really replace it?', run: ['touch {bench.place}/made']}}\n"
    outcome = bench.run(steps)
    assert outcome.result == "waiting"
    assert not (bench.place / "made").exists()
    bench.approved.add("one")
    assert bench.runner().resume().ok
    assert (bench.place / "made").exists()
    (approval,) = [e for e in bench.ledger.entries() if e.action == "playbook.approval"]
    assert approval.detail["by"] == "amy"


def test_a_sandbox_needs_no_approval_and_leaves_nothing(bench: Bench) -> None:
    steps = "  - {step: one, title: t, confirm: 'Really replace it?', run: ['touch {sandbox}/made'], verify: ['test -f {sandbox}/made']}\n"
    assert bench.run(steps, Mode.SANDBOX).ok
    assert list((bench.place / "scratch").iterdir()) == []


def test_only_says_where_a_step_belongs(bench: Bench) -> None:
    steps = "  - {step: one, title: t, only: real, run: ['false']}\n  - {step: two, title: t, only: sandbox, run: ['true']}\n"
    outcome = bench.run(steps, Mode.SANDBOX)
    assert [record.result for record in outcome.steps] == [Result.SKIPPED, Result.OK]


def test_dry_run_does_nothing(bench: Bench) -> None:
    bench.file.write_text(HEAD + f"  - {{step: one, title: t, run: ['touch {bench.place}/made']}}\n")
    plan = bench.runner().dry(Request(str(bench.file)))
    assert plan.mode is Mode.DRY_RUN
    assert not (bench.place / "made").exists()
    assert bench.state.read("SELECT * FROM playbook_run") == []


def test_a_changed_playbook_is_not_resumed(bench: Bench) -> None:
    bench.run("  - {step: one, title: t, confirm: 'Really replace it?', run: ['true']}\n")
    bench.file.write_text(bench.file.read_text() + "  - {step: two, title: t, run: ['true']}\n")
    with pytest.raises(PlaybookError, match="has changed"):
        bench.runner().resume()


@pytest.mark.parametrize("mode", ["real", "sandbox"])
@pytest.mark.parametrize("killed_in", [1, 2, 3])
def test_killed_in_the_middle_then_resumed(bench: Bench, mode: str, killed_in: int) -> None:
    """Each step appends its number once; the step that is killed blocks until we have seen it begin."""
    place, config = bench.place, bench.place / "sentinel.yml"
    config.write_text(f"state_directory: {place}/state\nbackup: {{scratch_directory: {place}/scratch}}\n")
    lines = []
    for number in (1, 2, 3):
        once = f"grep -qx {number} {place}/out"
        begin = f"touch {place}/began{number}"
        block = f"test -e {place}/go || sleep 60" if number == killed_in else "true"
        work = f"{begin}; {block}; echo {number} >> {place}/out"
        lines.append(f'  - {{step: s{number}, title: t, check: ["{once}"], run: ["sh -c \'{work}\'"]}}')
    bench.file.write_text(HEAD + "\n".join(lines) + "\n")
    (place / "out").touch()
    command = [sys.executable, "-m", "sentinel", "playbook", "run", "--config", str(config)]
    flags = ["--sandbox"] if mode == "sandbox" else []
    child = subprocess.Popen([*command, *flags, str(bench.file)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (place / f"began{killed_in}").exists():
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert bench.row()["result"] == "running"
    (place / "go").touch()
    done = subprocess.run([*command, "--resume", "--json"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["result"] == "ok"
    assert (place / "out").read_text().split() == ["1", "2", "3"]
    assert bench.row()["result"] == "ok"
    assert bench.ledger.verify().bad_line is None
