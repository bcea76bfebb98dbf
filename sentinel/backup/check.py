"""Is everything there, and is it what it was? Structure always; the data itself whole or in part.

Without `read_data`: keys, locks, snapshots, index files and all trees are read and verified, every blob a snapshot needs
is in the index, every pack of the index is in the store with the right size. With it, packs are read: the file's
hash, the header against the index, each blob's MAC and hash. Problems are collected, never raised: one report.
"""

from __future__ import annotations

import hashlib
import math
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sentinel.backup.lock import list_locks, locked
from sentinel.backup.progress import Progress, ProgressMeter
from sentinel.backup.reach import find_reachable
from sentinel.backup.repo.index import Index
from sentinel.backup.repo.pack import BlobType, Entry, read_header
from sentinel.backup.repo.snapshots import Snapshot, load_snapshot
from sentinel.backup.store.store import Kind
from sentinel.errors import RepositoryError, StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sentinel.backup.repo.repository import Repository

READ_ERRORS = (RepositoryError, StoreError, FileNotFoundError)
PROBLEMS_IN_MESSAGE = 20


@dataclass(frozen=True, slots=True)
class Subset:
    """Which packs to read. `choose` depends on pack ids only, so parts 1..t together cover all."""

    part_number: int = 1
    parts: int = 1
    percent: float = 100.0

    @classmethod
    def everything(cls) -> Subset:
        return cls()

    @classmethod
    def part(cls, number: int, parts: int) -> Subset:
        """Restic's --read-data-subset=n/t."""
        if not 1 <= number <= parts <= 256:
            raise UsageError(f"{number}/{parts}: write n/t with 1 <= n <= t <= 256")
        return cls(number, parts)

    @classmethod
    def percentage(cls, percent: float) -> Subset:
        """A random choice, another one each time."""
        if not 0 < percent <= 100:
            raise UsageError(f"{percent}%: write a percentage above 0 and up to 100")
        return cls(percent=percent)

    @classmethod
    def rotating(cls, percent: float, day_number: int) -> Subset:
        """One part a day, so that ceil(100 / percent) days in a row read every pack there was."""
        if not 0 < percent <= 100:
            raise UsageError(f"{percent}%: write a percentage above 0 and up to 100")
        days = math.ceil(100 / percent)
        return cls(day_number % days + 1, days)

    def choose(self, packs: Iterable[bytes]) -> list[bytes]:
        if self.parts <= 256:
            chosen = [pack for pack in packs if pack[0] % self.parts == self.part_number - 1]
        else:
            chosen = [pack for pack in packs if int.from_bytes(pack[:8]) % self.parts == self.part_number - 1]
        if self.percent < 100:
            count = math.ceil(len(chosen) * self.percent / 100)
            chosen = random.sample(chosen, count)
        return chosen


@dataclass(slots=True)
class CheckReport:
    """`hints` are no damage: data nobody needs, which the next prune removes."""

    problems: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    snapshots: int = 0
    packs: int = 0
    blobs: int = 0
    packs_read: int = 0
    bytes_read: int = 0
    unused_blobs: int = 0

    def require_clean(self) -> None:
        if self.problems:
            lines = self.problems[:PROBLEMS_IN_MESSAGE]
            if len(self.problems) > PROBLEMS_IN_MESSAGE:
                lines = [*lines, f"and {len(self.problems) - PROBLEMS_IN_MESSAGE} more"]
            raise RepositoryError("the repository is damaged:\n" + "\n".join(lines))


def check(
    repository: Repository,
    *,
    read_data: Subset | None = None,
    progress: Callable[[Progress], None] | None = None,
    retry_lock_seconds: float = 0.0,
) -> CheckReport:
    report = CheckReport()
    snapshots: list[Snapshot] = []

    def read_files() -> None:
        report.problems.clear()  # of a try at which somebody else got the lock
        snapshots[:] = _read_snapshots(repository, report)
        _read_index(repository, report)

    with locked(repository, retry_seconds=retry_lock_seconds, meanwhile=read_files):
        _check_keys(repository, report)
        _check_locks(repository, report)
        sizes = {bytes.fromhex(name): size for name, size in repository.store.list(Kind.DATA)}
        _check_packs(repository.index, sizes, report)
        reached = find_reachable(repository, {snapshot.tree for snapshot in snapshots})
        report.problems += reached.problems
        needed = len(reached.trees) + len(reached.data)
        report.unused_blobs = max(report.blobs - needed, 0)
        if read_data is not None:
            _read_packs(repository, read_data, sizes, report, progress)
    return report


