"""Backups: what is in a snapshot, what makes it incomplete, and that stock restic reads it like its own."""

import importlib.util
import io
import os
import random
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from sentinel.backup.archive import BackupOptions, Stream, backup
from sentinel.backup.repo.compression import Compression
from sentinel.backup.repo.snapshots import find_snapshot, list_snapshots
from sentinel.backup.restore import RestoreOptions, list_files, read_file, restore
from sentinel.errors import IncompleteError, SourceError

_spec = importlib.util.spec_from_file_location("trees", Path(__file__).with_name("trees.py"))
trees = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(trees)


@pytest.fixture
def shop(tmp_path):
    """A small tree with one of everything."""
    root = tmp_path / "shop"
    (root / "img/deep").mkdir(parents=True)
    (root / "index.html").write_text("<h1>shop</h1>")
    (root / "empty").touch()
    (root / "img/large.bin").write_bytes(os.urandom(20_000_000))
    (root / "img/sparse").write_bytes(b"")
    os.truncate(root / "img/sparse", 30_000_000)
    with open(root / "img/sparse", "r+b") as file:
        file.seek(10_000_000)
        file.write(b"in the middle")
    (root / "current").symlink_to("img/deep")
    os.link(root / "index.html", root / "img/index.html")
    os.mkfifo(root / "pipe")
    os.mknod(root / "null", 0o020666, os.makedev(1, 3))
    (root / os.fsdecode(b'caf\xe9 \n"\\ <&>')).write_text("not UTF-8")
    (root / "größe \u2028\u00ad").write_text("unusual")
    os.setxattr(root / "index.html", "user.note", b"\x00\xff")
    acl = bytes.fromhex(
        "0200000001000600ffffffff02000400e803000004000400ffffffff10000600ffffffff20000400ffffffff"
    )
    os.setxattr(root / "img", "system.posix_acl_access", acl)
    os.chmod(root / "img/deep", 0o2750)
    os.chown(root / "empty", 1234, 4321)
    os.utime(root / "empty", ns=(1, 1_234_567_890_123_456_789))
    os.utime(root / "img/deep", ns=(5, 987_654_321_000_000_001))
    return root


def test_restic_restores_ours_identically(shop, local_repository, restic, tmp_path):
    report = backup(local_repository, paths=[shop], options=BackupOptions(tags=("nightly",), hostname="web"))
    assert report.unreadable == ()
    place = local_repository.store.location
    restic("check", "--read-data", repository=place)
    restic(
        "restore",
        "latest",
        "--target",
        tmp_path / "out",
        "--tag",
        "nightly",
        "--host",
        "web",
        repository=place,
    )
    assert trees.describe(f"{tmp_path}/out{shop}") == trees.describe(shop)


@pytest.mark.parametrize("version", [1, 2])
def test_we_restore_restics_identically(shop, restic, reopen, tmp_path, version):
    from sentinel.backup.repo.repository import Repository
    from sentinel.backup.store.local import LocalStore

    place = tmp_path / "theirs"
    restic("init", "--repository-version", version, repository=place)
    restic("backup", shop, "--tag", "a", repository=place, env={"TZ": "Asia/Tokyo"})
    repository = Repository.open(LocalStore(place), "correct horse")
    assert repository.version == version
    report = restore(repository, find_snapshot(repository, "latest", tags=["a"]), tmp_path / "out")
    assert report.problems == ()
    assert trees.describe(f"{tmp_path}/out{shop}") == trees.describe(shop)
    # Unchanged files are taken over from restic's snapshot, and restic reads the result.
    again = backup(repository, paths=[shop])
    assert (again.files_new, again.files_changed) == (0, 0)
    restic("check", "--read-data", repository=place)


@settings(max_examples=8, suppress_health_check=list(HealthCheck))
@given(tree=trees.TREES)
def test_random_trees_survive_both_ways(tree, tmp_path_factory, restic):
    from sentinel.backup.repo.keyfile import ScryptCost
    from sentinel.backup.repo.repository import Repository
    from sentinel.backup.store.local import LocalStore

    folder = tmp_path_factory.mktemp("random")
    source = os.fsencode(folder / "source")
    trees.build(source, tree)
    expected = trees.describe(source)
    repository = Repository.create(
        LocalStore(folder / "repository"), "correct horse", cost=ScryptCost(n=1024)
    )
    report = backup(repository, paths=[folder / "source"])
    restore(repository, report.snapshot, folder / "ours").require_complete()
    assert trees.describe(f"{folder}/ours{folder}/source") == expected
    restic("restore", "latest", "--target", folder / "theirs", repository=folder / "repository")
    assert trees.describe(f"{folder}/theirs{folder}/source") == expected


def test_link_targets_need_not_be_text(local_repository, tmp_path):
    (tmp_path / "src").mkdir()
    os.symlink(b"caf\xe9", os.fsencode(tmp_path / "src/link"))
    report = backup(local_repository, paths=[tmp_path / "src"])
    restore(local_repository, report.snapshot, tmp_path / "out").require_complete()
    assert os.readlink(os.fsencode(f"{tmp_path}/out{tmp_path}/src/link")) == b"caf\xe9"


def test_an_unchanged_tree_is_not_read_again(shop, local_repository, reopen):
    first = backup(local_repository, paths=[shop])
    second = backup(reopen(local_repository), paths=[shop])
    assert second.snapshot.parent == first.snapshot.id
    assert (second.files_new, second.files_changed) == (0, 0)
    assert second.bytes_added < 20_000  # the folders above may have been touched by others
    assert second.files_unmodified == first.files_new


