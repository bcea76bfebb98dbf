"""Run a playbook step by step: record each, stop at the first failure, roll back, resume after an interruption.

In: a plan (playbook, values, environment, mode) and somebody who approves. Out: an Outcome, a row in state
(playbook_run, the resume point) and one ledger record a step. Invariants: state is written before and after each step,
so a kill -9 loses at most the knowledge whether the running step had ended, and that step is repeated from its check;
a step that asks a person runs only when one approved it in this run; a program that runs for us dies with us.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinel import process
from sentinel.errors import PlaybookError, ProgramError
from sentinel.playbook.book import argv, fill

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sentinel.ledger import Ledger
    from sentinel.playbook.settings import Playbook, Step
    from sentinel.state import State


class Mode(StrEnum):
    REAL = "real"
    SANDBOX = "sandbox"
    DRY_RUN = "dry-run"


class Result(StrEnum):
    OK = "ok"
    ALREADY = "already done"
    SKIPPED = "skipped"
    FAILED = "failed"
    ROLLED_BACK = "rolled back"
    ROLLBACK_FAILED = "rollback failed"
    NOT_APPROVED = "not approved"


@dataclass(frozen=True, slots=True)
class Approval:
    """Who approved and how (`terminal`, or `--approve` on the command line of this run)."""

    by: str
    how: str


@dataclass(frozen=True, slots=True)
class StepRecord:
    step: str
    result: Result
    seconds: float = 0.0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a run needs; `environment` may hold log-in data and is never recorded."""

    run: str
    playbook: Playbook
    digest: str
    mode: Mode
    values: Mapping[str, str]
    environment: Mapping[str, str]
    directory: Path
    recorded: Mapping[str, Any] = field(default_factory=dict)  # what `resume` needs to plan again
    deadline: float = math.inf  # monotonic; a drill's own time limit

    def filled(self, text: str) -> str:
        return fill(text, self.values)


@dataclass(frozen=True, slots=True)
class Outcome:
    run: str
    result: str  # ok, failed, waiting (for an approval)
    seconds: float
    steps: tuple[StepRecord, ...]
    failed_step: str = ""
    message: str = ""

    @property
    def ok(self) -> bool:
        return self.result == "ok"

    def require_ok(self) -> None:
        if not self.ok:
            raise PlaybookError(self.message)


