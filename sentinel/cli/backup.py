"""sentinel backup: init, run, list, check, restore, load, verify, forget, prune, renew, drill, dump, key, unlock."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sentinel.cli import databases, upkeep
from sentinel.cli.keys import app as keys
from sentinel.cli.options import A_JOB, AS_JSON, CONFIG, grouped, names_of_jobs
from sentinel.cli.repositories import PASSWORD_FILE, Place

if TYPE_CHECKING:
    from sentinel.backup.repo.snapshots import Snapshot

app = typer.Typer(
    help="Back up, list, check, restore, prune, drill. Exit codes: 0 ok, 1 failed, 2 usage or configuration, "
    "3 snapshot incomplete, 10 no repository, 11 repository locked, 12 wrong password.",
    no_args_is_help=True,
)
app.add_typer(keys, name="key")
app.add_typer(databases.app, name="database")
for command in (
    upkeep.forget,
    upkeep.prune,
    upkeep.renew,
    upkeep.unlock,
    upkeep.pause,
    databases.load,
    databases.verify,
    databases.save,
):
    app.command()(command)

JOB = typer.Option("", "--job", metavar="NAME", help="Only this job's snapshots.")


@app.command()
def init(
    repository: str = typer.Argument(metavar="R", help="A name in sentinel.yml, or a location."),
    password_file: Path = PASSWORD_FILE,
    config: Path = CONFIG,
) -> None:
    """Make a new repository (restic format version 2)."""
    from sentinel.backup.access import create_repository
    from sentinel.cli.repositories import chosen

    with create_repository(chosen(config, repository, password_file)) as made:
        typer.echo(f"created repository {made.id[:10]}")


@app.command()
def run(
    job: str = typer.Argument(
        "",
        metavar="JOB",
        help="Of sentinel.yml; or say what to take with --path or --stdin.",
        autocompletion=names_of_jobs,
    ),
    path: list[Path] = typer.Option([], "--path", metavar="PATH", help="Take this, once; repeatable."),
    exclude: list[str] = typer.Option([], "--exclude", metavar="PATTERN", help="Not this; repeatable."),
    stdin: str = typer.Option(
        "", "--stdin", metavar="NAME", help="Take standard input, as a file of this name."
    ),
    tag: list[str] = typer.Option([], "--tag", help="For --path and --stdin; repeatable."),
    repository: str = typer.Option(
        "",
        "--repository",
        "-r",
        metavar="R",
        help="Into this one instead of the job's own; nothing is forgotten then.",
    ),
    password_file: Path = PASSWORD_FILE,
    config: Path = CONFIG,
    as_json: bool = AS_JSON,
) -> None:
    """Run one job now: hooks, dump, snapshot, forget. Or take paths or standard input once."""
    from sentinel.backup.jobs import run_job
    from sentinel.cli.listing import print_json
    from sentinel.cli.repositories import bar, elsewhere, load, size
    from sentinel.errors import UsageError
    from sentinel.ledger import Ledger
    from sentinel.state import State

    if bool(job) == bool(path or stdin):
        raise UsageError("name either a job or what to take (--path, --stdin)")
    if not job:
        _take_once(path, exclude, stdin, tag, (config, repository, password_file), as_json=as_json)
        return
    loaded, settings = load(config)
    if repository:
        settings = elsewhere(settings, job, config, repository, password_file)
    with bar(job, quiet=as_json) as progress:
        result = run_job(settings, job, State(loaded.state), Ledger(loaded.state), progress=progress)
    if as_json:
        fields = {key: getattr(result, key) for key in ("job", "result", "snapshot", "message", "seconds")}
        print_json(fields | result.detail)
    elif result.snapshot:
        stored = size(result.detail["bytes_stored"])
        total = size(result.detail["bytes_total"])
        typer.echo(f"{job}: snapshot {result.snapshot[:8]}, {total}, {stored} stored, {result.seconds:.1f} s")
    result.require_ok()


@app.command("list")
@grouped
def list_(
    job: str = JOB,
    snapshot: str = typer.Option(
        "", "--snapshot", metavar="ID", help="List the files of this snapshot instead."
    ),
    *,
    place: Place,
    as_json: bool = AS_JSON,
) -> None:
    """The snapshots of a repository, oldest first; or the files of one."""
    from sentinel.backup.access import tag_of
    from sentinel.backup.repo.snapshots import list_snapshots
    from sentinel.backup.restore import list_files
    from sentinel.cli.listing import print_json, print_table
    from sentinel.cli.repositories import when

    with place.open() as opened_repository:
        tags = (tag_of(job),) if job else ()
        if snapshot:
            found = _find(opened_repository, snapshot, job)
            entries = list(list_files(opened_repository, found))
            if as_json:
                print_json([asdict(entry) for entry in entries])
            else:
                print_table(
                    ("path", "type", "bytes"), [(entry.path, entry.type, entry.size) for entry in entries]
                )
            return
        snapshots = list_snapshots(opened_repository, tags=tags)
    if as_json:
        print_json([snapshot.to_json() | {"id": snapshot.id} for snapshot in snapshots])
        return
    rows = [(s.short_id, when(s.time_ns), s.hostname, ",".join(s.tags), " ".join(s.paths)) for s in snapshots]
    print_table(("id", "time", "host", "tags", "paths"), rows)


@app.command()
@grouped
def check(
    read_data: bool = typer.Option(False, "--read-data", help="Read and verify every byte."),
    percentage: float = typer.Option(
        0.0, "--percentage", metavar="P", help="Read today's part, P percent of all packs."
    ),
    *,
    place: Place,
    as_json: bool = AS_JSON,
) -> None:
    """Check structure, and data where asked; every finding on a line of its own."""
    import time

    from sentinel.backup.check import Subset
    from sentinel.backup.check import check as check_repository
    from sentinel.cli.listing import print_json
    from sentinel.cli.repositories import bar, size

    subset = Subset.everything() if read_data else None
    if percentage:
        subset = Subset.rotating(percentage, int(time.time() // 86_400))
    with (
        place.open() as opened_repository,
        bar("check", quiet=as_json) as progress,
    ):
        report = check_repository(opened_repository, read_data=subset, progress=progress)
    if as_json:
        print_json(asdict(report))
    else:
        for problem in report.problems:
            typer.echo(problem, err=True)
        read = f" ({report.packs_read} read, {size(report.bytes_read)})" if subset else ""
        typer.echo(f"{report.packs} packs{read}, {report.blobs} blobs, {len(report.problems)} problems")
    report.require_clean()


@app.command()
@grouped
def restore(
    snapshot: str = typer.Argument(metavar="SNAPSHOT", help="An id, a prefix of one, or latest."),
    target: Path | None = typer.Option(
        None, "--target", metavar="DIR", help="Where to; paths are re-created below it."
    ),
    include: list[str] = typer.Option([], "--include", metavar="PATH", help="Only this; repeatable."),
    exclude: list[str] = typer.Option([], "--exclude", metavar="PATTERN", help="Not this; repeatable."),
    job: str = JOB,
    in_place: bool = typer.Option(False, "--in-place", help="Write over live data."),
    verify: bool = typer.Option(True, help="Read every file again afterwards."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would be restored."),
    *,
    place: Place,
    as_json: bool = AS_JSON,
) -> None:
    """Restore files to another place; an interrupted restore goes on where it stopped."""
    from sentinel.backup.restore import RestoreOptions
    from sentinel.backup.restore import restore as restore_files
    from sentinel.cli.listing import print_json
    from sentinel.cli.repositories import bar, size
    from sentinel.errors import UsageError

    if target is None and not in_place:
        raise UsageError("where to? --target DIR (or --in-place to write over live data)")
    options = RestoreOptions(verify=verify, dry_run=dry_run, in_place=in_place)
    with (
        place.open() as opened_repository,
        bar("restore", quiet=as_json) as progress,
    ):
        found = _find(opened_repository, snapshot, job)
        report = restore_files(
            opened_repository,
            found,
            Path("/") if in_place or target is None else target,
            include=include,
            excludes=exclude,
            options=options,
            progress=progress,
        )
        if not dry_run:
            where = "in place" if in_place else str(target)
            facts = {"snapshot": found.short_id, "into": where, "files": report.files, "bytes": report.bytes}
            place.record("backup.restore", opened_repository, **facts)
    if as_json:
        print_json(
            asdict(report) | {"snapshot": found.id, "problems": [str(problem) for problem in report.problems]}
        )
    else:
        word = "would restore" if dry_run else "restored"
        typer.echo(
            f"{word} {report.files} files, {size(report.bytes)} of snapshot {found.short_id}, {report.seconds:.1f} s"
        )
    report.require_complete()


@app.command()
@grouped
def dump(
    snapshot: str = typer.Argument(metavar="SNAPSHOT", help="An id, a prefix of one, or latest."),
    path: str = typer.Argument("", metavar="PATH", help="A file's path in the snapshot."),
    table: str = typer.Option(
        "", "--table", metavar="NAME", help="One table as SQL (with --job, of a database)."
    ),
    job: str = JOB,
    *,
    place: Place,
) -> None:
    """One file, or one table of a database dump, to stdout."""
    import sys

    from sentinel.backup import access
    from sentinel.backup.restore import dump as dump_file
    from sentinel.backup.source.tables import table_dump
    from sentinel.errors import UsageError

    if bool(path) == bool(table):
        raise UsageError("name either a file of the snapshot or a --table")
    with place.open() as opened_repository:
        found = _find(opened_repository, snapshot, job)
        if table:
            table_dump(access.opener(opened_repository, found), found.paths, table, sys.stdout.buffer)
            return
        for block in dump_file(opened_repository, found, path):
            sys.stdout.buffer.write(block)


@app.command()
def drill(job: str = A_JOB, config: Path = CONFIG, as_json: bool = AS_JSON) -> None:
    """Restore a job's newest snapshot in a sandbox with its playbook, check it, measure RTO and RPO."""
    from sentinel.backup.drill import run_drill
    from sentinel.cli.listing import print_json
    from sentinel.cli.repositories import load, size
    from sentinel.ledger import Ledger
    from sentinel.playbook.runner import Runner
    from sentinel.state import State

    loaded, settings = load(config)
    state, ledger = State(loaded.state), Ledger(loaded.state)
    runner = Runner(config=config.resolve(), settings=settings, state=state, ledger=ledger)
    result = run_drill(settings, job, state, ledger, runner.in_sandbox)
    if as_json:
        print_json({key: value for key, value in asdict(result).items() if key != "detail"})
    elif result.rto_seconds is not None and result.rpo_seconds is not None:
        typer.echo(
            f"{job}: {result.result}; RTO {result.rto_seconds:.1f} s, RPO {result.rpo_seconds:.0f} s, {size(result.bytes)}"
        )
    result.require_ok()


