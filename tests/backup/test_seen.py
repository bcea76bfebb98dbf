"""A backup that trusts what was seen the last time makes the very tree that one makes which reads everything."""

import importlib.util
import os
import random
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentinel.backup import lock, seen
from sentinel.backup.archive import BackupOptions, backup
from sentinel.backup.check import Subset, check
from sentinel.backup.prune import PruneOptions, prune
from sentinel.backup.repo.keyfile import ScryptCost
from sentinel.backup.repo.repository import Repository
from sentinel.backup.retention import forget
from sentinel.backup.seen import Row, Seen
from sentinel.backup.store.memory import MemoryStore
from sentinel.backup.store.store import Kind

if "trees" not in sys.modules:
    _spec = importlib.util.spec_from_file_location("trees", Path(__file__).with_name("trees.py"))
    sys.modules["trees"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["trees"])

import trees

pytestmark = pytest.mark.usefixtures("no_settling")


class Reads(MemoryStore):
    """Notes what was read of it."""

    def __init__(self):
        super().__init__()
        self.loaded = []

    def load(self, kind, name, offset=0, length=None):
        self.loaded.append(kind)
        return super().load(kind, name, offset, length)


def new_repository():
    return Repository.create(Reads(), "x", cost=ScryptCost(n=1024))


def again(repository):
    repository.store.loaded.clear()
    return Repository.open(repository.store, "x")


@pytest.fixture
def place(tmp_path):
    """A folder in one whose times nobody else moves."""
    source = tmp_path / "top" / "src"
    for number in range(12):
        folder = source / f"d{number % 3}" / f"e{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{number}").write_bytes(random.Random(number).randbytes(2000))
    return source


@pytest.fixture
def remembering(tmp_path):
    return BackupOptions(seen_folder=tmp_path / "seen")


# --- the property -------------------------------------------------------------------------------------------


def everything(source):
    return sorted(
        os.path.join(folder, name) for folder, names, files in os.walk(source) for name in (*names, *files)
    )


def rewrite(path, dice):
    """Other bytes, the same size and mtime: only ctime tells."""
    if os.path.isfile(path) and not os.path.islink(path):
        info = os.stat(path)
        with open(path, "r+b") as file:
            file.write(dice.randbytes(info.st_size))
        os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def remove(path, dice):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def add(path, dice):
    if os.path.isdir(path) and not os.path.islink(path):
        with open(path + b"/added-%d" % dice.randrange(1000), "wb") as file:
            file.write(dice.randbytes(100))


def swap(path, dice):
    """A folder becomes a file, and the reverse."""
    was_folder = os.path.isdir(path) and not os.path.islink(path)
    remove(path, dice)
    if was_folder:
        Path(os.fsdecode(path)).write_bytes(b"file now")
    else:
        os.mkdir(path)


def metadata(path, dice):
    if not os.path.islink(path):
        os.chmod(path, dice.choice([0o700, 0o755, 0o777]))


def move(path, dice):
    os.rename(path, path + b"x")


CHANGES = [rewrite, remove, add, swap, metadata, move]


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(
    tree=trees.TREES,
    rounds=st.lists(st.lists(st.sampled_from(CHANGES), max_size=3), max_size=4),
    seed=st.integers(),
)
def test_trusting_makes_no_difference(tree, rounds, seed, monkeypatch):
    monkeypatch.setattr(lock, "SETTLE_SECONDS", 0.0)
    dice = random.Random(seed)
    repository = new_repository()
    with tempfile.TemporaryDirectory() as name:
        source = os.fsencode(name) + b"/top/src"
        trees.build(source, tree)
        paths = [Path(os.fsdecode(source))]
        options = BackupOptions(seen_folder=Path(name, "seen"))
        backup(repository, paths=paths, options=options)
        for changes in rounds:
            for change in changes:
                entries = everything(source)
                if entries:
                    change(dice.choice(entries), dice)
            trusting = backup(again(repository), paths=paths, options=options)
            reading = backup(again(repository), paths=paths, options=BackupOptions(force=True))
            assert trusting.snapshot.parent
            assert not reading.snapshot.parent
            assert below_tmp(repository, trusting, source) == below_tmp(repository, reading, source)
        assert check(again(repository), read_data=Subset.everything()).problems == []


