"""Remove what no snapshot needs: whole packs, and by rewriting packs that are mostly waste.

Under an exclusive lock, so no backup runs meanwhile (theirs or restic's). Order (restic design.rst, "Read and Write
Ordering"): new packs, index files that name them, a new index without the doomed packs, only then the old index files
and last the packs: killed anywhere, every snapshot is whole and the next prune takes up the rest. What Object Lock still
retains stays, and so do packs that a retained index file names. Of a retained pack that is half waste or more, what is
needed is copied into a new one, so that renewal.py, which extends what is needed, lets the old one lapse.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sentinel.backup.lock import HeldLock, locked
from sentinel.backup.packuse import PackUse, survey
from sentinel.backup.reach import Reachable, find_reachable
from sentinel.backup.repo import index as index_file
from sentinel.backup.repo.pack import TARGET_BYTES, BlobType, Entry
from sentinel.backup.repo.snapshots import list_snapshots
from sentinel.backup.repo.writer import BlobWriter
from sentinel.backup.store.store import Kind
from sentinel.errors import RepositoryError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sentinel.backup.repo.repository import Repository

SMALL_PACK_BYTES = TARGET_BYTES // 4
SMALL_PACKS_TOLERATED = 8  # of one type; more are joined, since every pack is a request
INDEX_FILES_TOLERATED = 20
MOST_USED_SHARE_COPIED = (
    0.5  # the copy of a retained pack then costs no more room than the pack will give back
)


@dataclass(frozen=True, slots=True)
class PruneOptions:
    """`max_unused_percent` of the data may be waste before packs are rewritten; `max_repack_bytes` 0 is no limit."""

    max_unused_percent: float = 5.0
    max_repack_bytes: int = 0
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class PruneReport:
    snapshots: int
    packs_before: int
    packs_removed: int
    packs_repacked: int
    packs_copied: int
    packs_retained: int
    bytes_before: int
    bytes_freed: int
    bytes_copied: int
    bytes_unused_left: int
    dry_run: bool


@dataclass(slots=True)
class _Decision:
    keep: list[PackUse] = field(default_factory=list)
    repack: list[PackUse] = field(default_factory=list)
    copy: list[PackUse] = field(
        default_factory=list
    )  # retained: their copies wait for the old packs to lapse
    remove: list[bytes] = field(default_factory=list)
    retained: set[bytes] = field(default_factory=set)
    retained_index: set[str] = field(default_factory=set)


def prune(
    repository: Repository, options: PruneOptions | None = None, *, retry_lock_seconds: float = 0.0
) -> PruneReport:
    options = options or PruneOptions()
    with locked(repository, exclusive=True, retry_seconds=retry_lock_seconds) as lock:
        repository.forget_index()
        snapshots = list_snapshots(repository)
        reached = find_reachable(repository, {snapshot.tree for snapshot in snapshots})
        if reached.problems:
            raise RepositoryError(
                f"{repository.store.location}: not pruned, since the repository is damaged: {reached.problems[0]}"
            )
        sizes = {bytes.fromhex(name): size for name, size in repository.store.list(Kind.DATA)}
        decision = _decide(_survey(repository, reached, sizes), sizes, options)
        _spare_retained(repository, decision)
        doomed = [pack.id for pack in decision.repack] + decision.remove
        added = 0
        if not options.dry_run:
            added = _execute(repository, decision, doomed, lock)
            repository.store.sweep()
            repository.forget_index()
    copied = sum(pack.used_bytes for pack in decision.copy)
    rewritten = added - copied if added else sum(pack.used_bytes for pack in decision.repack)
    return PruneReport(
        snapshots=len(snapshots),
        packs_before=len(sizes),
        packs_removed=len(decision.remove),
        packs_repacked=len(decision.repack),
        packs_copied=len(decision.copy),
        packs_retained=len(decision.retained),
        bytes_before=sum(sizes.values()),
        bytes_freed=sum(sizes[pack] for pack in doomed) - rewritten,
        bytes_copied=copied,
        bytes_unused_left=sum(pack.unused_bytes for pack in decision.keep),
        dry_run=options.dry_run,
    )


def _survey(repository: Repository, reached: Reachable, sizes: dict[bytes, int]) -> list[PackUse]:
    """Packs that the index names and that exist; RepositoryError when a needed blob is in none of them."""
    packs = survey(repository.index, reached, [pack for pack in repository.index.packs() if pack in sizes])
    lost = len(reached.trees) + len(reached.data) - sum(len(pack.used) for pack in packs)
    if lost:
        raise RepositoryError(f"{repository.store.location}: not pruned: {lost} needed blobs are in no pack")
    return packs


def _decide(packs: list[PackUse], sizes: dict[bytes, int], options: PruneOptions) -> _Decision:
    known = {pack.id for pack in packs}
    decision = _Decision(remove=[pack for pack in sizes if pack not in known])
    partly = []
    for pack in packs:
        if not pack.used:
            decision.remove.append(pack.id)
        elif not pack.unused_bytes and len(pack.kinds) == 1:
            decision.keep.append(pack)
        else:
            partly.append(pack)
    used = sum(pack.used_bytes for pack in packs)
    allowed = used * options.max_unused_percent / 100
    unused = sum(pack.unused_bytes for pack in partly)
    budget = options.max_repack_bytes or float("inf")
    # Trees first (they are read most), then where the most is gained for the least rewriting.
    partly.sort(key=lambda pack: (BlobType.TREE not in pack.kinds, pack.used_share))
    for pack in partly:
        if unused > allowed and pack.used_bytes <= budget:
            decision.repack.append(pack)
            unused -= pack.unused_bytes
            budget -= pack.used_bytes
        else:
            decision.keep.append(pack)
    _join_small(decision, sizes, budget)
    return decision


def _join_small(decision: _Decision, sizes: dict[bytes, int], budget: float) -> None:
    for kind in BlobType:
        small = [pack for pack in decision.keep if sizes[pack.id] < SMALL_PACK_BYTES and pack.kinds == {kind}]
        if len(small) <= SMALL_PACKS_TOLERATED:
            continue
        for pack in small:
            if pack.used_bytes <= budget:
                budget -= pack.used_bytes
                decision.keep.remove(pack)
                decision.repack.append(pack)


def _spare_retained(repository: Repository, decision: _Decision) -> None:
    """A pack that cannot go yet is rewritten only where that is worth the room both take until it can."""
    store = repository.store
    doomed = {pack.id for pack in decision.repack}.union(decision.remove)
    with ThreadPoolExecutor(store.connections, thread_name_prefix="retained") as pool:
        names = [name for name, _ in store.list(Kind.INDEX)]
        index = pool.map(lambda name: store.is_retained(Kind.INDEX, name), names)
        decision.retained_index = {name for name, kept in zip(names, index, strict=True) if kept}
        for name in decision.retained_index:
            decision.retained |= doomed.intersection(
                index_file.decode(repository.load_file(Kind.INDEX, name))[0]
            )
        others = sorted(doomed - decision.retained)
        packs = pool.map(lambda pack: store.is_retained(Kind.DATA, pack.hex()), others)
        decision.retained |= {pack for pack, kept in zip(others, packs, strict=True) if kept}
    for pack in decision.repack:
        if pack.id in decision.retained:
            worth = pack.used_share <= MOST_USED_SHARE_COPIED
            (decision.copy if worth else decision.keep).append(pack)
    decision.repack = [pack for pack in decision.repack if pack.id not in decision.retained]
    decision.remove = [pack for pack in decision.remove if pack not in decision.retained]


# --- doing it -----------------------------------------------------------------------------------------------


def _execute(repository: Repository, decision: _Decision, doomed: list[bytes], lock: HeldLock) -> int:
    """Bytes written anew."""
    old_index = [name for name, _ in repository.store.list(Kind.INDEX) if name not in decision.retained_index]
    rewritten = decision.repack + decision.copy
    if (
        not (doomed or rewritten)
        and len(old_index) <= INDEX_FILES_TOLERATED
        and _index_is_true(repository, decision)
    ):
        return 0
    added = {}
    written = 0
    if rewritten:
        before = set(repository.index.packs())
        written = _repack(repository, rewritten)
        added = {
            pack: list(repository.index.entries(pack))
            for pack in repository.index.packs()
            if pack not in before
        }
    lock.check()
    _rewrite_index(repository, decision, added, old_index)
    lock.check()
    _remove(repository, Kind.DATA, (pack.hex() for pack in doomed))
    return written


def _index_is_true(repository: Repository, decision: _Decision) -> bool:
    """It names no pack that does not exist."""
    kept = {pack.id for pack in decision.keep} | decision.retained
    return all(pack in kept for pack in repository.index.packs())


def _repack(repository: Repository, packs: list[PackUse]) -> int:
    """Needed blobs into new packs, as they are, each verified on the way."""
    with BlobWriter(repository) as writer:
        for pack in packs:
            content = memoryview(repository.store.load(Kind.DATA, pack.id.hex()))
            for entry in pack.used:
                sealed = content[entry.offset : entry.offset + entry.length]
                try:
                    repository.open_blob(entry.id, sealed, entry.raw_length)
                except RepositoryError:
                    plain = repository.load_blob(entry.type, entry.id)  # another try, or another copy
                    writer.add_again(entry.type, entry.id, plain)
                else:
                    writer.add_sealed(entry, sealed)
        writer.flush()
        return writer.bytes_stored


def _rewrite_index(
    repository: Repository, decision: _Decision, added: dict[bytes, list[Entry]], old: list[str]
) -> None:
    packs = {pack.id: list(repository.index.entries(pack.id)) for pack in decision.keep}
    packs.update(added)
    written = {
        repository.save_file(Kind.INDEX, index_file.encode(portion)) for portion in index_file.split(packs)
    }
    newer = {name for name, _ in repository.store.list(Kind.INDEX)} - written - decision.retained_index
    # Those the repack wrote are contained in the new ones; so are all older ones. Under Object Lock they may lapse.
    doomed = newer | set(old)
    _remove(
        repository,
        Kind.INDEX,
        (name for name in doomed if not repository.store.is_retained(Kind.INDEX, name)),
    )


def _remove(repository: Repository, kind: Kind, names: Iterable[str]) -> None:
    def remove(name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            repository.store.remove(kind, name)

    with ThreadPoolExecutor(repository.store.connections, thread_name_prefix="remove") as pool:
        list(pool.map(remove, names))