def test_changes_are_seen(shop, local_repository, reopen):
    backup(local_repository, paths=[shop])
    (shop / "index.html").write_text("changed")
    (shop / "new").write_text("new")
    (shop / "empty").unlink()
    os.setxattr(shop / "img/deep", "user.more", b"1")
    repository = reopen(local_repository)
    report = backup(repository, paths=[shop])
    assert (report.files_new, report.files_changed) == (1, 2)  # index.html has two names
    assert read_file(repository, report.snapshot, f"{shop}/img/index.html") == b"changed"
    names = {entry.path for entry in list_files(repository, report.snapshot, str(shop))}
    assert f"{shop}/new" in names
    assert f"{shop}/empty" not in names


def test_streams_are_files_of_the_snapshot(local_repository, reopen, restic):
    read = []

    def dumps():
        yield Stream("/db/dump.sql", io.BytesIO(b"x" * 5_000_000))
        read.append("the first was read to its end before the second was asked for")
        yield Stream("/db/invariants.json", io.BytesIO(b"{}"))

    report = backup(local_repository, streams=dumps(), options=BackupOptions(tags=("db",)))
    assert report.snapshot.paths == ("/db/dump.sql", "/db/invariants.json")
    assert read_file(reopen(local_repository), report.snapshot, "/db/dump.sql") == b"x" * 5_000_000
    done = restic("dump", "latest", "/db/invariants.json", repository=local_repository.store.location)
    assert done.stdout == b"{}"


def test_a_stream_that_breaks_leaves_no_snapshot(local_repository):
    def broken():
        yield Stream("/db/dump.sql", io.BytesIO(b"half"))
        raise SourceError("pg_dump: exit status 1")

    with pytest.raises(SourceError, match="pg_dump"):
        backup(local_repository, streams=broken())
    assert list_snapshots(local_repository) == []
    assert list(local_repository.store.list(__import__("sentinel").backup.store.store.Kind.LOCK)) == []


def test_a_missing_path_fails_before_anything_is_written(local_repository, tmp_path):
    with pytest.raises(SourceError, match="nowhere"):
        backup(local_repository, paths=[tmp_path, tmp_path / "nowhere"])
    assert list_snapshots(local_repository) == []


def test_an_unreadable_file_is_named_and_the_snapshot_is_incomplete(local_repository, tmp_path, monkeypatch):
    """Root reads everything, so the kernel's refusal is put in the way of one name."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src/good").write_text("good")
    (tmp_path / "src/bad").write_text("bad")
    real = os.open

    def refuse(path, *arguments, **options):
        if os.fsencode(path).endswith(b"/bad"):
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    report = backup(local_repository, paths=[tmp_path / "src"])
    assert [problem.path for problem in report.unreadable] == [f"{tmp_path}/src/bad"]
    with pytest.raises(IncompleteError, match="bad: Permission denied") as caught:
        report.require_complete()
    assert caught.value.exit_code == 3
    assert read_file(local_repository, report.snapshot, f"{tmp_path}/src/good") == b"good"


def test_excludes(local_repository, shop):
    options = BackupOptions(
        excludes=("*.bin", f"{shop}/img/deep", "!large.bin"), exclude_larger_bytes=25_000_000
    )
    report = backup(local_repository, paths=[shop], options=options)
    names = {entry.path for entry in list_files(local_repository, report.snapshot)}
    assert f"{shop}/img/large.bin" in names
    assert f"{shop}/img/deep" not in names
    assert f"{shop}/img/sparse" not in names


def test_cache_folders_keep_only_their_tag(local_repository, tmp_path):
    cache = tmp_path / "src/cache"
    cache.mkdir(parents=True)
    (cache / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n")
    (cache / "junk").touch()
    report = backup(local_repository, paths=[tmp_path / "src"], options=BackupOptions(exclude_caches=True))
    names = {entry.path for entry in list_files(local_repository, report.snapshot, str(cache))}
    assert names == {str(cache), f"{cache}/CACHEDIR.TAG"}


def test_stopping_leaves_no_snapshot(local_repository, shop):
    stop = threading.Event()
    stop.set()
    with pytest.raises(SourceError, match="stopped"):
        backup(local_repository, paths=[shop], stop=stop)
    assert list_snapshots(local_repository) == []


def test_progress_tells_what_is_done(local_repository, shop):
    heard = []
    report = backup(local_repository, paths=[shop], progress=heard.append)
    assert heard[-1].files_done == report.files_new
    assert heard[-1].bytes_done == report.bytes_total


def test_sparse_files_stay_sparse(local_repository, shop, tmp_path):
    report = backup(local_repository, paths=[shop])
    restore(local_repository, report.snapshot, tmp_path / "out", options=RestoreOptions(sparse=True))
    assert os.stat(f"{tmp_path}/out{shop}/img/sparse").st_blocks * 512 < 1_000_000


@pytest.mark.parametrize("compression", Compression)
def test_compression_as_configured(local_repository, tmp_path, restic, compression):
    source = tmp_path / "source"
    source.mkdir()
    (source / "text").write_bytes(random.Random(1).randbytes(300) * 1000)
    local_repository.compression = compression
    report = backup(local_repository, paths=[source])
    assert (report.bytes_stored > 300_000) is (compression is Compression.OFF)
    restic("check", "--read-data", repository=local_repository.store.location)
    assert read_file(local_repository, report.snapshot, f"{source}/text") == (source / "text").read_bytes()