def below_tmp(repository, report, source):
    """The tree of the source's parent: others work in the temporary folder too, which moves its times."""
    from sentinel.backup.repo.pack import BlobType
    from sentinel.backup.repo.tree import decode_tree

    tree = report.snapshot.tree
    for name in os.path.dirname(source).strip(b"/").split(b"/"):
        (node,) = [
            node
            for node in decode_tree(again(repository).load_blob(BlobType.TREE, tree))
            if node.name == name
        ]
        tree = node.subtree
    return tree


# --- what is read, and when nothing is believed -------------------------------------------------------------


def test_an_unchanged_backup_reads_neither_index_nor_trees(place, remembering, monkeypatch):
    monkeypatch.setattr("sentinel.backup.walk.os.lstat", still(os.lstat))
    monkeypatch.setattr("sentinel.backup.walk.os.stat", still(os.stat))
    repository = new_repository()
    first = backup(repository, paths=[place], options=remembering)
    repository = again(repository)
    second = backup(repository, paths=[place], options=remembering)
    assert not {Kind.INDEX, Kind.DATA} & set(repository.store.loaded)
    assert second.snapshot.tree == first.snapshot.tree
    assert (second.files_unmodified, second.bytes_total) == (12, 24_000)
    assert second.dirs == first.dirs


def still(look):
    """Folders above the test's own look as if nobody worked in them."""

    def looked(path, *arguments, **options):
        info = look(path, *arguments, **options)
        if os.fsencode(path).endswith((b"/src", b"/top")):
            return info
        times = dict.fromkeys(("st_mtime_ns", "st_ctime_ns", "st_atime_ns"), 10**18)
        return os.stat_result((*info[:3], 9, *info[4:7], 10**9, 10**9, 10**9), times)

    return looked


def test_a_change_deep_down_is_saved_and_the_rest_is_kept(place, remembering):
    repository = new_repository()
    backup(repository, paths=[place], options=remembering)
    (place / "d1/e1/f1").write_bytes(b"new")
    report = backup(again(repository), paths=[place], options=remembering)
    assert (report.files_new, report.files_changed, report.files_unmodified) == (0, 1, 11)
    assert check(again(repository), read_data=Subset.everything()).problems == []


def test_a_file_that_could_not_be_read_is_named_every_time(place, remembering, monkeypatch):
    real = os.open

    def refuse(path, *arguments, **options):
        if os.fsencode(path).endswith(b"/f7"):
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **options)

    repository = new_repository()
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        for _ in range(3):
            report = backup(again(repository), paths=[place], options=remembering)
            assert [Path(problem.path).name for problem in report.unreadable] == ["f7"]
    report = backup(again(repository), paths=[place], options=remembering)
    assert (report.files_new, report.unreadable) == (1, ())


def test_lost_packs_are_made_good(place, remembering):
    """What restic calls repair index drops the index of what is lost, and then nothing old is believed."""
    repository = new_repository()
    backup(repository, paths=[place], options=remembering)
    for kind in (Kind.DATA, Kind.INDEX):
        for name, _ in list(repository.store.list(kind)):
            repository.store.remove(kind, name)
    report = backup(again(repository), paths=[place], options=remembering)
    for snapshot in list(repository.store.list(Kind.SNAPSHOT)):
        if snapshot[0] != report.snapshot.id:
            repository.store.remove(Kind.SNAPSHOT, snapshot[0])
    assert check(again(repository), read_data=Subset.everything()).problems == []


