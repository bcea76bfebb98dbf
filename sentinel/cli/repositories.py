"""Which repository a command means, how it is opened, and the progress bar.

A repository is named in sentinel.yml; on a bare machine it is a location (a directory, s3:https://...) with
--password-file or $RESTIC_PASSWORD_FILE, so that repository and password alone are enough.
"""

from __future__ import annotations

import contextlib
import os
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sentinel.cli.options import CONFIG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sentinel.backup.progress import Progress
    from sentinel.backup.repo.repository import Repository
    from sentinel.backup.settings import BackupSettings, RepositorySettings
    from sentinel.config import Config

REPOSITORY = typer.Option(
    "", "--repository", "-r", metavar="R", help="A name in sentinel.yml, or a location (directory, s3:...)."
)
PASSWORD_FILE = typer.Option(
    None, "--password-file", metavar="FILE", help="For a location; also $RESTIC_PASSWORD_FILE."
)


@dataclass(frozen=True, slots=True)
class Place:
    """Which repository, and what opens it; an option of each field (options.py)."""

    repository: str = REPOSITORY
    password_file: Path | None = PASSWORD_FILE
    config: Path = CONFIG

    def open(self) -> AbstractContextManager[Repository]:
        return opened(self.config, self.repository, self.password_file)

    def record(self, action: str, repository: Repository, **facts: object) -> None:
        """What an operator did goes into the host's ledger; a bare machine has none."""
        from sentinel import config as configuration
        from sentinel.ledger import Ledger

        if self.config.exists():
            state = configuration.load(self.config).state
            Ledger(state).append(action, self.repository or repository.store.location, **facts)


def load(path: Path) -> tuple[Config, BackupSettings]:
    from sentinel import config as configuration
    from sentinel.errors import UsageError

    config = configuration.load(path)
    if config.backup is None:
        raise UsageError(f"{path}: has no `backup:` section")
    return config, config.backup


def chosen(config: Path, name: str, password_file: Path | None) -> RepositorySettings:
    """By name from the configuration, by location without one; the only one where none is named."""
    from sentinel import config as configuration
    from sentinel.backup.settings import RepositorySettings
    from sentinel.errors import UsageError

    backup = configuration.load(config).backup if config.exists() else None
    known = backup.repositories if backup else {}
    if name in known:
        return known[name]
    if not name and len(known) == 1:
        return next(iter(known.values()))
    if "/" not in name and not Path(name, "config").exists():
        raise UsageError(
            f"--repository: a name ({', '.join(known) or 'none configured'}) or a location is needed"
        )
    if str(password_file) == ".":  # an empty --password-file: a playbook's secret comes from the environment
        password_file = None
    password_file = password_file or _path(os.environ.get("RESTIC_PASSWORD_FILE"))
    origin: dict[str, Any] = (
        {"password_file": password_file} if password_file else {"password_env": "RESTIC_PASSWORD"}
    )
    return RepositorySettings.model_validate({"store": name, **origin})


def elsewhere(
    settings: BackupSettings, job: str, config: Path, repository: str, password_file: Path | None
) -> BackupSettings:
    """The same settings, with one job going to another repository, where its retention does not apply."""
    from sentinel.backup.access import job_of
    from sentinel.backup.settings import KeepSettings

    name = "chosen-on-the-command-line"
    moved = job_of(settings, job).model_copy(update={"repository": name, "keep": KeepSettings()})
    repositories = {**settings.repositories, name: chosen(config, repository, password_file)}
    return settings.model_copy(update={"jobs": {**settings.jobs, job: moved}, "repositories": repositories})


def seen_folder(config: Path) -> Path | None:
    """Beside the state, as for jobs; on a bare machine nothing is remembered."""
    from sentinel import config as configuration
    from sentinel.backup.jobs import SEEN_FOLDER

    return configuration.load(config).state / SEEN_FOLDER if config.exists() else None


@contextlib.contextmanager
def opened(config: Path, name: str, password_file: Path | None) -> Iterator[Repository]:
    from sentinel.backup.access import open_repository

    with open_repository(chosen(config, name, password_file)) as repository:
        yield repository


@contextlib.contextmanager
def bar(title: str, *, quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """A progress bar with rate and time left on a terminal, nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[current]}"),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(title, total=None, current="")

        def show(progress: Progress) -> None:
            bars.update(
                task,
                completed=progress.bytes_done,
                total=progress.bytes_total or None,
                current=str(progress.current)[-40:],
            )

        yield show


def size(count: float) -> str:
    """Bytes for a person: 1.5 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def when(nanoseconds: int) -> str:
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(nanoseconds / 1e9, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
