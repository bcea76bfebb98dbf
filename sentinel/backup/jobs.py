"""Run one job: hooks, dump, snapshot, forget; the result in state, ledger and metrics.

In: the settings and a job's name. Out: a JobResult; never an exception for what a job can meet. Invariants: a source
that is missing or fails is a failed job and leaves no snapshot; a file that could not be read makes the result
`incomplete`, and is named; `after` hooks run whatever happened and learn the result; one run of a job at a time.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import threading
import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from sentinel import ownership, process
from sentinel.backup import access, history
from sentinel.backup.archive import BackupOptions, Report, Stream, backup
from sentinel.backup.retention import Policy, decide, forget
from sentinel.backup.source.invariants import Invariants, between
from sentinel.backup.source.source import INVARIANTS_PART
from sentinel.backup.targets import source_of
from sentinel.errors import IncompleteError, LockedError, SentinelError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sentinel.backup.progress import Progress
    from sentinel.backup.repo.repository import Repository
    from sentinel.backup.settings import BackupSettings, HookSettings, JobSettings, KeepSettings
    from sentinel.backup.source.source import Part, Source
    from sentinel.ledger import Ledger
    from sentinel.state import State

NAMED_FILES = 100  # unreadable files that state and ledger name
SEEN_FOLDER = "seen"  # beside the state
RETRY_LOCK_SECONDS = 300.0  # a prune on another host may hold the repository for a while


@dataclass(frozen=True, slots=True)
class Watch:
    """Who hears of the progress, what asks the run to stop, and where this host remembers what it saw."""

    progress: Callable[[Progress], None] | None
    stop: threading.Event
    seen: Path


@dataclass(frozen=True, slots=True)
class JobResult:
    job: str
    result: str  # ok, incomplete, failed
    snapshot: str = ""
    message: str = ""
    seconds: float = 0.0
    detail: dict[str, Any] = field(default_factory=dict)
    error: SentinelError | None = None

    def require_ok(self) -> None:
        """Raise what went wrong, with its own exit code (3 incomplete, 10, 11, 12 as restic)."""
        if self.error is not None:
            raise self.error


def run_job(
    settings: BackupSettings,
    name: str,
    state: State,
    ledger: Ledger,
    *,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
) -> JobResult:
    job = access.job_of(settings, name)
    started = time.monotonic()
    with only_one(state, name):
        run = history.begin_job(state, name)
        result = JobResult(name, history.INTERRUPTED, message="interrupted")
        try:
            with _in_time(job.timeout, stop) as ending:
                watch = Watch(progress, ending, state.path.parent / SEEN_FOLDER)
                result = _attempt(settings, name, job, watch)
        finally:
            seconds = time.monotonic() - started
            detail = result.detail | {"message": result.message}
            history.end_job(state, run, result.result, result.snapshot, detail)
            ledger.append(
                "backup.run",
                name,
                result=result.result,
                snapshot=result.snapshot,
                seconds=round(seconds, 3),
                message=result.message,
                **{key: value for key, value in result.detail.items() if key != "invariants"},
            )
    return JobResult(
        name, result.result, result.snapshot, result.message, seconds, result.detail, result.error
    )


class _Ending(threading.Event):
    """Set for this run alone when its time is over, or with the event of the whole component."""

    def __init__(self, outer: threading.Event | None) -> None:
        super().__init__()
        self._outer = outer

    def is_set(self) -> bool:
        return super().is_set() or (self._outer is not None and self._outer.is_set())


@contextlib.contextmanager
def _in_time(seconds: float, outer: threading.Event | None) -> Iterator[threading.Event]:
    """An event that asks the run to stop after its time."""
    ending = _Ending(outer)
    timer = threading.Timer(seconds, ending.set)
    timer.daemon = True
    timer.start()
    try:
        yield ending
    finally:
        timer.cancel()


@contextlib.contextmanager
def only_one(state: State, what: str) -> Iterator[None]:
    """A file lock that a killed process cannot leave behind."""
    folder = state.path.parent / "locks"
    folder.mkdir(mode=0o750, exist_ok=True)
    ownership.follow(folder)
    with (folder / f"{what}.lock").open("w") as file:
        ownership.follow(file.name)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LockedError(f"{what} is running already") from None
        yield


def _attempt(
    settings: BackupSettings,
    name: str,
    job: JobSettings,
    watch: Watch,
) -> JobResult:
    try:
        result = _hooked(settings, name, job, watch)
    except SentinelError as error:
        result = JobResult(name, history.FAILED, message=str(error), error=error)
    try:
        for hook in job.hooks.after:
            _run_hook(hook, name, result.result, result.snapshot)
    except SentinelError as error:
        message = f"after hook: {error}"
        return JobResult(name, history.FAILED, result.snapshot, message, detail=result.detail, error=error)
    return result


def _hooked(
    settings: BackupSettings,
    name: str,
    job: JobSettings,
    watch: Watch,
) -> JobResult:
    for hook in job.hooks.before:
        try:
            _run_hook(hook, name, history.RUNNING, "")
        except SentinelError as failed:
            raise SourceError(f"before hook: {failed}") from failed
    with access.open_repository(access.repository_of(settings, job.repository)) as repository:
        report, detail = _take(repository, name, job, watch)
        detail["forgotten"] = _forget(repository, name, job.keep)
    error = None
    try:
        report.require_complete()
    except IncompleteError as incomplete:
        error = incomplete
        detail["unreadable"] = [str(problem) for problem in report.unreadable[:NAMED_FILES]]
    result = history.INCOMPLETE if error else history.OK
    return JobResult(name, result, report.snapshot.id, str(error or ""), detail=detail, error=error)


def _take(
    repository: Repository,
    name: str,
    job: JobSettings,
    watch: Watch,
) -> tuple[Report, dict[str, Any]]:
    options = BackupOptions(tags=(access.tag_of(name), *job.tags))
    source = source_of(job)
    if job.source.paths:
        return _take_paths(repository, job, options, source, watch)
    recorded = io.BytesIO()
    with source.dump() as parts:
        report = backup(
            repository,
            streams=_streams(parts, recorded),
            options=options,
            progress=watch.progress,
            stop=watch.stop,
            retry_lock_seconds=RETRY_LOCK_SECONDS,
        )
    document = recorded.getvalue()
    detail = _figures(report)
    detail["rows"] = Invariants.decode(document).rows()
    detail["invariants_sha256"] = hashlib.sha256(document).hexdigest()
    return report, detail


def _take_paths(
    repository: Repository,
    job: JobSettings,
    options: BackupOptions,
    source: Source,
    watch: Watch,
) -> tuple[Report, dict[str, Any]]:
    """Files have no common moment: what is the same before and after is what a copy must have."""
    from dataclasses import replace

    assert job.source.paths is not None
    paths = job.source.paths
    before = source.measure()
    report = backup(
        repository,
        paths=paths.include,
        options=replace(
            options,
            excludes=tuple(paths.exclude),
            one_file_system=paths.one_file_system,
            seen_folder=watch.seen,
        ),
        progress=watch.progress,
        stop=watch.stop,
        retry_lock_seconds=RETRY_LOCK_SECONDS,
    )
    stable = between(before, source.measure())
    return report, _figures(report) | {"invariants": stable.data(), "rows": stable.rows()}


def _streams(parts: list[Part], recorded: io.BytesIO) -> Iterator[Stream]:
    for part in parts:
        with part.open() as stream:
            reader: IO[bytes] = stream
            if part.path == INVARIANTS_PART:
                recorded.write(stream.read())
                reader = io.BytesIO(recorded.getvalue())
            yield Stream(part.path, reader)


def _figures(report: Report) -> dict[str, Any]:
    return {
        "files": report.files_new + report.files_changed + report.files_unmodified,
        "bytes_total": report.bytes_total,
        "bytes_added": report.bytes_added,
        "bytes_stored": report.bytes_stored,
    }


def _run_hook(hook: HookSettings, job: str, result: str, snapshot: str) -> None:
    env = {"SENTINEL_JOB": job, "SENTINEL_RESULT": result, "SENTINEL_SNAPSHOT": snapshot}
    process.run(hook.run, env=env, timeout_seconds=hook.timeout)


def policy_of(keep: KeepSettings) -> Policy | None:
    """None when nothing is configured: then nothing is ever forgotten."""
    values: dict[str, Any] = {
        name: value for name, value in keep.model_dump().items() if value not in (None, [])
    }
    if not values:
        return None
    if "tags" in values:
        values["tags"] = tuple(values["tags"])
    return Policy(**values)


def unwanted(repository: Repository, name: str, keep: KeepSettings) -> list[str]:
    """Snapshots of a job that its retention lets go; each host that runs a job of this name has a history of its own."""
    policy = policy_of(keep)
    if policy is None:
        return []
    decisions = decide(access.job_snapshots(repository, name), policy, group_by=("host",))
    return [decision.snapshot.id for decision in decisions if not decision.keep]


def _forget(repository: Repository, name: str, keep: KeepSettings) -> int:
    gone = unwanted(repository, name, keep)
    return forget(repository, gone, retry_lock_seconds=RETRY_LOCK_SECONDS) if gone else 0