class Engine:
    """One run. `tell` hears of every step and command as it happens."""

    def __init__(
        self,
        plan: Plan,
        state: State,
        ledger: Ledger,
        *,
        approve: Callable[[Step, str], Approval | None],
        tell: Callable[[str, Step, str], None] = lambda _event, _step, _text: None,
    ) -> None:
        self.plan = plan
        self.state = state
        self.ledger = ledger
        self.approve = approve
        self.tell = tell
        self.records: list[StepRecord] = []
        self.approvals: dict[str, dict[str, str]] = {}

    def start(self) -> Outcome:
        self._save(0, "running", new=True)
        self.ledger.append(
            "playbook.start",
            self.plan.playbook.name,
            run=self.plan.run,
            mode=self.plan.mode,
            digest=self.plan.digest,
        )
        return self._run_from(0)

    def resume(
        self, step: int, records: Sequence[StepRecord], approvals: dict[str, dict[str, str]]
    ) -> Outcome:
        """Go on at `step`, which may have run in part: its check decides whether it is repeated."""
        self.records = list(records)
        self.approvals = approvals
        self.ledger.append("playbook.resume", self.plan.playbook.name, run=self.plan.run, step=step)
        return self._run_from(step)

    # --- the walk -------------------------------------------------------------------------------------------

    def _run_from(self, first: int) -> Outcome:
        started = time.monotonic()
        for index, step in enumerate(self.plan.playbook.steps[first:], first):
            self._save(index, "running")
            record = self._step(step)
            self._record(record)
            if record.result is Result.NOT_APPROVED:
                message = (
                    f"{self.plan.playbook.name}: step {step.step!r} waits for an approval: {record.message}"
                )
                return self._end(index, "waiting", started, step.step, message)
            if record.result is Result.FAILED:
                self._roll_back(index)
                message = f"{self.plan.playbook.name}: step {step.step!r} failed: {record.message}"
                return self._end(index, "failed", started, step.step, message)
        return self._end(len(self.plan.playbook.steps), "ok", started)

    def _step(self, step: Step) -> StepRecord:
        started = time.monotonic()
        if step.only not in {None, str(self.plan.mode)}:
            return StepRecord(step.step, Result.SKIPPED, message=f"only in a {step.only} run")
        self.tell("step", step, self.plan.filled(step.title))
        try:
            result, message = self._act(step)
        except ProgramError as error:
            result, message = Result.FAILED, str(error)
        return StepRecord(step.step, result, time.monotonic() - started, message)

    def _act(self, step: Step) -> tuple[Result, str]:
        if step.check and self._holds(step):
            return Result.ALREADY, "its check holds"
        if step.confirm and not self._approved(step):
            return Result.NOT_APPROVED, self.plan.filled(step.confirm)
        for command in step.run:
            self._command(step, command)
        if step.wait:
            self._wait(step)
        for command in step.verify:
            self._command(step, command)
        return Result.OK, ""

    def _holds(self, step: Step) -> bool:
        try:
            for command in step.check:
                self._command(step, command)
        except ProgramError:
            return False
        return True

    def _approved(self, step: Step) -> bool:
        assert step.confirm is not None
        if self.plan.mode is Mode.SANDBOX or step.step in self.approvals:
            return True  # nothing but scratch data is at stake; or approved before the run was interrupted
        approval = self.approve(step, self.plan.filled(step.confirm))
        if approval is None:
            return False
        self.approvals[step.step] = asdict(approval)
        self._save(self.plan.playbook.steps.index(step), "running")
        self.ledger.append(
            "playbook.approval",
            f"{self.plan.playbook.name}/{step.step}",
            run=self.plan.run,
            by=approval.by,
            how=approval.how,
        )
        return True

    def _wait(self, step: Step) -> None:
        assert step.wait is not None
        deadline = time.monotonic() + step.wait.timeout
        while True:
            try:
                self._command(step, step.wait.until)
            except ProgramError as error:
                if time.monotonic() >= deadline:
                    raise ProgramError(
                        f"still not so after {step.wait.timeout:g} s: {_why(error)}"
                    ) from error
            else:
                return
            time.sleep(step.wait.every)

    def _command(self, step: Step, command: str) -> None:
        words = argv(command, self.plan.values)
        self.tell("command", step, self.plan.filled(command))
        try:
            done = process.run(
                _program(words),
                env=_with_our_path(self.plan.environment),
                timeout_seconds=min(step.timeout, self._left()),
                cwd=str(self.plan.directory),
            )
        except ProgramError as error:
            raise ProgramError(f"`{self.plan.filled(command)}`: {_why(error)}") from error
        output = done.stdout.decode("utf-8", "replace").strip()
        if output:
            self.tell("output", step, output)

    def _left(self) -> float:
        left = self.plan.deadline - time.monotonic()
        if left <= 0:
            raise ProgramError("the time for the whole run is over")
        return left

    def _roll_back(self, failed: int) -> None:
        """Undo the failed step and the ones that this run completed, newest first."""
        completed = {record.step for record in self.records if record.result is Result.OK}
        for index in range(failed, -1, -1):
            step = self.plan.playbook.steps[index]
            if not step.rollback or (index != failed and step.step not in completed):
                continue
            started = time.monotonic()
            result, message = Result.ROLLED_BACK, ""
            try:
                for command in step.rollback:
                    self._command(step, command)
            except ProgramError as error:
                result, message = Result.ROLLBACK_FAILED, str(error)
            self._record(StepRecord(step.step, result, time.monotonic() - started, message))

    # --- the record -----------------------------------------------------------------------------------------

    def _record(self, record: StepRecord) -> None:
        self.records.append(record)
        self.ledger.append(
            "playbook.step",
            f"{self.plan.playbook.name}/{record.step}",
            run=self.plan.run,
            mode=self.plan.mode,
            result=record.result,
            seconds=round(record.seconds, 3),
            message=record.message,
        )
        step = next(step for step in self.plan.playbook.steps if step.step == record.step)
        self.tell(str(record.result), step, record.message)

    def _end(self, index: int, result: str, started: float, step: str = "", message: str = "") -> Outcome:
        self._save(index, result)
        self.ledger.append(
            "playbook.end",
            self.plan.playbook.name,
            run=self.plan.run,
            mode=self.plan.mode,
            result=result,
            step=step,
        )
        seconds = time.monotonic() - started
        return Outcome(self.plan.run, result, seconds, tuple(self.records), step, message)

    def _save(self, index: int, result: str, *, new: bool = False) -> None:
        detail = dict(self.plan.recorded) | {
            "digest": self.plan.digest,
            "steps": [asdict(record) for record in self.records],
            "approvals": self.approvals,
        }
        finished = None if result in {"running", "waiting"} else time.time_ns()
        row = (finished, result, index, json.dumps(detail), self.plan.run)
        with self.state.write() as connection:
            if new:
                connection.execute(
                    "INSERT INTO playbook_run VALUES (?, ?, ?, ?, NULL, 'running', 0, '{}')",
                    (self.plan.run, self.plan.playbook.name, str(self.plan.mode), time.time_ns()),
                )
            connection.execute(
                "UPDATE playbook_run SET finished = ?, result = ?, step = ?, detail = ? WHERE id = ?", row
            )


def _program(words: list[str]) -> list[str]:
    """`sentinel` is this very program. Commands die with us: a resumed run must not meet its own past."""
    if words[0] == "sentinel":
        words = [sys.executable, "-m", "sentinel", *words[1:]]
    tie = ["setpriv", "--pdeathsig", "KILL"] if process.find("setpriv") else []
    return [*tie, *words]


def _with_our_path(environment: Mapping[str, str]) -> dict[str, str]:
    """A command may start `sentinel` through another program (sh, nsenter): it must find this very one."""
    return {"PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"} | dict(environment)


def _why(error: ProgramError) -> str:
    lines = error.stderr.splitlines()
    return lines[-1] if lines else str(error).removeprefix("setpriv: ")