# --- small files --------------------------------------------------------------------------------------------


def _check_keys(repository: Repository, report: CheckReport) -> None:
    for name, _ in repository.store.list(Kind.KEY):
        try:
            content = repository.store.load(Kind.KEY, name)
        except READ_ERRORS as error:
            report.problems.append(f"key {name[:12]}: {error}")
            continue
        if hashlib.sha256(content).hexdigest() != name:
            report.problems.append(f"key {name[:12]}: content does not match its name")


def _check_locks(repository: Repository, report: CheckReport) -> None:
    try:
        list_locks(repository)
    except READ_ERRORS as error:
        report.problems.append(f"lock: {error}")


def _read_snapshots(repository: Repository, report: CheckReport) -> list[Snapshot]:
    """Before the index, so that everything they need is in it (design.rst, ordering)."""
    snapshots = []
    for name, _ in repository.store.list(Kind.SNAPSHOT):
        try:
            snapshots.append(load_snapshot(repository, name))
        except FileNotFoundError:  # forgotten since we listed
            continue
        except READ_ERRORS as error:
            report.problems.append(f"snapshot {name[:12]}: {error}")
    report.snapshots = len(snapshots)
    return snapshots


def _read_index(repository: Repository, report: CheckReport) -> None:
    """As far as it can be read; the repository goes on with this one."""
    index = Index()
    for name, _ in repository.store.list(Kind.INDEX):
        try:
            index.add_document(repository.load_file(Kind.INDEX, name))
        except READ_ERRORS as error:
            report.problems.append(f"index {name[:12]}: {error}")
    repository.use_index(index)
    report.blobs = len(index)


# --- packs --------------------------------------------------------------------------------------------------


def _check_packs(index: Index, sizes: dict[bytes, int], report: CheckReport) -> None:
    report.packs = len(sizes)
    for pack in index.packs():
        expected = index.pack_bytes(pack)
        size = sizes.get(pack)
        if size is None:
            report.problems.append(f"pack {pack.hex()[:12]} is missing")
        elif size != expected:
            report.problems.append(f"pack {pack.hex()[:12]} has {size} bytes, the index says {expected}")
    strays = [pack for pack in sizes if not index.has_pack(pack)]
    if strays:
        report.hints.append(f"{len(strays)} packs are in no index; the next prune removes them")


def _read_packs(
    repository: Repository,
    subset: Subset,
    sizes: dict[bytes, int],
    report: CheckReport,
    progress: Callable[[Progress], None] | None,
) -> None:
    chosen = subset.choose(sorted(sizes))
    meter = ProgressMeter(progress, files_total=len(chosen), bytes_total=sum(sizes[pack] for pack in chosen))
    with ThreadPoolExecutor(repository.store.connections, thread_name_prefix="check") as pool:
        for problems in pool.map(lambda pack: list(_read_pack(repository, pack, sizes[pack], meter)), chosen):
            report.problems += problems
    meter.finish()
    report.packs_read = meter.files_done
    report.bytes_read = meter.bytes_done


def _read_pack(repository: Repository, pack: bytes, size: int, meter: ProgressMeter) -> Iterator[str]:
    what = f"pack {pack.hex()[:12]}"
    try:
        content = repository.store.load(Kind.DATA, pack.hex())
    except READ_ERRORS as error:
        yield f"{what}: {error}"
        return
    finally:
        meter.add(1, size, what)
    if hashlib.sha256(content).digest() != pack:
        yield f"{what}: content does not match its name"
    try:
        entries = read_header(repository.key, content)
    except RepositoryError as error:
        yield f"{what}: {error}"
        entries = list(repository.index.entries(pack)) if repository.index.has_pack(pack) else []
    else:
        if repository.index.has_pack(pack) and set(entries) != set(repository.index.entries(pack)):
            yield f"{what}: header and index disagree"
    view = memoryview(content)
    for entry in entries:
        yield from _check_blob(repository, what, view, entry)


def _check_blob(repository: Repository, what: str, pack: memoryview, entry: Entry) -> Iterator[str]:
    try:
        sealed = pack[entry.offset : entry.offset + entry.length]
        repository.open_blob(entry.id, sealed, entry.raw_length)
    except RepositoryError as error:
        yield f"{what}: {BlobType(entry.type).word} blob {entry.id.hex()[:12]}: {error}"
