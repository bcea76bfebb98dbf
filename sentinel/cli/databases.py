"""sentinel backup load, verify, save, database: what restore playbooks do to a database."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from sentinel.cli.options import A_JOB, AS_JSON, CONFIG, grouped

if TYPE_CHECKING:
    from sentinel.backup.settings import BackupSettings, JobSettings
    from sentinel.backup.source.mariadb import Mariadb
    from sentinel.backup.source.postgresql import Postgresql
    from sentinel.backup.source.source import Source

app = typer.Typer(help="Look for, rename or drop a database that a restore made.", no_args_is_help=True)

COPY = typer.Argument(metavar="NAME", help="The database, on the job's server or the one named.")
SNAPSHOT = typer.Option("latest", "--snapshot", metavar="ID", help="An id, a prefix of one, or latest.")


# A playbook in a sandbox sets these variables, so that its commands read the same there and for real.
@dataclass(frozen=True, slots=True)
class Server:
    """Another server than the source's; nothing given is the source's own."""

    host: str = typer.Option(
        "", "--host", envvar="SENTINEL_TARGET_HOST", help="Another server: a name, or a socket."
    )
    port: str = typer.Option("", "--port", envvar="SENTINEL_TARGET_PORT", help="Its port.")
    user: str = typer.Option(
        "",
        "--user",
        envvar="SENTINEL_TARGET_USER",
        help="Its user; the password comes from $SENTINEL_TARGET_PASSWORD.",
    )


@dataclass(frozen=True, slots=True)
class Copy(Server):
    """Where a copy goes or is."""

    into: str = typer.Option(
        "", "--into", metavar="TARGET", help="A database's name, or a file. Default: the source's."
    )
    foreign: bool = typer.Option(
        False,
        "--foreign",
        envvar="SENTINEL_TARGET_FOREIGN",
        help="Another server: make the roles that the dump names.",
    )


@grouped
def load(
    job: str = A_JOB,
    snapshot: str = SNAPSHOT,
    saved: Path | None = typer.Option(
        None, "--saved", metavar="DIR", help="From what `save` set aside instead."
    ),
    if_present: bool = typer.Option(False, "--if-present", help="Do nothing when --saved is not there."),
    *,
    copy: Copy,
    force: bool = typer.Option(False, "--force", help="Also into the source itself, and over what is there."),
    config: Path = CONFIG,
) -> None:
    """Load a job's database dump into a named target, which must differ from the source unless forced."""
    from sentinel.backup import access, safety
    from sentinel.backup.targets import require_other, source_of

    settings, chosen, target = _target(config, job, copy)
    if not force:
        require_other(source_of(chosen), target)
    if saved:
        if if_present and not saved.exists():
            typer.echo(f"{saved} is not there: nothing to load")
            return
        target.load(safety.saved(saved), replace=force)
        typer.echo(f"loaded {saved} into {target.address()}")
        return
    with access.open_repository(access.repository_of(settings, chosen.repository)) as repository:
        found = access.job_snapshot(repository, job, snapshot)
        target.load(access.opener(repository, found), replace=force)
    typer.echo(f"loaded snapshot {found.short_id} into {target.address()}")


@grouped
def verify(
    job: str = A_JOB,
    snapshot: str = SNAPSHOT,
    *,
    copy: Copy,
    config: Path = CONFIG,
    as_json: bool = AS_JSON,
) -> None:
    """Compare a restored copy with what was recorded when the dump was taken."""
    from sentinel.backup import access
    from sentinel.backup.source.invariants import differences
    from sentinel.cli.listing import print_json
    from sentinel.cli.repositories import load as load_config
    from sentinel.errors import SourceError
    from sentinel.state import State

    settings, chosen, restored = _target(config, job, copy)
    with access.open_repository(access.repository_of(settings, chosen.repository)) as repository:
        found = access.job_snapshot(repository, job, snapshot)
        recorded = access.recorded_of(repository, found, State(load_config(config)[0].state), job)
    if recorded is None:
        raise SourceError(f"snapshot {found.short_id}: nothing was recorded when it was taken")
    problems = differences(recorded, restored.measure())
    if as_json:
        count = {"tables": len(recorded.tables), "rows": recorded.rows()}
        print_json({"snapshot": found.id, "differences": problems} | count)
    else:
        typer.echo(f"{len(recorded.tables)} tables, {recorded.rows()} rows, {len(problems)} differences")
    if problems:
        raise SourceError("the copy is not what was backed up: " + "; ".join(problems))


