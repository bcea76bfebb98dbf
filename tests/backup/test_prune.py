"""forget and prune: waste goes, snapshots stay whole, restic agrees."""

import os
import random

import pytest

from sentinel.backup.archive import backup
from sentinel.backup.check import Subset, check
from sentinel.backup.lock import locked
from sentinel.backup.prune import PruneOptions, prune
from sentinel.backup.repo.snapshots import list_snapshots
from sentinel.backup.restore import read_file
from sentinel.backup.retention import forget
from sentinel.backup.store.store import Kind
from sentinel.errors import LockedError, RepositoryError

pytestmark = pytest.mark.usefixtures("no_settling")


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "src"
    folder.mkdir()
    for n in range(40):
        (folder / f"file{n}").write_bytes(random.Random(n).randbytes(200_000))
    return folder


def total(repository):
    return sum(size for _, size in repository.store.list(Kind.DATA))


def test_nothing_to_do_changes_nothing(local_repository, source):
    backup(local_repository, paths=[source])
    before = {kind: sorted(local_repository.store.list(kind)) for kind in (Kind.DATA, Kind.INDEX)}
    report = prune(local_repository)
    assert (report.packs_removed, report.packs_repacked, report.bytes_freed) == (0, 0, 0)
    assert {kind: sorted(local_repository.store.list(kind)) for kind in before} == before


@pytest.mark.parametrize("kept", ["new", "old", "none"])
def test_waste_goes_and_the_rest_stays(local_repository, source, restic, kept, reopen):
    first = backup(local_repository, paths=[source]).snapshot
    for n in range(0, 40, 2):
        (source / f"file{n}").write_bytes(random.Random(1000 + n).randbytes(200_000))
    second = backup(local_repository, paths=[source]).snapshot
    keep = {"new": {second.id}, "old": {first.id}, "none": set()}[kept]
    forget(local_repository, {first.id, second.id} - keep)
    before = total(local_repository)
    planned = prune(local_repository, PruneOptions(dry_run=True, max_unused_percent=0))
    assert total(local_repository) == before
    done = prune(local_repository, PruneOptions(max_unused_percent=0))
    assert done.bytes_freed == pytest.approx(planned.bytes_freed, rel=0.01)
    assert total(local_repository) == pytest.approx(len(keep) * 40 * 200_000, rel=0.01)
    repository = reopen(local_repository)
    assert check(repository, read_data=Subset.everything()).problems == []
    restic("check", "--read-data", repository=repository.store.location)
    if kept == "new":
        assert read_file(repository, second, f"{source}/file2") == (source / "file2").read_bytes()


def test_some_waste_is_tolerated(local_repository, source):
    first = backup(local_repository, paths=[source]).snapshot
    (source / "file0").write_bytes(os.urandom(200_000))
    backup(local_repository, paths=[source])
    forget(local_repository, [first.id])
    assert prune(local_repository, PruneOptions(max_unused_percent=50)).packs_repacked == 0
    assert (
        prune(local_repository, PruneOptions(max_unused_percent=0, max_repack_bytes=10)).packs_repacked == 0
    )
    assert prune(local_repository, PruneOptions(max_unused_percent=0)).packs_repacked == 1


def test_we_prune_restics_and_restic_ours(local_repository, source, restic, reopen):
    place = local_repository.store.location
    restic("backup", source, repository=place)
    (source / "file1").unlink()
    backup(reopen(local_repository), paths=[source])
    restic("forget", "--keep-last", "1", "--group-by", "host", repository=place)
    prune(reopen(local_repository), PruneOptions(max_unused_percent=0))
    restic("check", "--read-data", repository=place)
    (source / "file2").unlink()
    backup(reopen(local_repository), paths=[source])
    repository = reopen(local_repository)
    forget(repository, [list_snapshots(repository)[0].id])
    restic("prune", "--max-unused", "0", repository=place)
    assert check(reopen(local_repository), read_data=Subset.everything()).problems == []


def test_many_small_packs_are_joined(local_repository, tmp_path):
    (tmp_path / "src").mkdir()
    for _ in range(12):
        (tmp_path / "src/file").write_bytes(os.urandom(1000))
        backup(local_repository, paths=[tmp_path / "src"])
    assert len(list(local_repository.store.list(Kind.DATA))) >= 24
    prune(local_repository)
    assert len(list(local_repository.store.list(Kind.DATA))) == 2
    assert len(list(local_repository.store.list(Kind.INDEX))) == 1
    assert check(local_repository, read_data=Subset.everything()).problems == []


def test_leftovers_of_a_crash_are_swept(local_repository, source):
    backup(local_repository, paths=[source])
    local_repository.store.save(Kind.DATA, "ab" * 32, b"a pack that no index names")
    folder = os.path.join(local_repository.store.location, "data/ab")
    with open(f"{folder}/{'ab' * 32}-tmp-123456", "w") as file:
        file.write("half")
    prune(local_repository)
    assert os.listdir(folder) == []


def test_a_damaged_repository_is_not_pruned(local_repository, source):
    backup(local_repository, paths=[source])
    name, _ = next(local_repository.store.list(Kind.DATA))
    local_repository.store.remove(Kind.DATA, name)
    before = total(local_repository)
    with pytest.raises(RepositoryError, match="not pruned"):
        prune(local_repository)
    assert total(local_repository) == before


def test_prune_gives_way_to_a_running_backup(local_repository, source, reopen, restic):
    with locked(local_repository):
        with pytest.raises(LockedError) as caught:
            prune(reopen(local_repository))
        assert caught.value.exit_code == 11
        assert b"locked" in restic("prune", repository=local_repository.store.location, check=(1, 11)).stderr
    prune(reopen(local_repository))


def test_an_open_repository_does_not_trust_what_it_remembers(local_repository, source, reopen):
    """Another host forgets and prunes between two backups of one long-lived process."""
    other = reopen(local_repository)
    first = backup(local_repository, paths=[source]).snapshot
    forget(other, [first.id])
    prune(other)
    backup(local_repository, paths=[source]).require_complete()
    assert check(reopen(local_repository), read_data=Subset.everything()).problems == []
