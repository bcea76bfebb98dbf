"""Restores: parts, resume, verify, over live data only when asked, and never outside the target."""

import io
import os
import threading

import pytest

from sentinel.backup.archive import BackupOptions, Stream, backup
from sentinel.backup.repo.pack import BlobType
from sentinel.backup.repo.snapshots import Snapshot, find_snapshot, list_snapshots
from sentinel.backup.repo.tree import Node, encode_node, encode_tree
from sentinel.backup.repo.writer import BlobWriter
from sentinel.backup.restore import RestoreOptions, dump, list_files, read_file, restore
from sentinel.errors import IncompleteError, RepositoryError, UsageError

pytestmark = pytest.mark.usefixtures("no_settling")


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "src"
    (folder / "img/thumbs").mkdir(parents=True)
    (folder / "index.html").write_text("index")
    (folder / "img/a.jpg").write_bytes(os.urandom(3_000_000))
    (folder / "img/thumbs/a.jpg").write_bytes(b"small")
    (folder / "empty").touch()
    return folder


@pytest.fixture
def snapshot(memory_repository, source):
    return backup(memory_repository, paths=[source]).snapshot


def names_below(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_part(memory_repository, snapshot, source, tmp_path):
    out = tmp_path / "out"
    report = restore(memory_repository, snapshot, out, include=[f"{source}/img"], excludes=["thumbs"])
    assert names_below(out) == {f"{str(source)[1:]}/img/a.jpg"}
    assert report.files == 1
    assert (out / str(source)[1:]).stat().st_mode == source.stat().st_mode
    restore(memory_repository, snapshot, tmp_path / "all", include=["*.jpg"])
    assert len(names_below(tmp_path / "all")) == 2
    with pytest.raises(RepositoryError, match="nothing"):
        restore(memory_repository, snapshot, out, include=["/no/such/path"])


def test_resume_keeps_what_is_right(memory_repository, snapshot, source, tmp_path):
    out = tmp_path / "out"
    restore(memory_repository, snapshot, out).require_complete()
    base = out / str(source)[1:]
    inode = (base / "img/a.jpg").stat().st_ino
    times = (base / "index.html").stat()
    (base / "index.html").write_text("INDEX")  # same size, same time, other content: only verifying sees it
    os.utime(base / "index.html", ns=(times.st_atime_ns, times.st_mtime_ns))
    (base / "img/thumbs/a.jpg").write_bytes(b"half")
    report = restore(memory_repository, snapshot, out)
    assert (report.skipped, report.problems) == (2, ())
    assert (base / "img/a.jpg").stat().st_ino == inode
    assert (base / "index.html").read_text() == "index"
    assert (base / "img/thumbs/a.jpg").read_bytes() == b"small"


def test_dry_run_touches_nothing(memory_repository, snapshot, tmp_path):
    report = restore(memory_repository, snapshot, tmp_path / "out", options=RestoreOptions(dry_run=True))
    assert report.files == 4
    assert not (tmp_path / "out").exists()


def test_live_data_is_written_only_when_asked(memory_repository, snapshot, source):
    from pathlib import Path

    (source / "index.html").write_text("damaged")
    with pytest.raises(UsageError, match="in place"):
        restore(memory_repository, snapshot, Path("/"))
    options = RestoreOptions(in_place=True)
    restore(memory_repository, snapshot, Path("/"), include=[str(source)], options=options)
    assert (source / "index.html").read_text() == "index"


def test_stopping_and_going_on(memory_repository, snapshot, tmp_path):
    stop = threading.Event()
    stop.set()
    with pytest.raises(RepositoryError, match="resume"):
        restore(memory_repository, snapshot, tmp_path / "out", stop=stop)
    restore(memory_repository, snapshot, tmp_path / "out").require_complete()


def test_what_cannot_be_written_is_named(memory_repository, snapshot, source, tmp_path):
    out = tmp_path / "out"
    (out / str(source)[1:] / "index.html").mkdir(parents=True)
    (out / str(source)[1:] / "index.html/in the way").touch()
    report = restore(memory_repository, snapshot, out)
    with pytest.raises(IncompleteError, match=r"index\.html"):
        report.require_complete()
    assert (out / str(source)[1:] / "img/a.jpg").read_bytes() == (source / "img/a.jpg").read_bytes()


def test_verify_reads_back(memory_repository, snapshot, tmp_path, monkeypatch):
    """A disk that takes the bytes and keeps others."""
    real = os.pwrite

    def faulty(descriptor, data, offset):
        return real(descriptor, bytes(len(data)) if bytes(data) == b"small" else data, offset)

    monkeypatch.setattr(os, "pwrite", faulty)
    report = restore(memory_repository, snapshot, tmp_path / "out")
    assert [os.path.basename(problem.path) for problem in report.problems] == ["a.jpg"]
    assert "reads back differently" in report.problems[0].message


def test_single_files(memory_repository, snapshot, source):
    assert (
        b"".join(dump(memory_repository, snapshot, f"{source}/img/a.jpg"))
        == (source / "img/a.jpg").read_bytes()
    )
    assert read_file(memory_repository, snapshot, f"{source}/empty") == b""
    with pytest.raises(RepositoryError, match="is not in snapshot"):
        read_file(memory_repository, snapshot, f"{source}/none")
    with pytest.raises(RepositoryError, match="no file"):
        read_file(memory_repository, snapshot, f"{source}/img")


def test_listing(memory_repository, snapshot, source):
    found = {entry.path: entry for entry in list_files(memory_repository, snapshot, f"{source}/img")}
    assert set(found) == {
        f"{source}/img",
        f"{source}/img/a.jpg",
        f"{source}/img/thumbs",
        f"{source}/img/thumbs/a.jpg",
    }
    assert found[f"{source}/img/a.jpg"].size == 3_000_000


# --- trees somebody hostile wrote, who has the key ------------------------------------------------------------


def hostile(repository, nodes):
    with BlobWriter(repository) as writer:
        blob = writer.add(BlobType.DATA, b"owned")
        inner = writer.add(
            BlobType.TREE,
            encode_tree([encode_node(Node(b"evil", "file", mode=0o644, size=5, content=[blob]))]),
        )
        tree = writer.add(BlobType.TREE, encode_tree([encode_node(node) for node in nodes(blob, inner)]))
        writer.flush()
    return Snapshot(0, tree, ("/",), id="00" * 32)


def outside(tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    return victim


CASES = {
    "parent": lambda blob, inner, victim: [Node(b"../victim/evil", "file", content=[blob])],
    "dots": lambda blob, inner, victim: [Node(b"..", "dir", subtree=inner)],
    "absolute": lambda blob, inner, victim: [Node(os.fsencode(victim / "evil"), "file", content=[blob])],
    "link and folder": lambda blob, inner, victim: [
        Node(b"d", "symlink", linktarget=os.fsencode(victim)),
        Node(b"d", "dir", subtree=inner),
    ],
    "link and file": lambda blob, inner, victim: [
        Node(b"f", "symlink", linktarget=os.fsencode(victim / "evil")),
        Node(b"f", "file", content=[blob]),
    ],
}


@pytest.mark.parametrize("case", CASES)
def test_hostile_trees_stay_inside(memory_repository, tmp_path, case):
    victim = outside(tmp_path)
    snapshot = hostile(memory_repository, lambda blob, inner: CASES[case](blob, inner, victim))
    report = restore(memory_repository, snapshot, tmp_path / "out")
    assert report.problems != ()
    assert os.listdir(victim) == []


def test_links_that_wait_in_the_target_are_not_followed(memory_repository, tmp_path):
    victim = outside(tmp_path)
    (victim / "evil").write_text("precious")
    out = tmp_path / "out"
    out.mkdir()
    (out / "d").symlink_to(victim)
    (out / "evil").symlink_to(victim / "evil")
    snapshot = hostile(
        memory_repository,
        lambda blob, inner: [
            Node(b"d", "dir", mode=0o755, subtree=inner),
            Node(b"evil", "file", mode=0o644, size=5, content=[blob]),
        ],
    )
    restore(memory_repository, snapshot, out).require_complete()
    assert (victim / "evil").read_text() == "precious"
    assert (out / "evil").read_bytes() == b"owned"
    assert not (out / "d").is_symlink()


def test_finding_snapshots(memory_repository, source):
    made = [
        backup(
            memory_repository,
            streams=[Stream(f"/dump{n}", io.BytesIO(b"x"))],
            options=BackupOptions(tags=("job:a", str(n)), hostname=f"host{n}", time_ns=10**18 + n),
        ).snapshot
        for n in range(3)
    ]
    assert [s.id for s in list_snapshots(memory_repository)] == [s.id for s in made]
    assert find_snapshot(memory_repository, "latest").id == made[2].id
    assert find_snapshot(memory_repository, "latest", tags=["job:a", "1"]).id == made[1].id
    assert find_snapshot(memory_repository, "latest", hostname="host0").id == made[0].id
    assert find_snapshot(memory_repository, "latest", paths=["/dump1"]).id == made[1].id
    assert find_snapshot(memory_repository, made[0].id[:10]).to_json()["short_id"] == made[0].short_id
    for wrong in ("", "zz"):
        with pytest.raises(RepositoryError):
            find_snapshot(memory_repository, wrong)
    with pytest.raises(RepositoryError, match="latest"):
        find_snapshot(memory_repository, "latest", hostname="nobody")
