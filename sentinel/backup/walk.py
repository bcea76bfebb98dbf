"""Folders on disk -> tree blobs, bottom up, beside the parent snapshot's trees.

An explicit stack instead of recursion (paths may be two thousand folders deep). Folders are finished in post-order
once the files in them have been read; while workers read, the walk goes on. A folder whose entries are all as the
parent snapshot says keeps its tree without being encoded; one that looks as at the last backup (seen.py) keeps it
unread: that is what makes an unchanged backup fast.
"""

from __future__ import annotations

import os
import stat
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sentinel.backup.filenode import has_same_content, node_from_stat, read_xattrs
from sentinel.backup.filereader import FileReader, WantedFile
from sentinel.backup.repo.gojson import name_string
from sentinel.backup.repo.pack import BlobType
from sentinel.backup.repo.rawtree import content_of, decode_rest, node_text, subtree_of
from sentinel.backup.repo.tree import Node, decode_node, encode_node, encode_tree
from sentinel.backup.scan import sight_of
from sentinel.backup.seen import Row
from sentinel.backup.unchanged import Beginnings, Followed, PreviousTree
from sentinel.errors import RepositoryError, SourceError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from sentinel.backup.progress import ProgressMeter
    from sentinel.backup.repo.repository import Repository
    from sentinel.backup.repo.writer import BlobWriter
    from sentinel.backup.scan import Infos, Scanner, Sight
    from sentinel.backup.seen import Seen

UNFINISHED_FOLDERS = 512  # more wait for their files than this: stop walking ahead
VIRTUAL_MODE = 0o755


@dataclass(frozen=True, slots=True)
class WalkOptions:
    one_file_system: bool = False
    with_atime: bool = False


class Layout:
    """What the snapshot's top looks like: the folders that lead to the paths and streams asked for."""

    def __init__(self) -> None:
        self.root: dict[bytes, Any] = {}  # name -> dict (a folder), Node (a stream) or None (from disk)
        self.streams: list[str] = []

    def add_path(self, path: bytes) -> None:
        self._add(path, None)

    def add_node(self, path: str, node: Node) -> None:
        if not path.startswith("/") or os.path.normpath(path) != path:
            raise SourceError(f"{path}: a stream's path must be absolute and plain")
        self.streams.append(path)
        self._add(os.fsencode(path), node)

    def _add(self, path: bytes, leaf: Node | None) -> None:
        names = [name for name in path.split(b"/") if name]
        if not names:
            self.root = dict.fromkeys(sorted(os.listdir(b"/")))
            return
        folder = self.root
        for name in names[:-1]:
            inner = folder.setdefault(name, {})
            if inner is None:  # a path above this one is in the backup as a whole
                if leaf is not None:
                    raise SourceError(
                        f"{os.fsdecode(path)}: a stream cannot lie inside a path that is backed up"
                    )
                return
            if isinstance(inner, Node):
                raise SourceError(f"{os.fsdecode(path)}: is below a stream")
            folder = inner
        folder[names[-1]] = leaf


@dataclass(slots=True, eq=False)
class _Folder:
    path: bytes
    node: Node
    above: _Folder | None
    previous: PreviousTree
    same: bool  # the parent snapshot's node of this folder is as we would write it
    device: int
    row: Row | None = None  # when it looks as at the last backup
    sight: Sight | None = None
    kept: list[bytes] = field(default_factory=list)  # names of entries that are as in the parent snapshot
    made: list[Node] = field(default_factory=list)
    wanted: list[WantedFile] = field(default_factory=list)
    futures: list[Future[None]] = field(default_factory=list)
    inner: list[tuple[bytes, os.stat_result, dict[bytes, Any] | None]] = field(default_factory=list)


