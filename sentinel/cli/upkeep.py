"""sentinel backup forget, prune, unlock: what keeps a repository from growing and stuck."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer

from sentinel.cli.repositories import AS_JSON, CONFIG, PASSWORD_FILE, REPOSITORY

DRY_RUN = typer.Option(False, "--dry-run", help="Say what would happen.")


def forget(
    job: str = typer.Argument(
        "", metavar="[JOB]", help="By the job's `keep` settings; or name snapshots with --snapshot."
    ),
    snapshot: list[str] = typer.Option(
        [], "--snapshot", metavar="ID", help="Forget exactly this one; repeatable."
    ),
    dry_run: bool = DRY_RUN,
    repository: str = REPOSITORY,
    password_file: Path = PASSWORD_FILE,
    config: Path = CONFIG,
    as_json: bool = AS_JSON,
) -> None:
    """Drop snapshots by a job's retention, with the reason for each one that stays."""
    from sentinel.backup import access
    from sentinel.backup.jobs import policy_of
    from sentinel.backup.repo.snapshots import find_snapshot
    from sentinel.backup.retention import decide
    from sentinel.backup.retention import forget as forget_snapshots
    from sentinel.cli.listing import print_json, print_table
    from sentinel.cli.repositories import load, opened, when
    from sentinel.errors import UsageError

    if bool(job) == bool(snapshot):
        raise UsageError("name either a job or snapshots (--snapshot)")
    if snapshot:
        with opened(config, repository, password_file) as opened_repository:
            gone = [find_snapshot(opened_repository, name).id for name in snapshot]
            count = len(gone) if dry_run else forget_snapshots(opened_repository, gone)
        retained = f", {len(gone) - count} are still retained by Object Lock" if count < len(gone) else ""
        typer.echo(f"{'would forget' if dry_run else 'forgot'} {count} snapshots{retained}")
        return
    settings = load(config)[1]
    job_settings = access.job_of(settings, job)
    policy = policy_of(job_settings.keep)
    if policy is None:
        raise UsageError(f"job {job!r} has no `keep` settings: nothing is ever forgotten")
    with access.open_repository(access.repository_of(settings, job_settings.repository)) as found:
        decisions = decide(access.job_snapshots(found, job), policy, group_by=("host",))
        if not dry_run:
            forget_snapshots(found, [decision.snapshot.id for decision in decisions if not decision.keep])
    if as_json:
        print_json([{"id": d.snapshot.id, "keep": d.keep, "reasons": list(d.reasons)} for d in decisions])
        return
    rows = [
        (d.snapshot.short_id, when(d.snapshot.time_ns), "keep" if d.keep else "forget", ", ".join(d.reasons))
        for d in decisions
    ]
    print_table(("id", "time", "decision", "reasons"), rows)


def prune(
    repository: str = REPOSITORY,
    dry_run: bool = DRY_RUN,
    max_unused: float = typer.Option(
        5.0, "--max-unused", metavar="PERCENT", help="Unused space that may stay."
    ),
    max_repack: int = typer.Option(
        0, "--max-repack-bytes", metavar="N", help="Repack at most so much; 0: no limit."
    ),
    password_file: Path = PASSWORD_FILE,
    config: Path = CONFIG,
    as_json: bool = AS_JSON,
) -> None:
    """Remove what no snapshot needs; a backup may run beside it."""
    from sentinel.backup.prune import PruneOptions
    from sentinel.backup.prune import prune as prune_repository
    from sentinel.cli.listing import print_json
    from sentinel.cli.repositories import opened, size

    options = PruneOptions(max_unused_percent=max_unused, max_repack_bytes=max_repack, dry_run=dry_run)
    with opened(config, repository, password_file) as opened_repository:
        report = prune_repository(opened_repository, options)
    if as_json:
        print_json(asdict(report))
    else:
        said = f"{'would free' if dry_run else 'freed'} {size(report.bytes_freed)}"
        if report.packs_retained:
            said += f"; {report.packs_retained} packs are still retained"
        if report.packs_copied:
            said += f", {size(report.bytes_copied)} of {report.packs_copied} of them "
            said += "would be copied" if dry_run else "copied, so that they need not be renewed"
        typer.echo(said)


def renew(repository: str = REPOSITORY, config: Path = CONFIG, as_json: bool = AS_JSON) -> None:
    """Extend Object Lock's retention of all that is still needed, as the daemon does by its schedule."""
    from sentinel.backup.upkeep import renew_repository
    from sentinel.cli.listing import print_json
    from sentinel.cli.repositories import load
    from sentinel.errors import UsageError
    from sentinel.ledger import Ledger

    loaded, settings = load(config)
    locked = [name for name, each in settings.repositories.items() if each.object_lock]
    name = repository or (locked[0] if len(locked) == 1 else "")
    if name not in locked:
        raise UsageError(
            f"--repository: one with Object Lock is needed ({', '.join(locked) or 'none configured'})"
        )
    report = renew_repository(settings, name, Ledger(loaded.state))
    if as_json:
        print_json(asdict(report))
    else:
        typer.echo(f"extended {report.renewed} of {report.files} files; {report.lapsing} packs may lapse")


def unlock(
    all_locks: bool = typer.Option(False, "--all", help="Also locks that look alive."),
    repository: str = REPOSITORY,
    password_file: Path = PASSWORD_FILE,
    config: Path = CONFIG,
) -> None:
    """Remove locks that a dead process left behind."""
    from sentinel.backup.lock import unlock as remove_locks
    from sentinel.cli.repositories import opened

    with opened(config, repository, password_file) as opened_repository:
        count = remove_locks(opened_repository, all_locks=all_locks)
    typer.echo(f"removed {count} locks")


def pause(
    duration: str = typer.Argument("1h", help="From now; 0s ends a pause."),
    config: Path = CONFIG,
) -> None:
    """Start no job and no drill for a while; what is due meanwhile starts at the end."""
    from sentinel.backup.pauses import order
    from sentinel.cli.repositories import load
    from sentinel.durations import seconds
    from sentinel.errors import UsageError
    from sentinel.ledger import Ledger
    from sentinel.state import State

    try:
        length = seconds(duration)
    except ValueError as error:
        raise UsageError(str(error)) from None
    loaded, _ = load(config)
    end = order(State(loaded.state), length)
    Ledger(loaded.state).append("backup.pause", "backup", until=end.isoformat())
    typer.echo(f"paused until {end:%Y-%m-%d %H:%M:%S} UTC" if length else "not paused any more")