@grouped
def save(
    job: str = A_JOB,
    directory: Path = typer.Argument(metavar="DIR", help="Must not exist yet."),
    *,
    copy: Copy,
    config: Path = CONFIG,
) -> None:
    """Set a database's present content aside in a folder, to load it again with `load --saved`."""
    from sentinel.backup import safety
    from sentinel.cli.repositories import size

    target = _target(config, job, copy)[2]
    typer.echo(f"saved {size(safety.save(target, directory))} in {directory}")


@app.command()
@grouped
def answers(job: str = A_JOB, *, server: Server, config: Path = CONFIG) -> None:
    """Whether the job's database server answers (the database itself may be gone)."""
    typer.echo(_target(config, job, server)[2].address())


@app.command()
@grouped
def exists(
    job: str = A_JOB,
    name: str = COPY,
    absent: bool = typer.Option(False, "--absent", help="Succeed when it does not exist."),
    *,
    server: Server,
    config: Path = CONFIG,
) -> None:
    """Whether a database of this name exists; exit code 1 when not."""
    found = _server(config, job, name, server).exists()
    typer.echo(f"{name}: {'exists' if found else 'does not exist'}")
    if found is absent:
        raise typer.Exit(1)


@app.command()
@grouped
def rename(
    job: str = A_JOB,
    name: str = COPY,
    new: str = typer.Argument(metavar="NEW", help="Its new name."),
    *,
    server: Server,
    config: Path = CONFIG,
) -> None:
    """Rename a PostgreSQL database; its connections are cut."""
    from sentinel.backup.source.postgresql import Postgresql
    from sentinel.errors import UsageError

    database = _server(config, job, name, server)
    if not isinstance(database, Postgresql):
        raise UsageError("only a PostgreSQL database can be renamed")
    database.rename(new)
    typer.echo(f"renamed {name} to {new}")


@app.command()
@grouped
def drop(
    job: str = A_JOB,
    name: str = COPY,
    *,
    server: Server,
    config: Path = CONFIG,
) -> None:
    """Drop a copy that a restore made; never the job's own database."""
    from sentinel.backup.targets import require_other, source_of
    from sentinel.cli.repositories import load as load_config

    database = _server(config, job, name, server)
    require_other(source_of(load_config(config)[1].jobs[job]), database)
    database.drop()
    typer.echo(f"dropped {name}")


# --- inside -----------------------------------------------------------------------------------------------------


def _target(
    config: Path, job: str, where: Server, into: str = ""
) -> tuple[BackupSettings, JobSettings, Source]:
    import os

    from sentinel.backup.access import job_of
    from sentinel.backup.targets import Target, target_of
    from sentinel.cli.repositories import load as load_config
    from sentinel.errors import UsageError

    if where.port and not where.port.isdigit():
        raise UsageError(f"--port {where.port}: not a number")
    foreign = isinstance(where, Copy) and where.foreign
    into = where.into if isinstance(where, Copy) else into
    password = os.environ.get("SENTINEL_TARGET_PASSWORD")
    settings = load_config(config)[1]
    chosen = job_of(settings, job)
    target = Target(into, where.host, int(where.port) if where.port else None, where.user, password, foreign)
    return settings, chosen, target_of(chosen, target)


def _server(config: Path, job: str, name: str, server: Server) -> Postgresql | Mariadb:
    from sentinel.backup.source.mariadb import Mariadb
    from sentinel.backup.source.postgresql import Postgresql
    from sentinel.errors import UsageError

    target = _target(config, job, server, name)[2]
    if not isinstance(target, (Postgresql, Mariadb)):
        raise UsageError(f"{job}: {target.kind} has no databases by name")
    return target
