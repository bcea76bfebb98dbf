"""Prove a job by restoring it: run its playbook in a sandbox, compare with what was recorded, tear down, measure.

In: settings, a job's name and a callable that runs a playbook in a sandbox. Out: a DrillResult in state, ledger and
metrics. Invariants: a drill is `ok` only when every recorded invariant and every operator's query holds in the copy;
the copy is examined here too, not only by the playbook's own verify steps; whatever fails is a failed drill, never
an exception; a drill that did not run in time is recorded as `missed`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from sentinel.backup import access, history, sandbox
from sentinel.backup.jobs import only_one
from sentinel.backup.restore import list_files
from sentinel.backup.source.invariants import Invariants, differences, shrunk
from sentinel.backup.targets import in_sandbox, target_of
from sentinel.errors import SentinelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentinel.backup.sandbox import Sandbox
    from sentinel.backup.settings import BackupSettings, DrillSettings, JobSettings, QuerySettings
    from sentinel.backup.source.source import Source
    from sentinel.ledger import Ledger
    from sentinel.state import State

KEPT_PROBLEMS = 50
SANDBOX_KINDS = {"postgresql": "postgresql", "mariadb": "mariadb", "redis": "redis"}


class PlaybookReport(Protocol):
    """What a drill needs to know of a playbook's run."""

    @property
    def ok(self) -> bool: ...
    @property
    def message(self) -> str: ...
    @property
    def seconds(self) -> float: ...


class RunPlaybook(Protocol):
    def __call__(
        self,
        name: str,
        *,
        job: str,
        parameters: Mapping[str, str],
        sandbox: Sandbox,
        settings: BackupSettings,
    ) -> PlaybookReport: ...


@dataclass(frozen=True, slots=True)
class DrillResult:
    """`rto_seconds`: from an empty sandbox to a verified copy. `rpo_seconds`: the age of the data at that start."""

    job: str
    playbook: str
    result: str  # ok, failed
    snapshot: str = ""
    rto_seconds: float | None = None
    rpo_seconds: float | None = None
    bytes: int = 0
    problems: tuple[str, ...] = ()
    detail: dict[str, Any] = field(default_factory=dict)

    def require_ok(self) -> None:
        if self.result != history.OK:
            raise SentinelError(f"drill of {self.job} failed: " + "; ".join(self.problems))


@dataclass(slots=True)
class _Findings:
    snapshot: str = ""
    rto_seconds: float | None = None
    rpo_seconds: float | None = None
    bytes: int = 0
    problems: list[str] = field(default_factory=list)
    measured: Invariants | None = None


def run_drill(
    settings: BackupSettings, name: str, state: State, ledger: Ledger, run_playbook: RunPlaybook
) -> DrillResult:
    job = access.job_of(settings, name)
    if job.drill is None:
        raise UsageError(f"job {name!r} has no drill in the configuration")
    with only_one(state, f"{name}.drill"):
        run = history.begin_drill(state, name, job.drill.playbook)
        found = _Findings()
        try:
            _drill(
                settings, name, job=job, drill=job.drill, state=state, run_playbook=run_playbook, found=found
            )
        except SentinelError as error:
            found.problems.append(str(error))
        except BaseException:
            found.problems.append("interrupted")
            raise
        finally:
            result = _result(name, job.drill.playbook, found)
            _record(state, ledger, run, result)
    return result


def record_missed(state: State, ledger: Ledger, job: str, playbook: str, due: int) -> None:
    """A drill that should have run by now and did not is a failure of its own."""
    run = history.begin_drill(state, job, playbook)
    problem = f"was due at {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(due / history.NANOSECONDS))} UTC"
    detail = {"problems": [problem], "due": due}
    history.end_drill(
        state, run, result=history.MISSED, snapshot="", rto_seconds=None, rpo_seconds=None, detail=detail
    )
    ledger.append("backup.drill", job, result=history.MISSED, playbook=playbook, problems=[problem])


