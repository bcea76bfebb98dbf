"""From a playbook's name and parameters to a run: for real, in a sandbox, dry, resumed, or as a drill's part.

In: the configuration and what the person typed. Out: an Outcome. Invariant: a resumed run is the run that was
interrupted, with the same file (by digest), values and directory; a changed playbook is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinel import yamlfile
from sentinel.backup import access
from sentinel.backup import sandbox as sandboxes
from sentinel.errors import PlaybookError, UsageError
from sentinel.playbook import book, facts
from sentinel.playbook.engine import Engine, Mode, Outcome, Plan, Result, StepRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sentinel.backup.settings import BackupSettings
    from sentinel.ledger import Ledger
    from sentinel.playbook.engine import Approval
    from sentinel.playbook.settings import Playbook, Step
    from sentinel.state import State

RESUMABLE = ("running", "waiting")


def nobody(_step: Step, _question: str) -> None:
    """Approve nothing."""


def silent(_event: str, _step: Step, _text: str) -> None:
    """Tell nothing."""


@dataclass(frozen=True, slots=True)
class Request:
    playbook: str
    mode: Mode = Mode.REAL
    job: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Runner:
    """`config` is the file that the playbook's own `sentinel` commands read."""

    config: Path
    settings: BackupSettings
    state: State
    ledger: Ledger
    approve: Callable[[Step, str], Approval | None] = nobody
    tell: Callable[[str, Step, str], None] = silent

    def run(self, request: Request) -> Outcome:
        path = book.find(request.playbook, self.settings.playbooks)
        playbook = book.load(path)
        request = replace(request, job=request.job or self._only_job(playbook, request))
        request = self._pinned(playbook, request)
        run = _new_run(playbook)
        with self._place(playbook, request.mode, run, None) as (directory, sandbox):
            plan = self.plan(playbook, path, request, run=run, directory=directory, sandbox=sandbox)
            return self.engine(plan).start()

    def dry(self, request: Request) -> Plan:
        """What a run would do; nothing is executed or recorded."""
        path = book.find(request.playbook, self.settings.playbooks)
        playbook = book.load(path)
        request = replace(request, mode=Mode.DRY_RUN, job=request.job or self._only_job(playbook, request))
        directory = self.state.path.parent / "playbooks" / "RUN"
        return self.plan(playbook, path, request, run="RUN", directory=directory, sandbox=None)

    def in_sandbox(
        self,
        name: str,
        *,
        job: str,
        parameters: Mapping[str, str],
        sandbox: sandboxes.Sandbox,
        settings: BackupSettings,
    ) -> Outcome:
        """A drill's part: the caller owns the sandbox and looks into it afterwards; `settings` as of its last reload."""
        runner = replace(self, settings=settings)
        path = book.find(name, settings.playbooks)
        playbook = book.load(path)
        request = Request(name, Mode.SANDBOX, job, parameters)
        run = _new_run(playbook)
        plan = runner.plan(playbook, path, request, run=run, directory=sandbox.root, sandbox=sandbox)
        drill = settings.jobs[job].drill if job in settings.jobs else None
        if drill:
            plan = replace(plan, deadline=time.monotonic() + drill.timeout)
        return runner.engine(plan).start()

    def resume(self, run: str = "") -> Outcome:
        """Continue the named run, or the newest one that can be continued."""
        row = self._interrupted(run)
        detail = json.loads(row["detail"])
        path = Path(detail["path"])
        playbook = book.load(path)
        if _digest(path) != detail["digest"]:
            raise PlaybookError(f"{path} has changed since run {row['id']} began; start anew")
        request = Request(row["playbook"], Mode(row["mode"]), detail["job"], detail["parameters"])
        with self._place(playbook, request.mode, row["id"], Path(detail["directory"])) as (
            directory,
            sandbox,
        ):
            plan = self.plan(playbook, path, request, run=row["id"], directory=directory, sandbox=sandbox)
            records = [
                StepRecord(**record | {"result": Result(record["result"])}) for record in detail["steps"]
            ]
            return self.engine(plan).resume(row["step"], records, detail["approvals"])

    def plan(
        self,
        playbook: Playbook,
        path: Path,
        request: Request,
        *,
        run: str,
        directory: Path,
        sandbox: sandboxes.Sandbox | None,
    ) -> Plan:
        """Facts, then defaults, then what the person gave."""
        given = dict(request.parameters)
        known = facts.gather(
            self.config,
            self.settings,
            job=request.job,
            repository=given.get("repository", ""),
            run=run,
            state_directory=self.state.path.parent,
            directory=directory,
            sandbox=sandbox,
        )
        values = known.values | _parameters(playbook, known.values, given, in_sandbox=sandbox is not None)
        recorded = {
            "path": str(path),
            "job": request.job,
            "parameters": given,
            "directory": str(directory),
        }
        return Plan(
            run, playbook, _digest(path), request.mode, values, known.environment, directory, recorded
        )

    # --- inside ---------------------------------------------------------------------------------------------

    def engine(self, plan: Plan) -> Engine:
        return Engine(plan, self.state, self.ledger, approve=self.approve, tell=self.tell)

    @contextlib.contextmanager
    def _place(
        self, playbook: Playbook, mode: Mode, run: str, directory: Path | None
    ) -> Iterator[tuple[Path, sandboxes.Sandbox | None]]:
        if mode is Mode.SANDBOX:
            parent = self.settings.scratch_directory
            with sandboxes.opened(playbook.sandbox, parent, root=directory) as sandbox:
                yield sandbox.root, sandbox
            return
        work = directory or self.state.path.parent / "playbooks" / run
        work.mkdir(parents=True, exist_ok=True, mode=0o700)
        yield work, None
        if not any(work.iterdir()):
            work.rmdir()  # what a playbook set aside there stays until a person removes it

    def _pinned(self, playbook: Playbook, request: Request) -> Request:
        """`latest` becomes one snapshot's id: a backup that ends meanwhile must not change what is restored."""
        wanted = request.parameters.get("snapshot", "latest")
        if not request.job or "snapshot" not in playbook.parameters or wanted != "latest":
            return request
        job = access.job_of(self.settings, request.job)
        with access.open_repository(access.repository_of(self.settings, job.repository)) as repository:
            found = access.job_snapshot(repository, request.job)
        return replace(request, parameters={**request.parameters, "snapshot": found.id})

    def _only_job(self, playbook: Playbook, request: Request) -> str:
        """The job a playbook is about when only one job drills with it."""
        if "job" in request.parameters:
            return request.parameters["job"]
        wanted = playbook.parameters.get("job")
        if wanted is None or wanted.default is not None:
            return ""
        jobs = [
            name
            for name, job in self.settings.jobs.items()
            if job.drill and job.drill.playbook == playbook.name
        ]
        if len(jobs) != 1:
            known = ", ".join(jobs or self.settings.jobs)
            raise UsageError(
                f"{playbook.name}: say which job it is about (--job); known are: {known or 'none'}"
            )
        return jobs[0]

    def _interrupted(self, run: str) -> Any:
        rows = self.state.read(
            "SELECT * FROM playbook_run WHERE (id = ? OR ? = '') AND result IN (?, ?) ORDER BY started DESC",
            (run, run, *RESUMABLE),
        )
        if not rows:
            raise UsageError(
                f"run {run!r} cannot be resumed" if run else "there is no interrupted run to resume"
            )
        return rows[0]


def remove_work(state: State, run: str) -> None:
    """Forget what a finished run set aside."""
    shutil.rmtree(state.path.parent / "playbooks" / run, ignore_errors=True)


def _parameters(
    playbook: Playbook, known: Mapping[str, str], given: Mapping[str, str], *, in_sandbox: bool
) -> dict[str, str]:
    unknown = sorted(set(given) - set(playbook.parameters))
    if unknown:
        names = ", ".join(playbook.parameters) or "none"
        raise UsageError(f"{playbook.name}: no parameter {', '.join(unknown)}; it has: {names}")
    values = {}
    for name, parameter in playbook.parameters.items():
        default = parameter.sandbox if in_sandbox and parameter.sandbox is not None else parameter.default
        if name in given:
            values[name] = given[name]
        elif default is not None:
            values[name] = book.fill(default, known)
        elif known.get(name):
            values[name] = known[name]
        else:
            raise UsageError(f"{playbook.name}: parameter {name!r} is needed ({parameter.about})")
    return values


def _new_run(playbook: Playbook) -> str:
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    return f"{playbook.name}-{stamp}-{secrets.token_hex(2)}"


def _digest(path: Path) -> str:
    return hashlib.sha256(yamlfile.read(path).encode()).hexdigest()
