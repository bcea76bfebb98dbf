"""check finds every damage; restore never hands out wrong bytes."""

import os
import random

import pytest

from sentinel.backup.archive import backup
from sentinel.backup.check import Subset, check
from sentinel.backup.repo.repository import Repository
from sentinel.backup.repo.snapshots import list_snapshots
from sentinel.backup.restore import RestoreOptions, restore
from sentinel.backup.store.store import Kind
from sentinel.errors import RepositoryError, SentinelError, StoreError, UsageError

PASSWORD = "correct horse"
FLIPS = 500

pytestmark = pytest.mark.usefixtures("no_settling")


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "src"
    (folder / "sub").mkdir(parents=True)
    (folder / "text").write_text("some text " * 1000)
    (folder / "sub/random").write_bytes(random.Random(1).randbytes(60_000))
    (folder / "sub/small").write_text("x")
    return folder


@pytest.fixture
def repository(memory_repository, source):
    backup(memory_repository, paths=[source])
    (source / "text").write_text("other text " * 1000)
    backup(memory_repository, paths=[source])
    return memory_repository


def find_problems(store):
    """What an operator would be told, by whichever command notices."""
    try:
        return check(Repository.open(store, PASSWORD), read_data=Subset.everything()).problems
    except SentinelError as error:
        return [str(error)]


def test_a_whole_repository_has_no_problems(repository):
    report = check(repository, read_data=Subset.everything())
    assert (report.problems, report.hints, report.unused_blobs) == ([], [], 0)
    assert (report.snapshots, report.packs_read) == (2, report.packs)
    report.require_clean()


def test_every_flipped_bit_is_reported_and_never_restored(repository, source, tmp_path):
    """Seeded positions over all kinds of files; each kind gets its share although packs are the most bytes."""
    dice = random.Random(6)
    files = repository.store.files
    truth = {path.name: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    old_text = b"some text " * 1000
    kinds = sorted({kind for kind, _ in files}, key=lambda kind: kind.value)
    for number in range(FLIPS):
        kind = kinds[number % len(kinds)]
        victim = dice.choice(sorted(name for each, name in files if each is kind))
        whole = files[kind, victim]
        position = dice.randrange(len(whole) * 8)
        broken = bytearray(whole)
        broken[position // 8] ^= 1 << position % 8
        files[kind, victim] = bytes(broken)
        assert find_problems(repository.store), f"bit {position} of {kind.value}/{victim}"
        if number % 10 == 0:
            restore_what_can_be(repository.store, tmp_path / str(number), truth, old_text)
        files[kind, victim] = whole
    assert find_problems(repository.store) == []


def restore_what_can_be(store, target, truth, old_text):
    try:
        damaged = Repository.open(store, PASSWORD)
        snapshots = list_snapshots(damaged)
        for snapshot in snapshots:
            restore(damaged, snapshot, target / snapshot.id, options=RestoreOptions(verify=False))
    except SentinelError:
        pass
    for path in target.rglob("*"):
        if path.is_file():
            assert path.read_bytes() in {truth[path.name], old_text}


def test_lost_files_are_reported(repository):
    for kind in (Kind.DATA, Kind.INDEX):
        for name, _ in list(repository.store.list(kind)):
            content = repository.store.load(kind, name)
            repository.store.remove(kind, name)
            assert find_problems(repository.store), f"{kind.value}/{name}"
            repository.store.save(kind, name, content)
    assert find_problems(repository.store) == []


def test_damaged_data_is_named_and_the_rest_restored(repository, source, tmp_path):
    store = repository.store
    location = repository.index.find(
        0, __import__("hashlib").sha256((source / "sub/random").read_bytes()).digest()
    )
    pack = location.pack.hex()
    content = bytearray(store.load(Kind.DATA, pack))
    content[location.offset + 100] ^= 1
    store.files[Kind.DATA, pack] = bytes(content)
    damaged = Repository.open(store, PASSWORD)
    report = restore(damaged, list_snapshots(damaged)[-1], tmp_path / "out")
    assert [os.path.basename(problem.path) for problem in report.problems] == ["random"]
    assert not (tmp_path / f"out{source}/sub/random").exists()
    assert (tmp_path / f"out{source}/sub/small").read_text() == "x"
    with pytest.raises(RepositoryError, match="random"):
        report.require_complete()


def test_a_store_that_fails_is_a_problem_not_a_crash(repository, monkeypatch):
    real = repository.store.load

    def load(kind, name, offset=0, length=None):
        if kind is Kind.DATA and length is None:
            raise StoreError("connection reset")
        return real(kind, name, offset, length)

    monkeypatch.setattr(repository.store, "load", load)
    report = check(repository, read_data=Subset.everything())
    assert all("connection reset" in problem for problem in report.problems)
    assert len(report.problems) == report.packs


def test_strays_are_hints(repository):
    repository.store.save(Kind.DATA, "ab" * 32, b"left by a crash")
    report = check(repository)
    assert report.problems == []
    assert len(report.hints) == 1


@pytest.mark.parametrize("parts", [1, 2, 7, 256])
def test_parts_cover_everything_once(parts):
    packs = [random.Random(n).randbytes(32) for n in range(2000)]
    chosen = [pack for n in range(parts) for pack in Subset.part(n + 1, parts).choose(packs)]
    assert sorted(chosen) == sorted(packs)


@pytest.mark.parametrize("percent", [0.3, 5, 33, 50, 100])
def test_rotation_covers_everything(percent):
    packs = [random.Random(n).randbytes(32) for n in range(2000)]
    days = -(-100 // percent)
    start = 20_000  # any day of the calendar
    seen = {
        pack for day in range(int(days) + 1) for pack in Subset.rotating(percent, start + day).choose(packs)
    }
    assert seen == set(packs)


def test_percentage_reads_about_that_much():
    packs = [random.Random(n).randbytes(32) for n in range(1000)]
    assert len(Subset.percentage(5).choose(packs)) == 50
    for wrong in (0, -1, 101):
        with pytest.raises(UsageError):
            Subset.percentage(wrong)
