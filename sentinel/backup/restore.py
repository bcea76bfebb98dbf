"""A snapshot -> files: whole or in part, verified, resumable; a single file to a stream.

In: a repository, a snapshot, a target folder. Out: a report. Invariants: only bytes whose hash matched are written;
a file that cannot be had whole is removed again and named; nothing is written outside the target. Packs are read
once, in the order they are first needed, by several threads; each blob goes to all files that hold it.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel.backup.exclude import PathFilter
from sentinel.backup.lock import locked
from sentinel.backup.progress import Progress, ProgressMeter
from sentinel.backup.repo.pack import BlobType
from sentinel.backup.restorefiles import RestoreRun
from sentinel.backup.restoreplan import make_plan, walk_snapshot
from sentinel.backup.restorewrite import TreeWriter
from sentinel.errors import IncompleteError, Problem, RepositoryError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sentinel.backup.repo.repository import Repository
    from sentinel.backup.repo.snapshots import Snapshot
    from sentinel.backup.repo.tree import Node

NAMES_IN_MESSAGE = 20


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """`resume` keeps files whose size and time are right already (with `verify`: whose content is)."""

    verify: bool = True
    dry_run: bool = False
    in_place: bool = False
    sparse: bool = True
    resume: bool = True
    owner: bool = True


@dataclass(frozen=True, slots=True)
class RestoreReport:
    files: int
    dirs: int
    bytes: int
    skipped: int
    seconds: float
    problems: tuple[Problem, ...]

    def require_complete(self) -> None:
        if self.problems:
            lines = [str(problem) for problem in self.problems[:NAMES_IN_MESSAGE]]
            raise IncompleteError(
                f"{len(self.problems)} files could not be restored as they were:\n" + "\n".join(lines)
            )


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a listing."""

    path: str
    type: str
    size: int
    mtime_ns: int
    mode: int
    user: str
    group: str


def restore(
    repository: Repository,
    snapshot: Snapshot,
    target: Path,
    *,
    include: Sequence[str] = (),
    excludes: Sequence[str] = (),
    options: RestoreOptions | None = None,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
    retry_lock_seconds: float = 0.0,
) -> RestoreReport:
    options = options or RestoreOptions()
    started = time.monotonic()
    if target.resolve() == Path("/") and not options.in_place:
        raise UsageError("restoring over live data needs to be asked for (in place)")
    with locked(repository, retry_seconds=retry_lock_seconds, meanwhile=repository.reload_index):
        plan = make_plan(repository, snapshot, PathFilter(include), PathFilter(excludes))
        if include and not plan.files and not plan.folders and not plan.specials and not plan.problems:
            raise RepositoryError(f"nothing in snapshot {snapshot.short_id} matches {', '.join(include)}")
        meter = ProgressMeter(progress, files_total=len(plan.files), bytes_total=plan.bytes)
        run = RestoreRun(
            repository,
            plan,
            os.fsencode(target),
            writer=TreeWriter(owner=options.owner, sparse=options.sparse),
            verify=options.verify,
            resume=options.resume,
            meter=meter,
            stop=stop or threading.Event(),
        )
        if not options.dry_run:
            run.execute()
    meter.finish()
    return RestoreReport(
        files=len(plan.files) + len(plan.links) + len(plan.specials),
        dirs=len(plan.folders),
        bytes=plan.bytes,
        skipped=run.skipped,
        seconds=time.monotonic() - started,
        problems=tuple(sorted(run.problems)),
    )


def dump(repository: Repository, snapshot: Snapshot, path: str) -> Iterator[bytes]:
    """A file's content in pieces, each verified before it is handed out."""
    node = find_node(repository, snapshot, path)
    if node.type != "file":
        raise RepositoryError(f"{path} in snapshot {snapshot.short_id} is no file but a {node.type}")
    for blob_id in node.content or ():
        yield repository.load_blob(BlobType.DATA, blob_id)


def read_file(repository: Repository, snapshot: Snapshot, path: str) -> bytes:
    return b"".join(dump(repository, snapshot, path))


def list_files(repository: Repository, snapshot: Snapshot, below: str = "/") -> Iterator[Entry]:
    """Everything at and below a path, a folder before what is in it."""
    wanted = os.fsencode(below.rstrip("/"))

    def failed(path: bytes, message: str) -> None:
        raise RepositoryError(f"{os.fsdecode(path)}: {message}")

    def enter(path: bytes, _: Node) -> bool:
        return (path + b"/").startswith(wanted + b"/") or wanted.startswith(path + b"/")

    for path, node in walk_snapshot(repository, snapshot.tree, failed, enter):
        if (path + b"/").startswith(wanted + b"/"):
            yield Entry(
                os.fsdecode(path), node.type, node.size, node.mtime, node.unix_mode(), node.user, node.group
            )


def find_node(repository: Repository, snapshot: Snapshot, path: str) -> Node:
    wanted = os.fsencode(path.rstrip("/"))

    def failed(where: bytes, message: str) -> None:
        raise RepositoryError(f"{os.fsdecode(where)}: {message}")

    for here, node in walk_snapshot(
        repository, snapshot.tree, failed, lambda at, _: wanted.startswith(at + b"/")
    ):
        if here == wanted:
            return node
    raise RepositoryError(f"{path} is not in snapshot {snapshot.short_id}")
