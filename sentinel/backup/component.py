"""The backup component: jobs, drills, checks and prunes on their schedules, and the watch over what did not happen.

In: settings, state, ledger and a callable that runs a playbook in a sandbox. Out: runs, and metrics from state.
Invariants: `reload` builds the whole new schedule before the old one ends; a drill that should have begun and did not
is recorded as a failure once for each time it was due; nothing that fails here ends the component.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from sentinel import metrics
from sentinel.backup import history, sandbox
from sentinel.backup.drill import record_missed, run_drill
from sentinel.backup.jobs import run_job
from sentinel.backup.pauses import paused_until
from sentinel.backup.schedule import Entry, Schedule, due
from sentinel.backup.upkeep import check_repository, prune_repository, publish_checks, renew_repository
from sentinel.errors import SentinelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.backup.drill import RunPlaybook
    from sentinel.backup.settings import BackupSettings
    from sentinel.ledger import Ledger
    from sentinel.state import State

log = logging.getLogger("sentinel.backup")

WATCH_SECONDS = 30.0


class BackupComponent:
    name = "backup"

    def __init__(
        self,
        settings: BackupSettings,
        state: State,
        ledger: Ledger,
        run_playbook: RunPlaybook | None = None,
        *,
        watch_seconds: float = WATCH_SECONDS,
    ) -> None:
        self.settings = settings
        self.state = state
        self.ledger = ledger
        self.run_playbook = run_playbook
        self.watch_seconds = watch_seconds
        self._stopping = threading.Event()
        self._running: set[str] = set()
        self._lock = threading.Lock()
        self._schedule = self._build(settings)
        self._started = False
        for direction in ("sent", "received"):
            metrics.backup_store_bytes.begin(direction=direction)

    def run(self, stop: threading.Event) -> None:
        history.close_interrupted(self.state)
        sandbox.remove_stale(self.settings.scratch_directory)
        with self._lock:
            self._schedule.start()
            self._started = True
        try:
            while True:
                self.watch()
                if stop.wait(self.watch_seconds):
                    return
        finally:
            self._stopping.set()
            with self._lock:
                self._started = False
                self._schedule.close()

    def reload(self, settings: BackupSettings) -> None:
        fresh = self._build(settings)
        with self._lock:
            old, self._schedule, self.settings = self._schedule, fresh, settings
            if self._started:
                fresh.start()
        # What runs in the old schedule ends in its own time; each job's lock keeps the new one from overlapping it.
        threading.Thread(target=old.close, name="old-schedule", daemon=True).start()

    def status(self) -> dict[str, Any]:
        jobs = {}
        for name in self.settings.jobs:
            newest = history.last(history.job_runs(self.state, name, limit=1))
            drill = history.last(history.drill_runs(self.state, name, limit=1))
            jobs[name] = {"last": newest.result if newest else None, "drill": drill.result if drill else None}
        coming = {name: moment.isoformat() for name, moment in self._schedule.next_times().items()}
        return {"jobs": jobs, "running": sorted(self._running), "next": coming}

    def watch(self, now: datetime | None = None) -> None:
        """Find what is overdue, record missed drills, set the metrics from state."""
        now = now or datetime.now(UTC)
        for name, job in self.settings.jobs.items():
            job_late = bool(job.schedule and self._overdue(f"job:{name}", name, job.schedule, job.grace, now))
            drill_late = False
            if job.drill:
                missed = self._overdue(f"drill:{name}", name, job.drill.schedule, job.drill.grace, now)
                drill_late = missed is not None
                if missed and not self._is_recorded(name, missed):
                    due_ns = int(missed.timestamp() * history.NANOSECONDS)
                    record_missed(self.state, self.ledger, name, job.drill.playbook, due_ns)
                    log.error("drill of %s did not run in time", name)
            metrics.backup_overdue.set(job_late, backup_job=name)
            metrics.drill_overdue.set(drill_late, backup_job=name)
        publish_checks(self.state, self.settings.repositories)

    # --- inside ---------------------------------------------------------------------------------------------

    def _build(self, settings: BackupSettings) -> Schedule:
        entries = []
        for name, job in settings.jobs.items():
            if job.schedule:
                entries.append(
                    self._entry(
                        f"job:{name}", job.schedule, self._job, name, job.jitter, catch_up=job.catch_up
                    )
                )
            if job.drill:
                entries.append(
                    self._entry(
                        f"drill:{name}", job.drill.schedule, self._drill, name, 0.0, catch_up=job.catch_up
                    )
                )
        for name, repository in settings.repositories.items():
            for what, keep, call in (
                ("check", repository.check, self._check),
                ("prune", repository.prune, self._prune),
            ):
                if keep:
                    entries.append(self._entry(f"{what}:{name}", keep.schedule, call, name, 0.0))
            if repository.object_lock:
                schedule = repository.object_lock.renew
                entries.append(self._entry(f"renew:{name}", schedule, self._renew, name, 0.0))
        return Schedule(entries, partial(paused_until, self.state, settings.maintenance))

    def _entry(
        self,
        entry: str,
        expression: str,
        call: Callable[[str], None],
        name: str,
        jitter: float,
        *,
        catch_up: bool = True,
    ) -> Entry:
        guarded = partial(self._guarded, entry, call, name)
        return Entry(entry, expression, guarded, self._last(entry, name), jitter, catch_up)

    def _guarded(self, entry: str, call: Callable[[str], None], name: str) -> None:
        """Keep the component alive whatever a run meets; what it met is in state and ledger already."""
        self._running.add(entry)
        try:
            call(name)
        except SentinelError as error:
            log.error("%s: %s", entry, error)  # noqa: TRY400 - an expected failure needs no traceback
        finally:
            self._running.discard(entry)
            self.state.close()

    def _job(self, name: str) -> None:
        result = run_job(self.settings, name, self.state, self.ledger, stop=self._stopping)
        if result.error:
            log.error("job %s: %s: %s", name, result.result, result.message)

    def _drill(self, name: str) -> None:
        if self.run_playbook is None:
            raise SentinelError("no playbooks can be run here")
        result = run_drill(self.settings, name, self.state, self.ledger, self.run_playbook)
        if result.problems:
            log.error("drill of %s failed: %s", name, "; ".join(result.problems))

    def _check(self, name: str) -> None:
        self.state.save_checkpoint(f"backup/check/{name}", time.time())
        check_repository(self.settings.repositories[name], name, self.state, self.ledger)

    def _prune(self, name: str) -> None:
        self.state.save_checkpoint(f"backup/prune/{name}", time.time())
        prune_repository(self.settings.repositories[name], name, self.ledger)

    def _renew(self, name: str) -> None:
        self.state.save_checkpoint(f"backup/renew/{name}", time.time())
        renew_repository(self.settings, name, self.ledger)

    def _last(self, entry: str, name: str) -> datetime:
        """When it last began; before the first time, since when it is configured."""
        kind = entry.partition(":")[0]
        began: float | None = None
        if kind in {"job", "drill"}:
            finder = history.job_runs if kind == "job" else history.drill_runs
            really = (history.OK, history.INCOMPLETE, history.FAILED, history.RUNNING)
            newest = history.last(finder(self.state, name, really, 1))
            began = newest.started / history.NANOSECONDS if newest else None
        else:
            began = self.state.checkpoint(f"backup/{kind}/{name}")
        if began is None:
            began = self.state.checkpoint(f"backup/seen/{entry}")
        if began is None:
            began = time.time()
            self.state.save_checkpoint(f"backup/seen/{entry}", began)
        return datetime.fromtimestamp(began, UTC)

    def _overdue(
        self, entry: str, name: str, expression: str, grace_seconds: float, now: datetime
    ) -> datetime | None:
        """The time at which it should have begun, when that is more than the grace ago."""
        if entry in self._running:
            return None
        should = due(expression, self._last(entry, name))
        return should if should and (now - should).total_seconds() > grace_seconds else None

    def _is_recorded(self, name: str, missed: datetime) -> bool:
        newest = history.last(history.drill_runs(self.state, name, (history.MISSED,), 1))
        return newest is not None and newest.detail.get("due", 0) >= int(
            missed.timestamp() * history.NANOSECONDS
        )
