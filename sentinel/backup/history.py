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
from sentinel.metrics import Figure

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

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


def figures(state: State) -> Iterator[Figure]:
    """Every gauge about jobs and drills, read from state at scrape time: a restart changes none of them."""
    for row in state.read("SELECT job FROM job_run UNION SELECT job FROM drill_run"):
        yield from _job_figures(state, row["job"])
        yield from _drill_figures(state, row["job"])


def _job_figures(state: State, job: str) -> Iterator[Figure]:
    label = {"backup_job": job}
    newest = last(job_runs(state, job, (OK, INCOMPLETE, FAILED, INTERRUPTED), 1))
    if newest:
        yield Figure(metrics.backup_last_run, newest.started / NANOSECONDS, label)
        yield Figure(metrics.backup_last_result, newest.result == OK, label)
        yield Figure(metrics.backup_seconds, newest.seconds, label)
    good = last(job_runs(state, job, (OK,), 1))
    if good:
        yield Figure(metrics.backup_last_success, (good.finished or good.started) / NANOSECONDS, label)
        yield Figure(metrics.backup_bytes, good.detail.get("bytes_total", 0), label)
        yield Figure(metrics.backup_stored_bytes, good.detail.get("bytes_stored", 0), label)
        yield Figure(metrics.backup_files, good.detail.get("files", 0), label)
    for result in (OK, INCOMPLETE, FAILED):
        yield Figure(metrics.backup_runs, _count(state, "job_run", job, result), {**label, "result": result})


def _drill_figures(state: State, job: str) -> Iterator[Figure]:
    label = {"backup_job": job}
    newest = last(drill_runs(state, job, (OK, FAILED, MISSED, INTERRUPTED), 1))
    if newest:
        yield Figure(metrics.drill_last_run, newest.started / NANOSECONDS, label)
        yield Figure(metrics.drill_last_result, newest.result == OK, label)
    good = last(drill_runs(state, job, (OK,), 1))
    if good:
        yield Figure(metrics.drill_last_success, (good.finished or good.started) / NANOSECONDS, label)
        yield Figure(metrics.drill_rto_seconds, good.rto_seconds or 0, label)
        yield Figure(metrics.drill_rpo_seconds, good.rpo_seconds or 0, label)
        yield Figure(metrics.drill_bytes, good.detail.get("bytes", 0), label)
    for result in (OK, FAILED, MISSED):
        yield Figure(metrics.drill_runs, _count(state, "drill_run", job, result), {**label, "result": result})


def _count(state: State, table: str, job: str, result: str) -> int:
    query = f"SELECT COUNT(*) FROM {table} WHERE job = ? AND result = ?"  # noqa: S608 - two literal names
    return int(state.read(query, (job, result))[0][0])