def _drill(
    settings: BackupSettings,
    name: str,
    *,
    job: JobSettings,
    drill: DrillSettings,
    state: State,
    run_playbook: RunPlaybook,
    found: _Findings,
) -> None:
    began = time.time_ns()
    with access.open_repository(access.repository_of(settings, job.repository)) as repository:
        snapshot = access.job_snapshot(repository, name)
        found.snapshot = snapshot.id
        recorded = access.recorded_of(repository, snapshot, state, name)
        found.bytes = sum(entry.size for entry in list_files(repository, snapshot) if entry.type == "file")
    found.rpo_seconds = (began - (recorded.time if recorded else snapshot.time_ns)) / history.NANOSECONDS
    found.problems += _age_problems(drill, found.rpo_seconds)
    kind = SANDBOX_KINDS.get(job.source.kind, "directory")
    with sandbox.opened(kind, settings.scratch_directory) as place:
        started = time.monotonic()
        parameters = {"snapshot": snapshot.id} | drill.parameters
        report = run_playbook(
            drill.playbook, job=name, parameters=parameters, sandbox=place, settings=settings
        )
        found.rto_seconds = time.monotonic() - started
        if not report.ok:
            found.problems.append(report.message)
            return
        copy = target_of(job, in_sandbox(job, place))
        found.problems += _examine(copy, recorded, drill, found, _last_good(state, name))


def _age_problems(drill: DrillSettings, age_seconds: float) -> list[str]:
    if drill.max_age is None or age_seconds <= drill.max_age:
        return []
    return [f"the newest dump is too old: {age_seconds:.0f} s, allowed are {drill.max_age:.0f} s"]


def _examine(
    copy: Source,
    recorded: Invariants | None,
    drill: DrillSettings,
    found: _Findings,
    earlier: Invariants | None,
) -> list[str]:
    found.measured = copy.measure()
    problems = [] if recorded is None else differences(recorded, found.measured)
    if recorded is None and not drill.queries:
        problems.append("nothing was recorded at dump time and there are no queries: the copy proves nothing")
    if earlier is not None:
        problems += shrunk(earlier, found.measured, drill.max_shrink)
    return problems + [text for query in drill.queries for text in _ask(copy, query)]


def _ask(copy: Source, query: QuerySettings) -> list[str]:
    try:
        answer = copy.ask(query.query)
    except SentinelError as error:
        return [f"query {query.query!r}: {error}"]
    if query.expect is not None:
        return (
            []
            if answer == query.expect
            else [f"query {query.query!r}: {answer!r}, expected {query.expect!r}"]
        )
    assert query.at_least is not None
    try:
        enough = float(answer) >= query.at_least
    except ValueError:
        return [f"query {query.query!r}: {answer!r} is no number"]
    return [] if enough else [f"query {query.query!r}: {answer}, expected at least {query.at_least:g}"]


def _last_good(state: State, job: str) -> Invariants | None:
    good = history.last(history.drill_runs(state, job, (history.OK,), 1))
    measured = good.detail.get("measured") if good else None
    return Invariants.from_data(measured) if measured else None


def _result(name: str, playbook: str, found: _Findings) -> DrillResult:
    ok = not found.problems
    detail: dict[str, Any] = {"bytes": found.bytes, "problems": found.problems[:KEPT_PROBLEMS]}
    if ok and found.measured:
        detail["measured"] = found.measured.data()
    return DrillResult(
        job=name,
        playbook=playbook,
        result=history.OK if ok else history.FAILED,
        snapshot=found.snapshot,
        rto_seconds=found.rto_seconds,
        rpo_seconds=found.rpo_seconds,
        bytes=found.bytes,
        problems=tuple(found.problems[:KEPT_PROBLEMS]),
        detail=detail,
    )


def _record(state: State, ledger: Ledger, run: int, result: DrillResult) -> None:
    history.end_drill(
        state,
        run,
        result=result.result,
        snapshot=result.snapshot,
        rto_seconds=result.rto_seconds,
        rpo_seconds=result.rpo_seconds,
        detail=result.detail,
    )
    ledger.append(
        "backup.drill",
        result.job,
        result=result.result,
        playbook=result.playbook,
        snapshot=result.snapshot,
        rto_seconds=result.rto_seconds,
        rpo_seconds=result.rpo_seconds,
        bytes=result.bytes,
        problems=list(result.problems),
    )
