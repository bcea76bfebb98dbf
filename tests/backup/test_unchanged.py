"""A folder is as it was exactly when its entries' nodes would be written as they stand in the parent's tree."""

import hashlib
import importlib.util
import os
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.backup.archive import backup
from sentinel.backup.filenode import node_from_stat
from sentinel.backup.repo.pack import BlobType
from sentinel.backup.repo.tree import decode_tree, encode_node, encode_tree
from sentinel.backup.unchanged import Beginnings, PreviousTree, UnreadableTreeError

if "trees" not in sys.modules:
    _spec = importlib.util.spec_from_file_location("trees", Path(__file__).with_name("trees.py"))
    sys.modules["trees"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["trees"])
trees = sys.modules["trees"]

BLOBS = st.lists(st.binary(min_size=32, max_size=32), max_size=3)
ENTRIES = st.dictionaries(
    trees.NAMES, st.tuples(st.one_of(trees.FILES, trees.LINKS, trees.FIFOS), BLOBS), max_size=6
)
FIELDS = {"st_mode": 0, "st_ino": 1, "st_nlink": 3, "st_uid": 4, "st_gid": 5, "st_size": 6}


def scan(folder):
    return {name: os.lstat(os.path.join(folder, name)) for name in os.listdir(folder)}


def document(folder, blobs):
    """The folder's tree as a backup would write it, with contents of our choice."""
    nodes = []
    for name, info in sorted(scan(folder).items()):
        node = node_from_stat(name, info)
        if node.type == "file":
            node.content = blobs.get(name, [])
        elif node.type == "dir":
            node.subtree = b"s" * 32
        elif node.type == "symlink":
            node.linktarget = os.readlink(os.path.join(folder, name))
        nodes.append(encode_node(node))
    return encode_tree(nodes)


def changed(info, field):
    values, times = (
        list(info)[:10],
        {f"st_{which}time_ns": getattr(info, f"st_{which}time_ns") for which in "amc"},
    )
    if field in times:
        times[field] += 10
    else:
        values[FIELDS[field]] += 1
    extra = {"st_rdev": info.st_rdev, "st_blocks": info.st_blocks, "st_blksize": info.st_blksize}
    return os.stat_result(values, {**times, **extra})


def previously(tree):
    return PreviousTree(b"t" * 32, lambda _: tree)


@given(ENTRIES)
def test_the_same_folder_is_followed(entries):
    with tempfile.TemporaryDirectory() as name:
        folder = os.fsencode(name)
        os.mkdir(folder + b"/a folder")
        for entry, (made, _) in entries.items():
            if entry != b"a folder":
                trees.build(folder + b"/" + entry, made)
        blobs = {entry: ids for entry, (_, ids) in entries.items()}
        infos = scan(folder)
        files = [each for each, info in infos.items() if info.st_mode & 0o170000 == 0o100000]
        previous = previously(document(folder, blobs))
        followed = previous.follow(infos, Beginnings())
        assert followed is not None
        assert list(followed.folders) == [b"a folder"]
        assert sorted([*followed.names, b"a folder"]) == sorted(infos)
        assert sorted(followed.blobs) == sorted(blob for each in files for blob in blobs.get(each, []))
        assert (followed.files, followed.bytes) == (len(files), sum(infos[each].st_size for each in files))
        assert len(previous) == len(infos)


@pytest.mark.parametrize("field", [*FIELDS, "st_mtime_ns", "st_ctime_ns"])
def test_any_difference_is_seen(tmp_path, field):
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
    folder = os.fsencode(tmp_path)
    infos = scan(folder)
    tree = document(folder, {})
    assert previously(tree).follow(infos, Beginnings())
    assert previously(tree).follow({**infos, b"b": changed(infos[b"b"], field)}, Beginnings()) is None


def test_entries_that_came_or_went_are_seen(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
    infos = scan(os.fsencode(tmp_path))
    tree = document(os.fsencode(tmp_path), {})
    for gone in infos:
        fewer = {name: info for name, info in infos.items() if name != gone}
        assert previously(tree).follow(fewer, Beginnings()) is None
    more = {**infos, b"d": infos[b"c"]}
    assert previously(tree).follow(more, Beginnings()) is None
    assert PreviousTree().follow(infos, Beginnings()) is None


def test_access_times_count_when_they_are_kept(tmp_path):
    (tmp_path / "a").write_text("a")
    infos = scan(os.fsencode(tmp_path))
    with_atime = Beginnings(with_atime=True)
    node = node_from_stat(b"a", infos[b"a"], with_atime=True)
    node.content = []
    tree = encode_tree([encode_node(node)])
    assert previously(tree).follow(infos, with_atime)
    later = {b"a": changed(infos[b"a"], "st_atime_ns")}
    assert previously(tree).follow(later, with_atime) is None


def test_a_damaged_tree_is_an_empty_one():
    previous = previously(b'{"nodes":[{"name":5}]}\n')
    assert previous.nodes == {}
    assert previous.id is None
    assert len(previous) == 0


def tree_at(repository, snapshot, path):
    tree = snapshot.tree
    for part in path.parts[1:]:
        nodes = decode_tree(repository.load_blob(BlobType.TREE, tree))
        (tree,) = [node.subtree for node in nodes if node.name == os.fsencode(part)]
    return tree


def test_links_and_fifos_keep_their_tree(memory_repository, tmp_path, reopen):
    source = tmp_path / "source"
    source.mkdir()
    (source / "link").symlink_to("elsewhere")
    os.mkfifo(source / "fifo")
    (source / "file").write_text("x")
    first = backup(memory_repository, paths=[source]).snapshot
    second = backup(reopen(memory_repository), paths=[source])
    assert (second.files_unmodified, second.bytes_total) == (1, 1)
    again = reopen(memory_repository)
    assert tree_at(again, second.snapshot, source) == tree_at(again, first, source)
    (source / "link").unlink()
    (source / "link").symlink_to("somewhere else")
    third = backup(again, paths=[source]).snapshot
    assert tree_at(again, third, source) != tree_at(again, first, source)


def test_a_lost_blob_sends_the_file_to_be_read_again(memory_repository, tmp_path, reopen):
    """As after a pack was lost and the index rebuilt without it."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_text("a")
    backup(memory_repository, paths=[source])
    again = reopen(memory_repository)
    rebuilt = type(again.index)()
    for pack in again.index.packs():
        entries = list(again.index.entries(pack))
        if entries[0].type is BlobType.TREE:
            rebuilt.add_pack(pack, entries)
    again.reload_index = lambda: again.use_index(rebuilt)
    report = backup(again, paths=[source])
    assert (report.files_changed, report.files_unmodified) == (1, 0)
    blob = hashlib.sha256(b"a").digest()
    assert again.load_blob(BlobType.DATA, blob) == b"a"


def test_a_tree_that_cannot_be_read_is_asked_for_once_and_then_an_empty_one():
    asked = []
    previous = PreviousTree(b"t" * 32, lambda tree: asked.append(tree) or b"")
    assert previous.id == b"t" * 32
    assert asked == []
    assert previous.follow({}, Beginnings()) is None
    assert previous.node(b"a") is None
    assert previous.id is None
    assert asked == [b"t" * 32]
    with pytest.raises(UnreadableTreeError):
        previous.text(b"a")
