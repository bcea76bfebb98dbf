"""A repository's own scheduled work: read a part of the data each time, remove what no snapshot needs.

In: a repository's settings. Out: a ledger entry, and the result in state and metrics. Invariant: over 100/percentage days of
daily checks every pack is read once.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sentinel import metrics
from sentinel.backup import access
from sentinel.backup.jobs import RETRY_LOCK_SECONDS, unwanted
from sentinel.errors import RepositoryError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sentinel.backup.renewal import RenewReport
    from sentinel.backup.settings import BackupSettings, RepositorySettings
    from sentinel.ledger import Ledger
    from sentinel.state import State

DAY_SECONDS = 86_400
NAMED_PROBLEMS = 20


def check_repository(settings: RepositorySettings, name: str, state: State, ledger: Ledger) -> None:
    from sentinel.backup.check import Subset, check

    assert settings.check is not None
    subset = Subset.rotating(settings.check.percentage, int(time.time() // DAY_SECONDS))
    with access.open_repository(settings) as repository:
        report = check(repository, read_data=subset)
    problems = [str(problem) for problem in report.problems]
    ledger.append("backup.check", name, problems=problems[:NAMED_PROBLEMS], count=len(problems))
    state.save_checkpoint(f"backup/checked/{name}", {"time": time.time(), "problems": len(problems)})
    publish_checks(state, [name])
    if problems:
        raise RepositoryError(f"repository {name} is damaged: {problems[0]}")


def publish_checks(state: State, repositories: Iterable[str]) -> None:
    for name in repositories:
        checked = state.checkpoint(f"backup/checked/{name}")
        if checked:
            metrics.backup_check_problems.set(checked["problems"], repository=name)
            metrics.backup_check_time.set(checked["time"], repository=name)


def prune_repository(settings: RepositorySettings, name: str, ledger: Ledger) -> None:
    from sentinel.backup.prune import PruneOptions, prune

    assert settings.prune is not None
    options = PruneOptions(settings.prune.max_unused, settings.prune.max_repack_bytes)
    with access.open_repository(settings) as repository:
        report = prune(repository, options, retry_lock_seconds=RETRY_LOCK_SECONDS)
    ledger.append("backup.prune", name, bytes_freed=report.bytes_freed)


def renew_repository(settings: BackupSettings, name: str, ledger: Ledger) -> RenewReport:
    """What the jobs' retention lets go is not extended, so that it can be forgotten when its time is over."""
    from sentinel.backup.renewal import renew

    repository_settings = access.repository_of(settings, name)
    lock = repository_settings.object_lock
    assert lock is not None
    with access.open_repository(repository_settings) as repository:
        gone = [
            snapshot
            for job, each in settings.jobs.items()
            if each.repository == name
            for snapshot in unwanted(repository, job, each.keep)
        ]
        report = renew(repository, lock.days, unwanted=gone, retry_lock_seconds=RETRY_LOCK_SECONDS)
    ledger.append("backup.renew", name, files=report.files, renewed=report.renewed, lapsing=report.lapsing)
    return report
