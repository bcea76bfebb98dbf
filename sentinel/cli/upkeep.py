"""sentinel backup forget, prune, renew, unlock, pause: what keeps a repository from growing and stuck."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sentinel.cli.options import AS_JSON, CONFIG, grouped
from sentinel.cli.repositories import REPOSITORY, Place

if TYPE_CHECKING:
    from sentinel.backup.prune import PruneOptions, PruneReport
    from sentinel.backup.repo.repository import Repository
    from sentinel.backup.retention import Decision, Policy

DRY_RUN = typer.Option(False, "--dry-run", help="Say what would happen.")
KEEP_TAG = typer.Option(
    [], "--keep-tag", metavar="TAG[,TAG]", help="Those with all of these tags; repeatable."
)
TAG = typer.Option([], "--tag", metavar="TAG", help="Only with this tag; repeatable.")
PATH = typer.Option([], "--path", metavar="PATH", help="Only of this path; repeatable.")


def _count(text: str) -> int:
    """As restic: -1 and unlimited keep all."""
    count = -1 if text == "unlimited" else int(text)
    if count < -1:
        raise ValueError(text)
    return count


def _keep(name: str, what: str, short: str = "") -> Any:
    flags = [f"--keep-{name}", *([short] if short else [])]
    return typer.Option(0, *flags, metavar="N", parser=_count, show_default=False, help=what)


def _within(name: str, what: str) -> Any:
    flag = f"--keep-within{name}"
    return typer.Option("", flag, metavar="DURATION", help=f"{what} newer than this before the newest.")


@dataclass(frozen=True, slots=True)
class Keep:
    """restic's --keep-*; several are joined by or."""

    keep_last: int = _keep("last", "The last N snapshots; unlimited keeps all, here as below.", "-l")
    keep_hourly: int = _keep("hourly", "The newest of each of the last N hours that have one.", "-H")
    keep_daily: int = _keep("daily", "Of days.", "-d")
    keep_weekly: int = _keep("weekly", "Of weeks.", "-w")
    keep_monthly: int = _keep("monthly", "Of months.", "-m")
    keep_yearly: int = _keep("yearly", "Of years.", "-y")
    keep_within: str = _within("", "All that are (like 1y5m7d2h)")
    keep_within_hourly: str = _within("-hourly", "The newest of each hour")
    keep_within_daily: str = _within("-daily", "The newest of each day")
    keep_within_weekly: str = _within("-weekly", "The newest of each week")
    keep_within_monthly: str = _within("-monthly", "The newest of each month")
    keep_within_yearly: str = _within("-yearly", "The newest of each year")
    keep_tag: list[str] = KEEP_TAG

    def policy(self) -> Policy:
        from sentinel.backup.retention import Policy, check_duration

        values = {name.removeprefix("keep_"): value for name, value in asdict(self).items()}
        for name, value in values.items():
            if name.startswith("within") and value:
                check_duration(value)
        return Policy(tags=tuple(values.pop("tag")), **values)


@dataclass(frozen=True, slots=True)
class Which:
    """The snapshots that forget looks at when no job is named."""

    host: str = typer.Option("", "--host", metavar="NAME", help="Only this host's.")
    tag: list[str] = TAG
    path: list[str] = PATH
    group_by: str = typer.Option(
        "host,paths",
        "--group-by",
        metavar="WORDS",
        help="Each group has its own history: host, paths, tags, or none (''). A job's is by host.",
    )

    def groups(self) -> tuple[str, ...]:
        from sentinel.backup.retention import GROUPS
        from sentinel.errors import UsageError

        words = tuple(
            {"path": "paths", "tag": "tags"}.get(word, word) for word in self.group_by.split(",") if word
        )
        unknown = [word for word in words if word not in GROUPS]
        if unknown:
            raise UsageError(f"--group-by {self.group_by}: known are {', '.join(GROUPS)}")
        return words


