"""What sentinel.yml may say about repositories and jobs.

In: the `backup:` part of sentinel.yml. Out: frozen models; durations and ages are seconds, rates bytes per second.
Invariant: a model that validated is consistent in itself (each job names a repository that is defined, exactly one
source, exactly one origin of a secret); problems carry the place (`loc`), from which yamlfile finds the line.
Secrets are never stored in a model: `Secret.value()` reads them when they are needed and keeps nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from sentinel.backup.cron import parse
from sentinel.durations import seconds
from sentinel.errors import InvalidInputError, Problem
from sentinel.yamlfile import Settings

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"  # becomes a metric label, a tag and a file name


def _schedule(value: str) -> str:
    parse(value)
    return value


Duration = Annotated[float, BeforeValidator(seconds), Field(ge=0)]
Schedule = Annotated[str, AfterValidator(_schedule)]
Name = Annotated[str, Field(pattern=NAME_PATTERN)]


class Secret(Settings):
    """Where a password comes from: a file, an environment variable or a systemd credential (LoadCredential=)."""

    password_file: Path | None = None
    password_env: str | None = None
    password_credential: str | None = None

    @model_validator(mode="after")
    def _at_most_one(self) -> Self:
        if sum(origin is not None for origin in self._origins()) > 1:
            raise ValueError("only one of password_file, password_env and password_credential may be given")
        return self

    def _origins(self) -> tuple[object, ...]:
        return (self.password_file, self.password_env, self.password_credential)

    def has_password(self) -> bool:
        return any(origin is not None for origin in self._origins())

    def password(self) -> str | None:
        """The secret, or None where none is configured. One trailing line end is not part of it (restic does so)."""
        if self.password_env is not None:
            if self.password_env not in os.environ:
                raise InvalidInputError([Problem(f"${self.password_env}", 0, "variable is not set")])
            return os.environ[self.password_env]
        path = self.secret_path()
        if path is None:
            return None
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InvalidInputError([Problem(str(path), 0, f"password cannot be read: {reason}")]) from None
        return text.removesuffix("\n").removesuffix("\r")

    def secret_path(self) -> Path | None:
        if self.password_credential is not None:
            directory = os.environ.get("CREDENTIALS_DIRECTORY")
            if not directory:
                raise InvalidInputError(
                    [
                        Problem(
                            self.password_credential, 0, "no $CREDENTIALS_DIRECTORY: not started by systemd"
                        )
                    ]
                )
            return Path(directory) / self.password_credential
        return _credential_of(self.password_file) or self.password_file


def _credential_of(file: Path | None) -> Path | None:
    """What systemd hands this unit for a file that only root may read (LoadCredential=NAME:FILE, by the file's name)."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    handed = Path(directory) / file.name if directory and file else None
    return handed if handed and handed.exists() else None


# --- repositories ---------------------------------------------------------------------------------------------


class ObjectLockSettings(Settings):
    """Nothing can be removed for `days`; what is still needed is extended by the `renew` schedule when half is over."""

    mode: Annotated[str, Field(pattern="^(governance|compliance)$")] = "governance"
    days: int = Field(default=30, ge=1)
    renew: Schedule = "@daily"


class BandwidthSettings(Settings):
    upload_bytes_per_second: int | None = Field(default=None, ge=1024)
    download_bytes_per_second: int | None = Field(default=None, ge=1024)


class CheckSettings(Settings):
    """Structure each time, and `percentage` of the data: ceil(100 / percentage) days in a row read all of it."""

    schedule: Schedule
    percentage: float = Field(default=10.0, gt=0, le=100)


class PruneSettings(Settings):
    """`max_unused` per cent of waste may stay before packs are rewritten; `max_repack_bytes` 0 is no limit for one run."""

    schedule: Schedule
    max_unused: float = Field(default=5.0, ge=0, le=100)
    max_repack_bytes: int = Field(default=0, ge=0)


class RepositorySettings(Secret):
    """`store` is a directory or s3://bucket/prefix; S3 keys come from files or AWS_ACCESS_KEY_ID and its likes."""

    store: str = Field(min_length=1)
    endpoint: str | None = None
    region: str | None = None
    path_style: bool = True
    ca_file: Path | None = None
    access_key_file: Path | None = None
    secret_key_file: Path | None = None
    storage_class: str | None = None
    object_lock: ObjectLockSettings | None = None
    bandwidth: BandwidthSettings = BandwidthSettings()
    compression: Annotated[str, Field(pattern="^(auto|max|off)$")] = "auto"
    check: CheckSettings | None = None
    prune: PruneSettings | None = None

    @model_validator(mode="after")
    def _needs_password(self) -> Self:
        if not self.has_password():
            raise ValueError("one of password_file, password_env and password_credential is needed")
        return self

    @model_validator(mode="after")
    def _lock_needs_s3(self) -> Self:
        if self.object_lock and not self.store.startswith("s3:"):
            raise ValueError("object_lock needs an S3 store: a directory retains nothing")
        return self

    def location(self) -> str:
        """How stock restic names this repository (`-r`)."""
        if not self.store.startswith("s3://"):
            return self.store
        endpoint = (self.endpoint or "https://s3.amazonaws.com").rstrip("/")
        return f"s3:{endpoint}/{self.store.removeprefix('s3://')}"


# --- sources --------------------------------------------------------------------------------------------------


class PathsSettings(Settings):
    include: list[Path] = Field(min_length=1)
    exclude: list[str] = []
    one_file_system: bool = False


class ServerSettings(Secret):
    """`host` may be a directory or socket path; without it the program's own default (a local socket) holds."""

    database: Annotated[str, Field(min_length=1, pattern=r"^[^\x00\n-][^\x00\n]*$")]
    host: str | None = None
    port: int | None = Field(default=None, ge=1, le=65535)
    user: str | None = None


class PostgresqlSettings(ServerSettings):
    globals: bool = Field(
        default=True, description="roles and tablespaces beside the database (pg_dumpall --globals-only)"
    )


class MariadbSettings(ServerSettings):
    accounts: bool = Field(
        default=True,
        description="users, roles and grants of the server beside the database, where they may be read",
    )


class RedisSettings(Secret):
    """`host` may be the path of a unix socket."""

    host: str = "127.0.0.1"
    port: int = Field(default=6379, ge=1, le=65535)
    user: str | None = None


class SqliteSettings(Settings):
    path: Path


class SourceSettings(Settings):
    """Exactly one kind."""

    paths: PathsSettings | None = None
    postgresql: PostgresqlSettings | None = None
    mariadb: MariadbSettings | None = None
    redis: RedisSettings | None = None
    sqlite: SqliteSettings | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self.model_fields_set) != 1 or getattr(self, self.kind) is None:
            raise ValueError(f"exactly one of {', '.join(type(self).model_fields)} is needed")
        return self

    @property
    def kind(self) -> str:
        return next(iter(self.model_fields_set))