def test_after_a_prune_the_backup_is_whole(place, remembering):
    repository = new_repository()
    first = backup(repository, paths=[place], options=remembering).snapshot
    (place / "d1/e1/f1").write_bytes(b"new")
    backup(again(repository), paths=[place], options=remembering)
    forget(again(repository), [first.id])
    prune(again(repository), PruneOptions(max_unused_percent=0))
    report = backup(again(repository), paths=[place], options=remembering)
    assert report.files_unmodified == 12
    assert check(again(repository), read_data=Subset.everything()).problems == []


def test_a_trusted_tree_that_cannot_be_read_sends_the_walk_back(place, remembering):
    repository = new_repository()
    backup(repository, paths=[place], options=remembering)
    for name, size in list(repository.store.list(Kind.DATA)):
        repository.store.files[Kind.DATA, name] = bytes(size)
    (place / "d1/e1").rename(place / "d1/e2")
    damaged = again(repository)
    report = backup(damaged, paths=[place], options=remembering)
    assert report.files_new + report.files_changed == 12
    assert report.bytes_total == 24_000
    assert report.unreadable == ()


@pytest.mark.parametrize(
    "difference",
    [{"excludes": ("f1",)}, {"exclude_larger_bytes": 100}, {"one_file_system": True}, {"hostname": "other"}],
)
def test_another_question_has_another_memory(place, remembering, difference):
    repository = new_repository()
    backup(repository, paths=[place], options=remembering)
    other = replace(remembering, **difference)
    report = backup(again(repository), paths=[place], options=other)
    plain = backup(again(repository), paths=[place], options=replace(other, seen_folder=None, force=True))
    assert report.bytes_total == plain.bytes_total
    assert len(list(remembering.seen_folder.iterdir())) == 2


# --- the file -----------------------------------------------------------------------------------------------


def row(number):
    return Row(bytes([number]) * 32, bytes([number + 1]) * 32)


def saved(tmp_path):
    file = tmp_path / "seen" / "one"
    one = Seen(file)
    one.note(b"/a", row(1))
    one.note(b"/b", row(2))
    one.save("snapshot", ["i1", "i2"])
    return file


def loaded(file, snapshot="snapshot", index=("i1", "i2", "i3")):
    one = Seen(file)
    one.load(snapshot, index)
    return one


def test_what_was_saved_is_found(tmp_path):
    file = saved(tmp_path)
    found = loaded(file)
    assert found
    assert (found.find(b"/a"), found.find(b"/b"), found.find(b"/c")) == (row(1), row(2), None)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in file.parent.iterdir()] == ["one"]


def test_another_snapshot_or_a_lost_index_file_is_not_believed(tmp_path):
    file = saved(tmp_path)
    assert not loaded(file, snapshot="other")
    assert not loaded(file, index=("i1", "i3"))
    assert not loaded(tmp_path / "none")
    assert not loaded(None)


def test_damage_is_never_believed(tmp_path):
    file = saved(tmp_path)
    content = file.read_bytes()
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        file.write_bytes(damaged)
        found = loaded(file)
        assert not found or (found.find(b"/a"), found.find(b"/b")) == (row(1), row(2))
    for length in range(0, len(content), 7):
        file.write_bytes(content[:length])
        assert not loaded(file)


def test_memories_are_few(tmp_path, monkeypatch):
    monkeypatch.setattr(seen, "MOST_FILES", 3)
    for number in range(6):
        Seen(tmp_path / "seen" / f"{number}").save("snapshot", [])
        os.utime(tmp_path / "seen" / f"{number}", (number, number))
    Seen(tmp_path / "seen" / "last").save("snapshot", [])
    assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == ["4", "5", "last"]


def test_no_place_to_write_is_no_failure(tmp_path):
    (tmp_path / "seen").write_text("a file")
    Seen(tmp_path / "seen" / "one").save("snapshot", [])
    assert not loaded(tmp_path / "seen" / "one")
