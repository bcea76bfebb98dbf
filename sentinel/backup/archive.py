"""Paths and streams -> one snapshot: the whole of a backup on one page; walk.py walks, filereader.py reads.

In: a repository, paths and/or named streams. Out: a Report with the snapshot. Invariants: the snapshot is written
last, after everything it needs is durable; an exception leaves no snapshot; a file that could not be read is named
in the report and left out, never half in (exit 3, as restic).
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sentinel.backup.exclude import PathFilter
from sentinel.backup.filenode import group_name, user_name
from sentinel.backup.filereader import FileReader
from sentinel.backup.lock import SETTLE_SECONDS, locked
from sentinel.backup.progress import Progress, ProgressMeter
from sentinel.backup.readahead import read_ahead
from sentinel.backup.repo.keyfile import current_user
from sentinel.backup.repo.snapshots import Snapshot, list_snapshots, load_snapshot, save_snapshot
from sentinel.backup.repo.tree import Node, go_mode
from sentinel.backup.repo.writer import BlobWriter
from sentinel.backup.scan import Scanner, ScanOptions
from sentinel.backup.seen import Seen, seen_file
from sentinel.backup.store.store import Kind
from sentinel.backup.unchanged import UnreadableTreeError
from sentinel.backup.walk import Layout, TreeWalker, WalkOptions
from sentinel.errors import IncompleteError, SourceError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from sentinel.backup.repo.chunker import Reader
    from sentinel.backup.repo.repository import Repository
    from sentinel.errors import Problem

STREAM_MODE = 0o600  # a database dump is nobody else's business
NAMES_IN_MESSAGE = 20


@dataclass(frozen=True, slots=True)
class Stream:
    """A file of the snapshot that comes from a program: `path` is absolute, its folders need not exist."""

    path: str
    reader: Reader
    mode: int = STREAM_MODE


@dataclass(frozen=True, slots=True)
class BackupOptions:
    tags: tuple[str, ...] = ()
    hostname: str = ""
    excludes: tuple[str, ...] = ()
    exclude_caches: bool = False
    one_file_system: bool = False
    exclude_larger_bytes: int = 0
    with_atime: bool = False
    parent: str | None = None
    force: bool = False
    time_ns: int = 0
    seen_folder: Path | None = None  # where this host remembers what it saw (seen.py); None: nowhere


@dataclass(frozen=True, slots=True)
class Report:
    snapshot: Snapshot
    files_new: int
    files_changed: int
    files_unmodified: int
    dirs: int
    bytes_total: int
    bytes_added: int
    bytes_stored: int
    seconds: float
    unreadable: tuple[Problem, ...]

    def require_complete(self) -> None:
        if self.unreadable:
            lines = [str(problem) for problem in self.unreadable[:NAMES_IN_MESSAGE]]
            if len(self.unreadable) > NAMES_IN_MESSAGE:
                lines.append(f"and {len(self.unreadable) - NAMES_IN_MESSAGE} more")
            raise IncompleteError(
                f"snapshot {self.snapshot.short_id} is incomplete, {len(self.unreadable)} files could not be read:\n"
                + "\n".join(lines)
            )


def backup(
    repository: Repository,
    *,
    paths: Sequence[Path] = (),
    streams: Iterable[Stream] = (),
    options: BackupOptions | None = None,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
    retry_lock_seconds: float = 0.0,
) -> Report:
    options = options or BackupOptions()
    targets = _absolute(paths)
    started = time.monotonic()
    now = options.time_ns or time.time_ns()
    before = _Before(repository, targets, options)
    with locked(repository, retry_seconds=retry_lock_seconds, meanwhile=before.read) as lock:
        parent = before.parent
        meter = ProgressMeter(progress)
        with BlobWriter(repository) as writer, FileReader(repository, writer, meter, stop) as reader:
            layout = Layout()
            for stream in streams:
                layout.add_node(stream.path, _stream_node(stream, reader, now))
            for target in targets:
                layout.add_path(target)
            stream_paths = tuple(layout.streams)
            walker, tree = _walk(before, layout, writer, reader, meter)
            writer.flush()
        lock.check()
        snapshot = Snapshot(
            time_ns=now,
            tree=tree,
            paths=tuple(os.fsdecode(target) for target in targets) + stream_paths,
            hostname=options.hostname or socket.gethostname(),
            username=current_user(),
            uid=os.getuid(),
            gid=os.getgid(),
            excludes=options.excludes,
            tags=options.tags,
            parent=parent.id if parent else "",
        )
        snapshot = save_snapshot(repository, snapshot)
        before.seen.save(snapshot.id, (name for name, _ in repository.store.list(Kind.INDEX)))
    meter.finish()
    return Report(
        snapshot=snapshot,
        files_new=reader.files_new + len(stream_paths),
        files_changed=reader.files_changed,
        files_unmodified=walker.files_unmodified,
        dirs=walker.dirs,
        bytes_total=meter.bytes_done,
        bytes_added=writer.bytes_added,
        bytes_stored=writer.bytes_stored,
        seconds=time.monotonic() - started,
        unreadable=tuple(sorted({*reader.problems, *before.scanner.problems})),
    )


def _absolute(paths: Sequence[Path]) -> list[bytes]:
    """A source that is not there fails the job before anything is written."""
    missing = [str(path) for path in paths if not os.path.lexists(path)]
    if missing:
        raise SourceError(f"these paths do not exist: {', '.join(missing)}")
    return sorted({os.path.abspath(os.fsencode(path)) for path in paths})


def _walk(
    before: _Before, layout: Layout, writer: BlobWriter, reader: FileReader, meter: ProgressMeter
) -> tuple[TreeWalker, bytes]:
    """A second time where the first took on trust what it then could not read."""
    options = WalkOptions(before.options.one_file_system, before.options.with_atime)
    parent = before.parent.tree if before.parent else None
    while True:
        walker = TreeWalker(
            before.repository,
            writer,
            reader,
            meter,
            options,
            scanner=before.scanner,
            seen=before.seen,
            trees=before.trees,
        )
        try:
            return walker, walker.run(layout, parent)
        except UnreadableTreeError:
            before.seen.forget()
            reader.start_again()
            meter.start_again()


class _Before:
    """What is read while our lock settles."""

    def __init__(self, repository: Repository, targets: Sequence[bytes], options: BackupOptions) -> None:
        self.repository = repository
        self.targets = targets
        self.options = options
        caches, larger = options.exclude_caches, options.exclude_larger_bytes
        self.scanner = Scanner(ScanOptions(PathFilter(options.excludes), caches, larger))
        hostname = options.hostname or socket.gethostname()
        what = (repository.id, hostname, targets, options.excludes, caches, larger, options.one_file_system)
        self.seen = Seen(seen_file(options.seen_folder, *what) if targets else None)
        self.parent: Snapshot | None = None
        self.trees: dict[bytes, bytes] = {}

    def read(self) -> None:
        """Snapshots before the index, so that all the parent needs is in it (design.rst, ordering)."""
        end = time.monotonic() + SETTLE_SECONDS
        self.parent = _find_parent(self.repository, self.targets, self.options)
        self.repository.forget_index()
        if self.parent and self.seen.is_kept:
            self.seen.load(self.parent.id, [name for name, _ in self.repository.store.list(Kind.INDEX)])
        if self.seen:
            self.scanner.ahead(list(self.targets), end - time.monotonic())
            return
        self.repository.reload_index()
        if self.parent:
            self.trees = read_ahead(self.repository, self.parent.tree, end - time.monotonic())


def _find_parent(repository: Repository, targets: Sequence[bytes], options: BackupOptions) -> Snapshot | None:
    """The newest snapshot of the same host and paths, as restic; unchanged files are not read again."""
    if options.parent:
        return load_snapshot(repository, options.parent)
    if options.force or not targets:
        return None
    wanted = {os.fsdecode(target) for target in targets}
    hostname = options.hostname or socket.gethostname()
    candidates = [
        snapshot
        for snapshot in list_snapshots(repository, hostname=hostname)
        if wanted <= set(snapshot.paths) and (not options.time_ns or snapshot.time_ns <= options.time_ns)
    ]
    return candidates[-1] if candidates else None


def _stream_node(stream: Stream, reader: FileReader, now: int) -> Node:
    node = Node(
        name=os.fsencode(os.path.basename(stream.path)),
        type="file",
        mode=go_mode(stream.mode, "file"),
        mtime=now,
        atime=now,
        ctime=now,
        uid=os.getuid(),
        gid=os.getgid(),
        user=user_name(os.getuid()),
        group=group_name(os.getgid()),
        links=1,
    )
    content, size = reader.read_stream(stream.reader, stream.path)
    return replace(node, content=content, size=size)
