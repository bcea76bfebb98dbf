"""From a repository's settings to an open repository, a job's snapshots and one part of them.

In: RepositorySettings. Out: Repository, snapshots by a job's tag, openers for parts of a dump. Invariant: a part is read
through the repository's own verification; a stream that ends early raises, it never just ends.
"""

from __future__ import annotations

import contextlib
import io
import socket
from typing import IO, TYPE_CHECKING, Any

from sentinel.backup import history
from sentinel.backup.repo.compression import Compression
from sentinel.backup.repo.repository import Repository
from sentinel.backup.repo.snapshots import Snapshot, find_snapshot, list_snapshots
from sentinel.backup.restore import dump, list_files, read_file
from sentinel.backup.source.invariants import LARGEST_DOCUMENT_BYTES, Invariants
from sentinel.backup.source.source import INVARIANTS_PART
from sentinel.backup.store.location import StoreOptions, open_store
from sentinel.errors import RepositoryError, SourceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sentinel.backup.settings import BackupSettings, JobSettings, RepositorySettings
    from sentinel.backup.source.source import Opener
    from sentinel.backup.store.store import Store
    from sentinel.state import State


def store_of(settings: RepositorySettings) -> Store:
    lock = settings.object_lock
    options = StoreOptions(
        endpoint=settings.endpoint or "",
        region=settings.region or "us-east-1",
        access_key=_key(settings.access_key_file),
        secret_key=_key(settings.secret_key_file),
        path_style=settings.path_style,
        storage_class=settings.storage_class or "",
        object_lock_days=lock.days if lock else 0,
        object_lock_mode=(lock.mode if lock else "compliance").upper(),
        upload_bytes_per_second=settings.bandwidth.upload_bytes_per_second or 0,
        download_bytes_per_second=settings.bandwidth.download_bytes_per_second or 0,
        ca_file=str(settings.ca_file or ""),
    )
    return open_store(settings.store, options)


def create_repository(settings: RepositorySettings) -> Repository:
    return Repository.create(store_of(settings), settings.password() or "")


def open_repository(settings: RepositorySettings) -> Repository:
    repository = Repository.open(store_of(settings), settings.password() or "")
    repository.compression = Compression(settings.compression)
    return repository


def job_of(settings: BackupSettings, name: str) -> JobSettings:
    if name not in settings.jobs:
        known = ", ".join(sorted(settings.jobs)) or "none"
        raise UsageError(f"there is no job {name!r} in the configuration; known are: {known}")
    return settings.jobs[name]


def repository_of(settings: BackupSettings, name: str) -> RepositorySettings:
    if name not in settings.repositories:
        known = ", ".join(sorted(settings.repositories)) or "none"
        raise UsageError(f"there is no repository {name!r} in the configuration; known are: {known}")
    return settings.repositories[name]


def tag_of(job: str) -> str:
    return f"job:{job}"


def job_snapshots(repository: Repository, job: str) -> list[Snapshot]:
    return list_snapshots(repository, tags=(tag_of(job),))


def job_snapshot(repository: Repository, job: str, name: str = "latest") -> Snapshot:
    """The latest is this host's own, as long as it has one: another host may have a job of this name, with other data."""
    host = socket.gethostname()
    if name == "latest" and any(snapshot.hostname == host for snapshot in job_snapshots(repository, job)):
        return find_snapshot(repository, name, tags=(tag_of(job),), hostname=host)
    return find_snapshot(repository, name, tags=(tag_of(job),))


def opener(repository: Repository, snapshot: Snapshot) -> Opener:
    """Opens a dump's parts by name."""

    @contextlib.contextmanager
    def opened(path: str) -> Iterator[IO[bytes]]:
        try:
            blocks = dump(repository, snapshot, path)
            yield io.BufferedReader(_Blocks(blocks), 1 << 20)
        except RepositoryError as error:
            raise SourceError(f"snapshot {snapshot.short_id}: {error}") from error

    return opened


def recorded_invariants(repository: Repository, snapshot: Snapshot) -> Invariants | None:
    """What was written down at the time of the dump; None in a snapshot that Sentinel's jobs did not make."""
    found = [entry for entry in list_files(repository, snapshot, INVARIANTS_PART) if entry.type == "file"]
    if not found:
        return None
    if found[0].size > LARGEST_DOCUMENT_BYTES:
        raise SourceError(f"snapshot {snapshot.short_id}: the recorded invariants are too large")
    return Invariants.decode(read_file(repository, snapshot, INVARIANTS_PART))


def recorded_of(repository: Repository, snapshot: Snapshot, state: State, job: str) -> Invariants | None:
    """From the snapshot itself; of files, which have no dump, from the job's history."""
    recorded = recorded_invariants(repository, snapshot)
    if recorded is not None:
        return recorded
    for run in history.job_runs(state, job, (history.OK, history.INCOMPLETE)):
        if run.snapshot == snapshot.id and "invariants" in run.detail:
            return Invariants.from_data(run.detail["invariants"])
    return None


class _Blocks(io.RawIOBase):
    """An iterator of blocks as a stream."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self.blocks = blocks
        self.rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.rest:
            block = next(self.blocks, None)
            if block is None:
                return 0
            self.rest = memoryview(block)
        taken = self.rest[: len(buffer)]
        buffer[: len(taken)] = taken
        self.rest = self.rest[len(taken) :]
        return len(taken)


def _key(path: Path | None) -> str:
    return path.read_text(encoding="utf-8").strip() if path else ""
