"""What a playbook may write as `{name}` without declaring it: facts from sentinel.yml, the job and the sandbox.

In: the configuration, a job's name, a sandbox or none. Out: `values` (shown, recorded) and `environment` (given to the
commands; may hold what a client needs to log in, is never shown or recorded). Invariant: no secret is a value.
"""

from __future__ import annotations

import getpass
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel.backup.targets import in_sandbox
from sentinel.errors import InvalidInputError, UsageError

if TYPE_CHECKING:
    from sentinel.backup.sandbox import Sandbox
    from sentinel.backup.settings import BackupSettings, JobSettings, RepositorySettings, ServerSettings

FACTS: dict[str, str] = {
    "config": "the configuration file in force",
    "host": "this host's name",
    "user": "who runs the playbook",
    "run": "the id of this run",
    "state_directory": "where Sentinel keeps its state and journals",
    "job": "the backup job",
    "repository": "the name of the job's repository in sentinel.yml",
    "location": "the repository as stock restic names it (-r)",
    "password_file": "the file with the repository's password; empty when it comes from the environment",
    "source_kind": "what the job backs up: paths, postgresql, mariadb, redis or sqlite",
    "source_path": "the job's SQLite file, or its first path",
    "source_database": "the job's database",
    "source_host": "the job's database server (a name, or a socket directory); may be empty",
    "source_port": "its port; may be empty",
    "source_user": "its user; may be empty",
    "sandbox": "the scratch directory of a run in a sandbox; in a real run, this run's own work directory",
    "server_host": "the database server to restore into: the source's, or the sandbox's private one",
    "server_port": "its port; may be empty",
    "server_user": "its user; may be empty",
    "target_path": "where to restore a file to: the source's own place, or its name in the sandbox",
    "target_database": "the database to restore into: the source's name (in a sandbox: on the private server)",
}


@dataclass(frozen=True, slots=True)
class Facts:
    values: dict[str, str]
    environment: dict[str, str]


def gather(
    config: Path,
    settings: BackupSettings,
    *,
    job: str,
    repository: str,
    run: str,
    state_directory: Path,
    directory: Path,
    sandbox: Sandbox | None,
) -> Facts:
    """`job` and `repository` may be empty: not every playbook is about one."""
    values = dict.fromkeys(FACTS, "") | {
        "config": str(config),
        "host": socket.gethostname(),
        "user": os.environ.get("SUDO_USER") or getpass.getuser(),
        "run": run,
        "state_directory": str(state_directory),
        "sandbox": str(sandbox.files if sandbox else directory),
    }
    environment: dict[str, str] = {}
    if job:
        chosen = _job(settings, job)
        repository = repository or chosen.repository
        values |= {"job": job} | _source(chosen)
    if repository:
        if repository not in settings.repositories:
            raise UsageError(f"there is no repository {repository!r} in the configuration")
        values["repository"] = repository
        chosen_repository = settings.repositories[repository]
        values |= _repository(chosen_repository)
        if chosen_repository.password_env:
            environment["RESTIC_PASSWORD"] = chosen_repository.password() or ""
    values |= {f"server_{key}": values[f"source_{key}"] for key in ("host", "port", "user")}
    values |= {"target_path": values["source_path"], "target_database": values["source_database"]}
    if sandbox:
        values |= _sandboxed(settings.jobs[job] if job else None, sandbox)
    environment |= _client(settings.jobs[job] if job else None, values, in_sandbox=sandbox is not None)
    if sandbox and sandbox.server:
        environment |= {
            "SENTINEL_TARGET_HOST": values["server_host"],
            "SENTINEL_TARGET_PORT": values["server_port"],
            "SENTINEL_TARGET_USER": values["server_user"],
            "SENTINEL_TARGET_FOREIGN": "1",
        }
    return Facts(values, environment)


def _job(settings: BackupSettings, name: str) -> JobSettings:
    if name not in settings.jobs:
        known = ", ".join(sorted(settings.jobs)) or "none"
        raise UsageError(f"there is no job {name!r} in the configuration; known are: {known}")
    return settings.jobs[name]


def _repository(settings: RepositorySettings) -> dict[str, str]:
    try:
        path = settings.secret_path()
    except InvalidInputError:  # not started by systemd: the unit's credential is not ours to read
        path = Path("/run/credentials/sentinel-backup.service", str(settings.password_credential))
    return {"location": settings.location(), "password_file": str(path or "")}


def _source(job: JobSettings) -> dict[str, str]:
    source, values = job.source, {"source_kind": job.source.kind}
    server: ServerSettings | None = source.postgresql or source.mariadb
    if server:
        values["source_database"] = server.database
        values |= {
            "source_host": server.host or "",
            "source_port": str(server.port or ""),
            "source_user": server.user or "",
        }
    elif source.redis:
        values |= {
            "source_host": source.redis.host,
            "source_port": str(source.redis.port),
            "source_user": source.redis.user or "",
        }
    elif source.sqlite:
        values["source_path"] = str(source.sqlite.path)
    elif source.paths:
        values["source_path"] = str(source.paths.include[0])
    return values


def _sandboxed(job: JobSettings | None, sandbox: Sandbox) -> dict[str, str]:
    server = sandbox.server
    values = {
        "server_host": server.host if server else "",
        "server_port": str(server.port or "") if server else "",
        "server_user": server.user if server else "",
    }
    if job and not server:
        values["target_path"] = in_sandbox(job, sandbox).into
    return values


def _client(job: JobSettings | None, values: dict[str, str], *, in_sandbox: bool) -> dict[str, str]:
    """Variables of libpq, so that a playbook's psql lines reach the server that the run is about."""
    if job is None or job.source.postgresql is None:
        return {}
    wanted = {
        "PGHOST": values["server_host"],
        "PGPORT": values["server_port"],
        "PGUSER": values["server_user"],
        "PGPASSWORD": "" if in_sandbox else job.source.postgresql.password() or "",
    }
    return {name: value for name, value in wanted.items() if value}