@grouped
def forget(
    job: str = typer.Argument(
        "",
        metavar="JOB",
        help="Its snapshots, by its `keep` settings or the options; else the repository's.",
    ),
    snapshot: list[str] = typer.Option(
        [], "--snapshot", metavar="ID", help="Forget exactly this one; repeatable."
    ),
    *,
    keep: Keep,
    which: Which,
    then_prune: bool = typer.Option(False, "--prune", help="And remove what nobody needs any more."),
    dry_run: bool = DRY_RUN,
    place: Place,
    as_json: bool = AS_JSON,
) -> None:
    """Drop snapshots by a retention policy, with the reasons for each one that stays."""
    from sentinel.backup.retention import forget as forget_snapshots
    from sentinel.cli.listing import print_json, print_table
    from sentinel.cli.repositories import when

    policy = keep.policy()
    with _repository_of(job, place) as repository:
        decisions = _decisions(repository, job, snapshot, policy, which, place)
        gone = [decision.snapshot.id for decision in decisions if not decision.keep]
        count = forget_snapshots(repository, gone) if gone and not dry_run else len(gone)
        if gone and not dry_run:
            place.record("backup.forget", repository, snapshots=[name[:8] for name in gone], removed=count)
        if then_prune and not dry_run:
            _prune(repository, place, None)
    if as_json:
        print_json([{"id": d.snapshot.id, "keep": d.keep, "reasons": list(d.reasons)} for d in decisions])
        return
    if not snapshot:
        rows = [
            (
                d.snapshot.short_id,
                when(d.snapshot.time_ns),
                "keep" if d.keep else "forget",
                ", ".join(d.reasons),
            )
            for d in decisions
        ]
        print_table(("id", "time", "decision", "reasons"), rows)
    retained = f", {len(gone) - count} are still retained by Object Lock" if count < len(gone) else ""
    typer.echo(f"{'would forget' if dry_run else 'forgot'} {count} snapshots{retained}")


def _repository_of(job: str, place: Place) -> AbstractContextManager[Repository]:
    """The job's own, unless another one is named."""
    from sentinel.backup import access
    from sentinel.cli.repositories import load

    if not job or place.repository:
        return place.open()
    settings = load(place.config)[1]
    return access.open_repository(access.repository_of(settings, access.job_of(settings, job).repository))


def _decisions(
    repository: Repository, job: str, named: list[str], policy: Policy, which: Which, place: Place
) -> list[Decision]:
    from sentinel.backup import access
    from sentinel.backup.repo.snapshots import find_snapshot, list_snapshots
    from sentinel.backup.retention import Decision, decide
    from sentinel.errors import UsageError

    if named:
        if job or not policy.is_empty():
            raise UsageError("--snapshot names what goes: it takes neither a job nor --keep-*")
        found = [find_snapshot(repository, name) for name in dict.fromkeys(named)]
        return [Decision(snapshot, keep=False, reasons=()) for snapshot in found]
    if job:
        policy = _policy_of(job, place.config) if policy.is_empty() else policy
        return decide(access.job_snapshots(repository, job), policy, group_by=("host",))
    if policy.is_empty():
        raise UsageError("by which policy? Name a job, --keep-* options, or snapshots (--snapshot)")
    snapshots = list_snapshots(repository, hostname=which.host, tags=which.tag, paths=which.path)
    return decide(snapshots, policy, group_by=which.groups())


def _policy_of(job: str, config: Path) -> Policy:
    from sentinel.backup import access
    from sentinel.backup.jobs import policy_of
    from sentinel.cli.repositories import load
    from sentinel.errors import UsageError

    policy = policy_of(access.job_of(load(config)[1], job).keep)
    if policy is None:
        raise UsageError(f"job {job!r} has no `keep` settings: nothing is ever forgotten (or give --keep-*)")
    return policy


@grouped
def prune(
    dry_run: bool = DRY_RUN,
    max_unused: float = typer.Option(
        5.0, "--max-unused", metavar="PERCENT", help="Unused space that may stay."
    ),
    max_repack: int = typer.Option(
        0, "--max-repack-bytes", metavar="N", help="Repack at most so much; 0: no limit."
    ),
    *,
    place: Place,
    as_json: bool = AS_JSON,
) -> None:
    """Remove what no snapshot needs; a backup may run beside it."""
    from sentinel.backup.prune import PruneOptions
    from sentinel.cli.listing import print_json
    from sentinel.cli.repositories import size

    options = PruneOptions(max_unused_percent=max_unused, max_repack_bytes=max_repack, dry_run=dry_run)
    with place.open() as opened_repository:
        report = _prune(opened_repository, place, options)
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


def _prune(repository: Repository, place: Place, options: PruneOptions | None) -> PruneReport:
    from sentinel.backup.prune import prune as prune_repository

    report = prune_repository(repository, options)
    if not report.dry_run:
        place.record("backup.prune", repository, bytes_freed=report.bytes_freed)
    return report


@grouped
def unlock(
    all_locks: bool = typer.Option(False, "--all", help="Also locks that look alive."),
    *,
    place: Place,
) -> None:
    """Remove locks that a dead process left behind."""
    from sentinel.backup.lock import unlock as remove_locks

    with place.open() as opened_repository:
        count = remove_locks(opened_repository, all_locks=all_locks)
        if count:
            place.record("backup.unlock", opened_repository, removed=count, all=all_locks)
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