# --- jobs -----------------------------------------------------------------------------------------------------


class HookSettings(Settings):
    """A program to run beside a job, as an argument list (no shell)."""

    run: list[str] = Field(min_length=1)
    timeout: Duration = 60.0


class HooksSettings(Settings):
    """A failing `before` hook fails the job; `after` hooks always run and learn $SENTINEL_RESULT (ok or failed)."""

    before: list[HookSettings] = []
    after: list[HookSettings] = []


class KeepSettings(Settings):
    """What forget keeps, as restic's --keep-* (restic: doc/060_forget.rst). Empty: nothing is ever forgotten."""

    last: int | None = Field(default=None, ge=1)
    hourly: int | None = Field(default=None, ge=1)
    daily: int | None = Field(default=None, ge=1)
    weekly: int | None = Field(default=None, ge=1)
    monthly: int | None = Field(default=None, ge=1)
    yearly: int | None = Field(default=None, ge=1)
    within: str | None = None
    within_hourly: str | None = None
    within_daily: str | None = None
    within_weekly: str | None = None
    within_monthly: str | None = None
    within_yearly: str | None = None
    tags: list[str] = []


class QuerySettings(Settings):
    """An operator's own question to the restored copy: SQL (Redis: a command); `expect` is its whole output."""

    query: str = Field(min_length=1)
    expect: str | None = None
    at_least: float | None = None

    @model_validator(mode="after")
    def _one_expectation(self) -> Self:
        if (self.expect is None) == (self.at_least is None):
            raise ValueError("exactly one of expect and at_least is needed")
        return self


class DrillSettings(Settings):
    """`max_age`: an older dump fails the drill. `max_shrink`: so much of a table may be gone since the last drill.

    A drill that has not begun `grace` after it was due counts as failed.
    """

    playbook: Name
    schedule: Schedule
    parameters: dict[str, str] = {}
    queries: list[QuerySettings] = []
    max_age: Duration | None = None
    max_shrink: float = Field(default=0.5, ge=0.0, le=1.0)
    grace: Duration = 3600.0
    timeout: Duration = 3600.0


class JobSettings(Settings):
    source: SourceSettings
    repository: str
    schedule: Schedule | None = None
    jitter: Duration = 0.0
    catch_up: bool = True
    keep: KeepSettings = KeepSettings()
    tags: list[str] = []
    hooks: HooksSettings = HooksSettings()
    timeout: Duration = 21_600.0
    sample_rows: int = Field(default=1000, ge=0, description="rows of each table whose checksum is recorded")
    drill: DrillSettings | None = None
    grace: Duration = Field(default=3600.0, description="later than this after its time, a job is overdue")


class MaintenanceSettings(Settings):
    """A window in which no job starts: from each time of `schedule` for `duration`."""

    schedule: Schedule
    duration: Duration


class BackupSettings(Settings):
    repositories: dict[Name, RepositorySettings] = {}
    jobs: dict[Name, JobSettings] = {}
    maintenance: list[MaintenanceSettings] = []
    scratch_directory: Path = Path("/var/tmp")  # noqa: S108 - sandboxes are 0700 directories inside it
    playbooks: list[Path] = Field(
        default=[], description="folders with own playbooks, before the shipped ones"
    )

    @model_validator(mode="after")
    def _repositories_exist(self) -> Self:
        wrong = [
            _detail(
                ("jobs", name, "repository"), f"there is no repository {job.repository!r}", job.repository
            )
            for name, job in self.jobs.items()
            if job.repository not in self.repositories
        ]
        if wrong:
            raise ValidationError.from_exception_data("backup", wrong)
        return self


def _detail(place: tuple[str, ...], message: str, value: Any) -> InitErrorDetails:
    return InitErrorDetails(
        type=PydanticCustomError("reference", "{message}", {"message": message}), loc=place, input=value
    )