class TreeWalker:
    def __init__(
        self,
        repository: Repository,
        writer: BlobWriter,
        reader: FileReader,
        meter: ProgressMeter,
        options: WalkOptions,
        *,
        scanner: Scanner,
        seen: Seen,
        trees: dict[bytes, bytes] | None = None,
    ) -> None:
        self._repository = repository
        self._writer = writer
        self._reader = reader
        self._meter = meter
        self._options = options
        self._trees = trees or {}  # of the parent snapshot, read already
        self._beginnings = Beginnings(with_atime=options.with_atime)
        self._scanner = scanner
        self._seen = seen
        self._remembers = seen.is_kept and not options.with_atime
        self._unfinished: deque[_Folder] = deque()
        self._root_tree = b""
        self.files_unmodified = 0
        self.dirs = 0

    def run(self, layout: Layout, parent_tree: bytes | None) -> bytes:
        """The id of the root tree, stored but not flushed."""
        root = _Folder(b"", Node(b"", "dir"), None, self._previous(parent_tree), same=False, device=0)
        self._open_virtual(root, layout.root)
        stack = [root]
        while stack:
            self._reader.check_stopped()
            folder = stack[-1]
            if folder.inner:
                inner = self._descend(folder, *folder.inner.pop())
                if inner is not None:
                    stack.append(inner)
                continue
            stack.pop()
            self._unfinished.append(folder)
            self._finish(wait=len(self._unfinished) > UNFINISHED_FOLDERS)
        self._reader.send()
        while self._unfinished:
            self._finish(wait=True)
        return self._root_tree

    # --- opening a folder -----------------------------------------------------------------------------------

    def _previous(self, tree: bytes | None) -> PreviousTree:
        return PreviousTree(tree, self._load_tree)

    def _load_tree(self, tree: bytes) -> bytes:
        """Nothing where it cannot be read."""
        try:
            return self._trees.pop(tree, b"") or self._repository.load_blob(BlobType.TREE, tree)
        except RepositoryError:
            return b""

    def _descend(
        self, above: _Folder, name: bytes, info: os.stat_result, virtual: dict[bytes, Any] | None
    ) -> _Folder | None:
        path = above.path + b"/" + name
        row = self._seen.find(path) if above.row else None
        if row is not None:  # as the folder above looks the same, so does this one's node
            tree: bytes | None = row.tree
            same = True
        else:
            text = above.previous.node(name)
            tree = subtree_of(text) if text is not None else None
            same = text is not None and text.startswith(self._beginnings.of(info))
        node = node_from_stat(name, info, with_atime=self._options.with_atime)
        folder = _Folder(path, node, above, self._previous(tree), same, info.st_dev)
        self.dirs += 1
        try:
            if not same and info.st_ino:
                node.xattrs = read_xattrs(path)
            if virtual is not None:
                self._open_virtual(folder, virtual)
            elif not self._options.one_file_system or above.device in {0, info.st_dev} or above.path == b"":
                self._open_real(folder)
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                self._scanner.note(path, error)
            return None
        return folder

    def _open_virtual(self, folder: _Folder, entries: dict[bytes, Any]) -> None:
        infos = {}
        for name, entry in sorted(entries.items(), reverse=True):
            path = folder.path + b"/" + name
            if isinstance(entry, Node):
                folder.made.append(entry)
            else:
                infos[name] = _asked_for(path) if entry is None else _virtual_stat(path)
        if len(infos) == len(entries) and self._looks_as_seen(folder, infos):
            self._keep_seen(folder, infos, entries)
            return
        for name, info in infos.items():
            if entries[name] is None:  # no exclude applies to it
                self._add_known(folder, name, folder.path + b"/" + name, info)
            else:
                folder.inner.append((name, info, entries[name]))

    def _open_real(self, folder: _Folder) -> None:
        infos = self._scanner.scan(folder.path)
        if self._looks_as_seen(folder, infos):
            self._keep_seen(folder, infos, {})
            return
        followed = folder.previous.follow(infos, self._beginnings)
        if followed is not None:
            if not self._repository.index.missing(followed.blobs):
                self._keep(folder, infos, followed)
                return
            folder.previous.forget_followed()
        for name, info in infos.items():
            self._add_known(folder, name, folder.path + b"/" + name, info)

    def _looks_as_seen(self, folder: _Folder, infos: Infos) -> bool:
        if not self._remembers:
            return False
        folder.sight = sight_of(infos)
        row = self._seen.find(folder.path)
        if row is None or row.digest != folder.sight.digest or row.tree != folder.previous.id:
            return False
        folder.row = row
        return True

    def _keep_seen(self, folder: _Folder, infos: Infos, virtual: dict[bytes, Any]) -> None:
        sight = folder.sight
        assert sight is not None
        folder.kept += sight.others
        folder.inner += [(name, infos[name], virtual.get(name)) for name in sight.folders]
        self.files_unmodified += sight.files
        self._meter.add(sight.files, sight.size, folder.path)

    def _keep(self, folder: _Folder, infos: Infos, followed: Followed) -> None:
        """All of it; the folders in it are looked at in their turn."""
        folder.kept += followed.names
        folder.inner += [(name, infos[name], None) for name in followed.folders]
        self.files_unmodified += followed.files
        self._meter.add(followed.files, followed.bytes, folder.path)

    def _add_known(self, folder: _Folder, name: bytes, path: bytes, info: os.stat_result) -> None:
        kind = stat.S_IFMT(info.st_mode)
        if kind == stat.S_IFDIR:
            folder.inner.append((name, info, None))
        elif kind == stat.S_IFREG:
            self._add_file(folder, name, path, info)
        elif kind != stat.S_IFSOCK:  # a socket is nothing without its process; restic leaves it out too
            self._add_special(folder, name, path, info)

    def _add_file(self, folder: _Folder, name: bytes, path: bytes, info: os.stat_result) -> None:
        text = folder.previous.node(name)
        if text is not None:
            if text.startswith(self._beginnings.of(info)) and self._is_stored(text):
                self._count_unmodified(path, info)
                folder.kept.append(name)
                return
            if self._take_over(folder, name, path, info, text):
                return
        wanted = WantedFile(path, name, info.st_size, text is not None, self._options.with_atime)
        folder.wanted.append(wanted)
        future = self._reader.submit(wanted)
        if not folder.futures or folder.futures[-1] is not future:
            folder.futures.append(future)

    def _add_special(self, folder: _Folder, name: bytes, path: bytes, info: os.stat_result) -> None:
        node = node_from_stat(name, info, with_atime=self._options.with_atime)
        try:
            if node.type == "symlink":
                node.linktarget = os.readlink(path)
            else:
                node.xattrs = read_xattrs(path)
        except OSError as error:
            self._scanner.note(path, error)
            return
        folder.made.append(node)

    def _take_over(self, folder: _Folder, name: bytes, path: bytes, info: os.stat_result, text: str) -> bool:
        """The content only: metadata has changed, or is written in another way (a time zone)."""
        try:
            if not has_same_content(decode_rest(text), info) or not self._is_stored(text):
                return False
        except ValueError:
            return False
        self._count_unmodified(path, info)
        node = node_from_stat(name, info, with_atime=self._options.with_atime)
        node.content = content_of(text)
        node.xattrs = read_xattrs(path)
        folder.made.append(node)
        return True

    def _is_stored(self, text: str) -> bool:
        """All blobs of the parent's file are in the index; else the file is read again, which heals the repository."""
        try:
            return not self._repository.index.missing(content_of(text))
        except ValueError:
            return False

    def _count_unmodified(self, path: bytes, info: os.stat_result) -> None:
        self.files_unmodified += 1
        self._meter.add(1, info.st_size, path)

    # --- finishing folders ----------------------------------------------------------------------------------

    def _finish(self, *, wait: bool) -> None:
        """The folders in front whose files have been read; with `wait` at least one."""
        while self._unfinished:
            folder = self._unfinished[0]
            if wait:
                self._reader.send()
            elif not all(future.done() for future in folder.futures):
                return
            for future in folder.futures:
                future.result()
            self._unfinished.popleft()
            self._close(folder)
            wait = False

    def _close(self, folder: _Folder) -> None:
        tree = self._store(folder)
        above = folder.above
        if above is None:
            self._root_tree = tree
        elif folder.same and tree == folder.previous.id:
            above.kept.append(folder.node.name)
        else:
            folder.node.subtree = tree
            if folder.same:
                text = above.previous.text(folder.node.name)
                folder.node.xattrs = decode_node({**decode_rest(text), "name": "x"}).xattrs
            above.made.append(folder.node)

    def _store(self, folder: _Folder) -> bytes:
        made = folder.made + [wanted.node for wanted in folder.wanted if wanted.node is not None]
        sight = folder.sight
        whole = sight is not None and len(made) + len(folder.kept) == sight.entries
        if folder.row is not None and whole and not made:
            tree = folder.row.tree
        elif not made and folder.previous.id is not None and len(folder.kept) == len(folder.previous):
            tree = folder.previous.id
        else:
            nodes = [(node.name, encode_node(node)) for node in made]
            nodes += [
                (name, node_text(name_string(name), folder.previous.text(name))) for name in folder.kept
            ]
            nodes.sort()
            tree = self._writer.add(BlobType.TREE, encode_tree([text for _, text in nodes]))
        if sight is not None and whole:
            self._seen.note(folder.path, Row(sight.digest, tree))
        return tree


def _asked_for(path: bytes) -> os.stat_result:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        raise SourceError(f"{os.fsdecode(path)}: does not exist any more") from None


def _virtual_stat(path: bytes) -> os.stat_result:
    """Of the real folder where there is one; a stream's folders may exist nowhere else."""
    try:
        info = os.stat(path)
        if stat.S_ISDIR(info.st_mode):
            return info
    except OSError:
        pass
    now = time.time_ns()
    fields = (stat.S_IFDIR | VIRTUAL_MODE, 0, 0, 1, os.getuid(), os.getgid(), 0, 0, 0, 0)
    return os.stat_result(fields, {f"st_{which}time_ns": now for which in "amc"})