# --- inside -----------------------------------------------------------------------------------------------------


def _take_once(
    paths: list[Path],
    excludes: list[str],
    stdin: str,
    tags: list[str],
    place: tuple[Path, str, Path | None],
    *,
    as_json: bool,
) -> None:
    import sys

    from sentinel.backup.archive import BackupOptions, Stream, backup
    from sentinel.cli.listing import print_json
    from sentinel.cli.repositories import bar, opened, seen_folder, size

    streams = [Stream("/" + stdin.lstrip("/"), sys.stdin.buffer)] if stdin else []
    options = BackupOptions(tags=tuple(tags), excludes=tuple(excludes), seen_folder=seen_folder(place[0]))
    with opened(*place) as repository, bar("backup", quiet=as_json) as progress:
        report = backup(repository, paths=paths, streams=streams, options=options, progress=progress)
    if as_json:
        unreadable = [str(problem) for problem in report.unreadable]
        print_json(asdict(report) | {"snapshot": report.snapshot.id, "unreadable": unreadable})
    else:
        taken, stored = size(report.bytes_total), size(report.bytes_stored)
        typer.echo(f"snapshot {report.snapshot.short_id}, {taken}, {stored} stored, {report.seconds:.1f} s")
    report.require_complete()


def _find(repository: Any, snapshot: str, job: str) -> Snapshot:
    from sentinel.backup.access import job_snapshot
    from sentinel.backup.repo.snapshots import find_snapshot

    return job_snapshot(repository, job, snapshot) if job else find_snapshot(repository, snapshot)
