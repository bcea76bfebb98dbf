"""Settings -> sources: what a job dumps, and where its dump may be loaded.

In: a job's settings; a target by name, or a sandbox. Out: objects of the Source protocol. Invariant: nothing is loaded
over the data it came from unless the caller forces it, however the target was spelled (host name, socket, symlink):
the address that the server itself gives is compared, and the settings where the source does not answer any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel.backup.source.mariadb import Mariadb
from sentinel.backup.source.paths import Paths
from sentinel.backup.source.postgresql import Postgresql
from sentinel.backup.source.redis import Redis
from sentinel.backup.source.sqlite import Sqlite
from sentinel.errors import SourceError, UsageError

if TYPE_CHECKING:
    from sentinel.backup.sandbox import Sandbox
    from sentinel.backup.settings import JobSettings, RedisSettings, ServerSettings
    from sentinel.backup.source.source import Source


@dataclass(frozen=True, slots=True)
class Target:
    """Where to load: a database name or a file, on another server where `host` says so.

    Empty fields mean what the source has. `foreign`: another server, whose roles may have to be made.
    """

    into: str = ""
    host: str = ""
    port: int | None = None
    user: str = ""
    password: str | None = None
    foreign: bool = False


def source_of(job: JobSettings) -> Source:
    return target_of(job, Target())


def target_of(job: JobSettings, target: Target) -> Source:
    source, rows = job.source, job.sample_rows
    server: ServerSettings | RedisSettings | None = source.postgresql or source.mariadb or source.redis
    elsewhere = server is not None and _is_elsewhere(target, server)
    if source.sqlite:
        return Sqlite(Path(target.into) if target.into else source.sqlite.path, sample_rows=rows)
    if source.paths:
        root = Path(target.into) if target.into else Path("/")
        settings = source.paths
        return Paths(tuple(settings.include), tuple(settings.exclude), settings.one_file_system, root, rows)
    if source.postgresql:
        postgresql = source.postgresql
        return Postgresql(
            database=target.into or postgresql.database,
            host=target.host or postgresql.host,
            port=target.port if elsewhere else postgresql.port,
            user=target.user or postgresql.user,
            password=target.password if elsewhere else postgresql.password(),
            roles=postgresql.globals,
            foreign=target.foreign,
            sample_rows=rows,
        )
    if source.mariadb:
        mariadb = source.mariadb
        return Mariadb(
            database=target.into or mariadb.database,
            host=target.host or mariadb.host,
            port=target.port if elsewhere else mariadb.port,
            user=target.user or mariadb.user,
            password=target.password if elsewhere else mariadb.password(),
            accounts=mariadb.accounts,
            foreign=target.foreign,
            sample_rows=rows,
        )
    if source.redis:
        redis = source.redis
        return Redis(
            host=target.host or redis.host,
            port=target.port or redis.port,
            user=target.user if elsewhere else (redis.user or ""),
            password=target.password if elsewhere else redis.password(),
            sample_keys=rows,
        )
    raise UsageError("the job has no source")


def _is_elsewhere(target: Target, server: ServerSettings | RedisSettings) -> bool:
    """Whether the target is another server, which the source's password and port are not for."""
    other_host = target.host not in {"", server.host or ""}
    return target.foreign or other_host or target.port not in {None, server.port}


def in_sandbox(job: JobSettings, sandbox: Sandbox) -> Target:
    """Where a playbook restores to when it runs in this sandbox (the facts target_path and target_database)."""
    server = sandbox.server
    if job.source.sqlite:
        return Target(into=str(sandbox.files / job.source.sqlite.path.name))
    if job.source.paths:
        return Target(into=str(sandbox.files))
    assert server is not None
    return Target(host=server.host, port=server.port, user=server.user, foreign=True)


def _place(source: Source) -> tuple[object, ...]:
    """What the settings alone say about where data lies; who asks for it makes no difference."""
    return (
        source.kind,
        *(getattr(source, name, None) for name in ("host", "port", "database", "path", "root")),
    )


def require_other(source: Source, target: Source) -> None:
    """Refuse a target that is the source itself."""
    if _place(source) == _place(target):
        raise SourceError("the target is the very data that was backed up; name another one, or force it")
    try:
        same = source.address() == target.address()
    except SourceError:
        return  # one of them does not answer: the settings differ, which is all that can be known
    if same:
        raise SourceError(
            f"{source.address()} is the very data that was backed up; name another target, or force it"
        )
