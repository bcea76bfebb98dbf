"""Trees read while the lock settles are those the walk needs; limits and damage end it quietly."""

from sentinel.backup import readahead
from sentinel.backup.archive import backup
from sentinel.backup.readahead import read_ahead
from sentinel.backup.repo.pack import BlobType
from sentinel.backup.store.store import Kind


def deep(tmp_path):
    for name in ("a/b/c", "a/d", "e"):
        (tmp_path / "source" / name).mkdir(parents=True)
        (tmp_path / "source" / name / "file").write_text(name)
    return tmp_path / "source"


def test_all_trees_of_a_snapshot(memory_repository, tmp_path):
    snapshot = backup(memory_repository, paths=[deep(tmp_path)]).snapshot
    found = read_ahead(memory_repository, snapshot.tree, 60)
    assert set(found) == set(memory_repository.index.blobs(BlobType.TREE))
    assert all(memory_repository.load_blob(BlobType.TREE, tree) == text for tree, text in found.items())


def test_it_ends_with_the_time_and_the_memory(memory_repository, tmp_path, monkeypatch):
    snapshot = backup(memory_repository, paths=[deep(tmp_path)]).snapshot
    assert read_ahead(memory_repository, snapshot.tree, 0) == {}
    monkeypatch.setattr(readahead, "MOST_BYTES", 1)
    assert list(read_ahead(memory_repository, snapshot.tree, 60)) == [snapshot.tree]


def test_damage_is_left_to_the_walk(memory_repository, tmp_path, reopen):
    snapshot = backup(memory_repository, paths=[deep(tmp_path)]).snapshot
    store = memory_repository.store
    for name, _ in list(store.list(Kind.DATA)):
        store.files[Kind.DATA, name] = bytes(len(store.files[Kind.DATA, name]))
    damaged = reopen(memory_repository)
    assert read_ahead(damaged, snapshot.tree, 60) == {}
    report = backup(damaged, paths=[tmp_path / "source"])
    assert report.files_changed + report.files_new == 3
