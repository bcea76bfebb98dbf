"""Jobs and drills in state: when they ran, how they ended; and the metrics, which are read from there.

In: state. Out: rows of job_run and drill_run, and gauges. Invariant: what a metric says about a job or drill survives
any restart, because it is taken from state and never from the memory of a process (velero#6809).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sentinel import metrics

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from sentinel.state import State

NANOSECONDS = 1_000_000_000
OK, INCOMPLETE, FAILED, MISSED, RUNNING = "ok", "incomplete", "failed", "missed", "running"
INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Run:
    """One row, of a job or of a drill."""

    id: int
    job: str
    started: int
    finished: int | None
    result: str
    snapshot: str
    detail: dict[str, Any] = field(default_factory=dict)
    playbook: str = ""
    rto_seconds: float | None = None
    rpo_seconds: float | None = None

    @property
    def seconds(self) -> float:
        return ((self.finished or time.time_ns()) - self.started) / NANOSECONDS


def begin_job(state: State, job: str) -> int:
    with state.write() as connection:
        cursor = connection.execute(
            "INSERT INTO job_run (job, started, finished, result, snapshot, detail) VALUES (?, ?, NULL, ?, '', '{}')",
            (job, time.time_ns(), RUNNING),
        )
        return int(cursor.lastrowid or 0)


def end_job(state: State, run: int, result: str, snapshot: str, detail: dict[str, Any]) -> None:
    with state.write() as connection:
        connection.execute(
            "UPDATE job_run SET finished = ?, result = ?, snapshot = ?, detail = ? WHERE id = ?",
            (time.time_ns(), result, snapshot, json.dumps(detail), run),
        )


def begin_drill(state: State, job: str, playbook: str) -> int:
    with state.write() as connection:
        cursor = connection.execute(
            "INSERT INTO drill_run (job, playbook, started, finished, result, snapshot, detail) "
            "VALUES (?, ?, ?, NULL, ?, '', '{}')",
            (job, playbook, time.time_ns(), RUNNING),
        )
        return int(cursor.lastrowid or 0)


def end_drill(
    state: State,
    run: int,
    *,
    result: str,
    snapshot: str,
    rto_seconds: float | None,
    rpo_seconds: float | None,
    detail: dict[str, Any],
) -> None:
    with state.write() as connection:
        connection.execute(
            "UPDATE drill_run SET finished = ?, result = ?, snapshot = ?, rto_seconds = ?, rpo_seconds = ?, detail = ? "
            "WHERE id = ?",
            (time.time_ns(), result, snapshot, rto_seconds, rpo_seconds, json.dumps(detail), run),
        )


def close_interrupted(state: State) -> int:
    """Rows that a killed process left open are over: the scheduler is the only one who runs jobs when it starts."""
    closed = 0
    with state.write() as connection:
        for table in ("job_run", "drill_run"):
            cursor = connection.execute(
                f"UPDATE {table} SET finished = started, result = ? WHERE result = ?",  # noqa: S608
                (INTERRUPTED, RUNNING),
            )
            closed += cursor.rowcount
    return closed


def job_runs(state: State, job: str, results: Iterable[str] = (), limit: int = 100) -> list[Run]:
    """Newest first."""
    return _runs(state, "job_run", job, tuple(results), limit)


def drill_runs(state: State, job: str, results: Iterable[str] = (), limit: int = 100) -> list[Run]:
    return _runs(state, "drill_run", job, tuple(results), limit)


def last(runs: list[Run]) -> Run | None:
    return runs[0] if runs else None


def _runs(state: State, table: str, job: str, results: tuple[str, ...], limit: int) -> list[Run]:
    marks = f"AND result IN ({', '.join('?' * len(results))})" if results else ""
    rows = state.read(
        f"SELECT * FROM {table} WHERE job = ? {marks} ORDER BY started DESC, id DESC LIMIT ?",  # noqa: S608
        (job, *results, limit),
    )
    return [_run(row) for row in rows]


def _run(row: sqlite3.Row) -> Run:
    values = dict(row)
    values["detail"] = json.loads(values["detail"])
    return Run(**values)


# --- metrics ----------------------------------------------------------------------------------------------------


def publish(state: State, jobs: Iterable[str], due: dict[str, tuple[bool, bool]] | None = None) -> None:
    """Set every gauge about jobs and drills from state. `due`: job -> (backup overdue, drill overdue)."""
    for job in jobs:
        _publish_job(state, job)
        _publish_drill(state, job)
        job_late, drill_late = (due or {}).get(job, (False, False))
        metrics.backup_overdue.set(job_late, job=job)
        metrics.drill_overdue.set(drill_late, job=job)


def _publish_job(state: State, job: str) -> None:
    newest = last(job_runs(state, job, (OK, INCOMPLETE, FAILED, INTERRUPTED), 1))
    if newest:
        metrics.backup_last_run.set(newest.started / NANOSECONDS, job=job)
        metrics.backup_last_result.set(newest.result == OK, job=job)
        metrics.backup_seconds.set(newest.seconds, job=job)
    good = last(job_runs(state, job, (OK,), 1))
    if good:
        metrics.backup_last_success.set((good.finished or good.started) / NANOSECONDS, job=job)
        metrics.backup_bytes.set(good.detail.get("bytes_total", 0), job=job)
        metrics.backup_stored_bytes.set(good.detail.get("bytes_stored", 0), job=job)
        metrics.backup_files.set(good.detail.get("files", 0), job=job)
    for result in (OK, INCOMPLETE, FAILED):
        metrics.backup_runs.set(_count(state, "job_run", job, result), job=job, result=result)


def _publish_drill(state: State, job: str) -> None:
    newest = last(drill_runs(state, job, (OK, FAILED, MISSED, INTERRUPTED), 1))
    if newest:
        metrics.drill_last_run.set(newest.started / NANOSECONDS, job=job)
        metrics.drill_last_result.set(newest.result == OK, job=job)
    good = last(drill_runs(state, job, (OK,), 1))
    if good:
        metrics.drill_last_success.set((good.finished or good.started) / NANOSECONDS, job=job)
        metrics.drill_rto_seconds.set(good.rto_seconds or 0, job=job)
        metrics.drill_rpo_seconds.set(good.rpo_seconds or 0, job=job)
        metrics.drill_bytes.set(good.detail.get("bytes", 0), job=job)
    for result in (OK, FAILED, MISSED):
        metrics.drill_runs.set(_count(state, "drill_run", job, result), job=job, result=result)


def _count(state: State, table: str, job: str, result: str) -> int:
    query = f"SELECT COUNT(*) FROM {table} WHERE job = ? AND result = ?"  # noqa: S608 - two literal names
    return int(state.read(query, (job, result))[0][0])
