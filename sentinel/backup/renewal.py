"""Object Lock's retention, extended for all that is still needed; the rest lapses, and then forget and prune may remove it.

In: an open repository, days, ids of snapshots that nobody wants any more. Out: how many files were extended. Invariants:
everything a wanted snapshot needs is extended, keys and config too (of a blob in several packs one copy, as packuse.py
counts); in a damaged repository every file is. An index file that names packs of no use would keep them for ever, so
what it says of the others is written once more first.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sentinel.backup.lock import locked
from sentinel.backup.packuse import survey
from sentinel.backup.reach import find_reachable
from sentinel.backup.repo import index as index_file
from sentinel.backup.repo.snapshots import list_snapshots
from sentinel.backup.store.store import Kind
from sentinel.errors import RepositoryError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sentinel.backup.repo.pack import Entry
    from sentinel.backup.repo.repository import Repository

ALWAYS = (Kind.CONFIG, Kind.KEY)


@dataclass(frozen=True, slots=True)
class RenewReport:
    files: int
    renewed: int
    lapsing: int  # packs that no wanted snapshot needs


def renew(
    repository: Repository,
    days: int,
    *,
    unwanted: Collection[str] = (),
    retry_lock_seconds: float = 0.0,
) -> RenewReport:
    """Files with more than half of `days` left are left alone, so most runs are cheap."""
    store = repository.store
    with locked(repository, retry_seconds=retry_lock_seconds):
        snapshots = [snapshot for snapshot in list_snapshots(repository) if snapshot.id not in unwanted]
        repository.reload_index()
        reached = find_reachable(repository, {snapshot.tree for snapshot in snapshots})
        uses = survey(repository.index, reached, repository.index.packs())
        packs = {use.id for use in uses if use.used or reached.problems}
        files = [(kind, name) for kind in ALWAYS for name, _ in store.list(kind)]
        files += [(Kind.SNAPSHOT, snapshot.id) for snapshot in snapshots]
        files += [(Kind.INDEX, name) for name in _index_files(repository, packs)]
        files += [(Kind.DATA, pack.hex()) for pack in packs]
        with ThreadPoolExecutor(store.connections, thread_name_prefix="renew") as pool:
            renewed = sum(pool.map(lambda file: store.renew(file[0], file[1], days), files))
    if reached.problems:
        raise RepositoryError(
            f"{store.location}: all files were retained, but it is damaged: {reached.problems[0]}"
        )
    return RenewReport(len(files), renewed, len(uses) - len(packs))


def _index_files(repository: Repository, packs: set[bytes]) -> Iterator[str]:
    """Those that name nothing but these packs, as few as are needed, and new ones for the packs that are left."""
    covered: set[bytes] = set()
    for name, _ in sorted(repository.store.list(Kind.INDEX), key=lambda file: -file[1]):
        named = index_file.decode(repository.load_file(Kind.INDEX, name))[0]
        if packs.issuperset(named) and not covered.issuperset(named):
            covered.update(named)
            yield name
    rest: dict[bytes, list[Entry]] = {pack: list(repository.index.entries(pack)) for pack in packs - covered}
    for portion in index_file.split(rest):
        yield repository.save_file(Kind.INDEX, index_file.encode(portion))
