"""restic's locks, honoured both ways: shared for readers and writers, exclusive for those that remove.

restic doc/design.rst, "Locks"; internal/restic/lock.go. Look for conflicts, write ours, wait, look again: of two
that raced at least one sees the other and gives way. A lock is refreshed while held (new file, then the old one
is removed) and counts as stale after 30 minutes, or when its process on this host is gone; we remove stale locks
that stand in our way, so that the run after a crash goes on by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sentinel import process
from sentinel.backup.allocation import rare_collections
from sentinel.backup.repo.gojson import SECOND, parse_time, string, time_string
from sentinel.backup.repo.keyfile import current_user
from sentinel.backup.store.store import Kind
from sentinel.errors import LockedError, RepositoryError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sentinel.backup.repo.repository import Repository

STALE_AFTER_SECONDS = 30 * 60
REFRESH_EVERY_SECONDS = 5 * 60
SETTLE_SECONDS = 0.2  # restic's waitBeforeLockCheck
RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class LockInfo:
    id: str
    time_ns: int
    exclusive: bool
    hostname: str
    username: str
    pid: int

    def __str__(self) -> str:
        how = "exclusively " if self.exclusive else ""
        age = max(time.time_ns() - self.time_ns, 0) // SECOND
        return f"{how}by process {self.pid} of {self.username} on {self.hostname}, {age} s ago"

    def is_stale(self) -> bool:
        if time.time_ns() - self.time_ns > STALE_AFTER_SECONDS * SECOND:
            return True
        return self.hostname == socket.gethostname() and not process.exists(self.pid)


def list_locks(repository: Repository) -> list[LockInfo]:
    locks = []
    for name, size in repository.store.list(Kind.LOCK):
        if size == 0:  # some stores are not atomic; restic ignores these too
            continue
        with contextlib.suppress(FileNotFoundError):
            locks.append(_decode(repository.load_file(Kind.LOCK, name), name))
    return locks


def unlock(repository: Repository, *, all_locks: bool = False) -> int:
    """Remove stale locks, or all of them; how many."""
    removed = 0
    if all_locks:
        doomed = [name for name, _ in repository.store.list(Kind.LOCK)]
    else:
        doomed = [lock.id for lock in list_locks(repository) if lock.is_stale()]
    for name in doomed:
        with contextlib.suppress(FileNotFoundError):
            repository.store.remove(Kind.LOCK, name)
            removed += 1
    return removed


@contextlib.contextmanager
def locked(
    repository: Repository,
    *,
    exclusive: bool = False,
    retry_seconds: float = 0.0,
    meanwhile: Callable[[], object] | None = None,
) -> Iterator[HeldLock]:
    """Hold a lock for the body; LockedError when others hold one that conflicts for longer than `retry_seconds`.

    `meanwhile` may read while the lock settles: what it read is as true as if it were read a moment later, since
    nobody can have removed anything without seeing our lock.
    """
    held = _acquire(repository, exclusive, time.monotonic() + retry_seconds, meanwhile)
    try:
        with rare_collections():
            yield held
    finally:
        held.release()


class HeldLock:
    """Ours, refreshed by a thread. `check` raises once refreshing has failed for so long that others may ignore it."""

    def __init__(self, repository: Repository, *, exclusive: bool) -> None:
        self._repository = repository
        self._exclusive = exclusive
        self.id = self._write()
        self._refreshed = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lock refresh", daemon=True)

    def keep_refreshed(self) -> None:
        self._thread.start()

    def check(self) -> None:
        if time.monotonic() - self._refreshed > STALE_AFTER_SECONDS - REFRESH_EVERY_SECONDS:
            raise LockedError(f"{self._repository.store.location}: our lock could not be refreshed in time")

    def refresh(self) -> None:
        old, self.id = self.id, self._write()
        self._refreshed = time.monotonic()
        with contextlib.suppress(FileNotFoundError):
            self._repository.store.remove(Kind.LOCK, old)

    def release(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        with contextlib.suppress(FileNotFoundError):
            self._repository.store.remove(Kind.LOCK, self.id)

    def _keep(self) -> None:
        while not self._stop.wait(REFRESH_EVERY_SECONDS):
            with contextlib.suppress(
                StoreError
            ):  # tried again at the next turn; `check` knows when it is too late
                self.refresh()

    def _write(self) -> str:
        uid, gid = os.getuid(), os.getgid()
        document = (
            f'{{"time":"{time_string(time.time_ns())}","exclusive":{"true" if self._exclusive else "false"},'
            f'"hostname":{string(socket.gethostname())},"username":{string(current_user())},"pid":{os.getpid()}'
            f"{f',{chr(34)}uid{chr(34)}:{uid}' if uid else ''}{f',{chr(34)}gid{chr(34)}:{gid}' if gid else ''}}}"
        )
        return self._repository.save_file(Kind.LOCK, document.encode())


def _acquire(
    repository: Repository, exclusive: bool, deadline: float, meanwhile: Callable[[], object] | None
) -> HeldLock:
    while True:
        try:
            return _try_acquire(repository, exclusive, meanwhile)
        except LockedError:
            if time.monotonic() + RETRY_SECONDS > deadline:
                raise
            time.sleep(RETRY_SECONDS)


def _try_acquire(repository: Repository, exclusive: bool, meanwhile: Callable[[], object] | None) -> HeldLock:
    _refuse_conflicts(repository, exclusive=exclusive, own="")
    held = HeldLock(repository, exclusive=exclusive)
    try:
        settled = time.monotonic() + SETTLE_SECONDS
        if meanwhile is not None:
            meanwhile()
        time.sleep(max(settled - time.monotonic(), 0))
        _refuse_conflicts(repository, exclusive=exclusive, own=held.id)
    except BaseException:
        held.release()
        raise
    held.keep_refreshed()
    return held


def _refuse_conflicts(repository: Repository, *, exclusive: bool, own: str) -> None:
    for lock in list_locks(repository):
        if lock.id == own or not (exclusive or lock.exclusive):
            continue
        if lock.is_stale():
            with contextlib.suppress(FileNotFoundError):
                repository.store.remove(Kind.LOCK, lock.id)
            continue
        raise LockedError(f"{repository.store.location}: the repository is locked {lock}")


def _decode(document: bytes, name: str) -> LockInfo:
    try:
        content = json.loads(document)
        return LockInfo(
            name,
            parse_time(content["time"]),
            bool(content["exclusive"]),
            str(content.get("hostname", "")),
            str(content.get("username", "")),
            int(content.get("pid", 0)),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise RepositoryError(f"lock {name[:8]} is invalid: {error}") from error
