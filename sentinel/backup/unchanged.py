"""A folder on disk beside its tree in the parent snapshot: is all of it as it was? The hot spot of a second backup.

An unchanged entry's node would come out byte for byte as it went in. So the entries' stat results are turned into the
text that nodes begin with, in the order of the tree, and the tree is read along; nothing of it is decoded. The first
difference sends the folder to walk.py's careful way, entry by entry. What "unchanged" means: filenode.py.
"""

from __future__ import annotations

import re
import stat
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sentinel.backup.filenode import LINKED_TYPES, group_name, user_name
from sentinel.backup.repo.gojson import SECOND, name_string, second_string, string, time_string
from sentinel.backup.repo.rawtree import split_tree
from sentinel.backup.repo.tree import UNIX_TYPES, go_mode
from sentinel.errors import RepositoryError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

_BEGIN = '{"nodes":['
_CONTENT = '"content":'
_ONE_BLOB = len('["') + 64 + len('"]')
_NAME = '{"name":'
_PLAIN_NAMES = re.compile(rb"[ !#-%'-;=?-\[\]-~]*")  # as gojson's, and with the slash that joins them
FORMAT_BITS = stat.S_IFMT(0xFFFF)
SHARED_KEPT = 4096  # kinds of owner, mode, device and link count; a host has a few dozen


class UnreadableTreeError(Exception):
    """A tree that was taken on trust (seen.py) cannot be read now that it is needed: walk again, trusting nothing."""


class Beginnings:
    """What the text of a file's node begins with, from "type" on, as long as nothing about the file changes."""

    def __init__(self, *, with_atime: bool = False) -> None:
        self._with_atime = with_atime
        self._shared: dict[tuple[int, ...], tuple[str, str, str, str, bool]] = {}

    def of(self, info: os.stat_result) -> str:
        """Called once for every file there is, hence the terse style."""
        mode, inode, device, links, uid, gid, size, _, second, changed = info[:10]
        key = (mode, device, links, uid, gid)
        head, owner, device_id, tail, sized = self._shared.get(key) or self._share(key)
        mtime_ns = info.st_mtime_ns
        rest = mtime_ns - second * SECOND
        mtime = f"{second_string(second)}.{rest:09d}Z" if rest % 10 else time_string(mtime_ns)
        ctime = mtime if info.st_ctime_ns == mtime_ns else _time_string(info.st_ctime_ns, changed)
        atime = time_string(info.st_atime_ns) if self._with_atime else mtime
        number = f'"inode":{inode},' if inode else ""
        length = f'"size":{size},' if sized and size else ""
        return f'{head}{mtime}","atime":"{atime}","ctime":"{ctime}",{owner}{number}{device_id}{length}{tail}'

    def _share(self, key: tuple[int, ...]) -> tuple[str, str, str, str, bool]:
        """What files have in common, made once."""
        mode, device, links, uid, gid = key
        kind = UNIX_TYPES[stat.S_IFMT(mode)]
        bits = go_mode(mode, kind)
        user, group = user_name(uid), group_name(gid)
        names = (f'"user":{string(user)},' if user else "") + (f'"group":{string(group)},' if group else "")
        shared = (
            f'"type":"{kind}",' + (f'"mode":{bits},' if bits else "") + '"mtime":"',
            f'"uid":{uid},"gid":{gid},{names}',
            f'"device_id":{device},' if device else "",
            f'"links":{links},' if kind in LINKED_TYPES else "",
            kind == "file",
        )
        if len(self._shared) >= SHARED_KEPT:
            self._shared.clear()
        self._shared[key] = shared
        return shared


@dataclass(slots=True)
class Followed:
    """A folder that is as it was: `blobs` are what its files need, `folders` the nodes' texts of those in it."""

    names: list[bytes]  # of all that are no folders
    folders: dict[bytes, str]
    blobs: list[bytes]
    files: int
    bytes: int


class PreviousTree:
    """One tree of the parent snapshot, read when it is needed; an empty one where there is none."""

    def __init__(self, tree: bytes | None = None, load: Callable[[bytes], bytes] = lambda _: b"") -> None:
        self.id = tree
        self._load = load
        self._text: bytes | None = None
        self._nodes: dict[bytes, str] | None = None
        self._followed: Followed | None = None

    def __len__(self) -> int:
        if self._followed:
            return len(self._followed.names) + len(self._followed.folders)
        return len(self.nodes)

    @property
    def nodes(self) -> dict[bytes, str]:
        """Name -> the node's text (rawtree.py). What cannot be read is no reason to fail: its files are read again."""
        if self._nodes is None:
            document = self._document()
            try:
                self._nodes = split_tree(document) if document else {}
            except (RepositoryError, ValueError, TypeError):
                self._nodes, self.id = {}, None
            self._text = b""
        return self._nodes

    def node(self, name: bytes) -> str | None:
        return self._followed.folders.get(name) if self._followed else self.nodes.get(name)

    def text(self, name: bytes) -> str:
        """Of a node that is known to be there."""
        text = self.nodes.get(name)
        if text is None:
            raise UnreadableTreeError
        return text

    def _document(self) -> bytes:
        if self._text is None:
            self._text = self._load(self.id) if self.id else b""
            if not self._text:
                self.id = None
        return self._text

    def follow(self, infos: dict[bytes, os.stat_result], beginnings: Beginnings) -> Followed | None:
        """None when any entry is not as it was."""
        document = self._document()
        if not document:
            return None
        try:
            self._followed = _follow(document.decode(), infos, beginnings)
        except ValueError:
            return None
        return self._followed

    def forget_followed(self) -> None:
        """It is as it was, but blobs of it are missing: back to the careful way."""
        self._followed = None


def _follow(text: str, infos: dict[bytes, os.stat_result], beginnings: Beginnings) -> Followed | None:
    names = sorted(infos)
    folders: dict[bytes, str] = {}
    hexes: list[str] = []
    files = size = 0
    at = end = len(_BEGIN)
    for name, shown in zip(names, _shown(names), strict=True):
        info = infos[name]
        beginning = f"{_NAME}{shown},{beginnings.of(info)}"
        if not text.startswith(beginning, at):
            return None
        content = text.find(_CONTENT, at + len(beginning)) + len(_CONTENT)
        end = text.find("}", content)
        kind = info.st_mode & FORMAT_BITS
        if kind == stat.S_IFREG:
            files += 1
            size += info.st_size
            if end - content == _ONE_BLOB:
                hexes.append(text[content + 2 : end - 2])
            else:
                hexes += _many(text[content:end])
        elif kind == stat.S_IFDIR:
            folders[name] = text[at + len(_NAME) + len(shown) + 1 : end + 1]
        end += 1
        at = end + 1
    if text[end:] != "]}\n":
        return None
    joined = bytes.fromhex("".join(hexes))
    blobs = list(struct.unpack("32s" * (len(joined) // 32), joined))
    others = [name for name in names if name not in folders] if folders else names
    return Followed(others, folders, blobs, files, size)


def _shown(names: Sequence[bytes]) -> list[str]:
    """As JSON strings."""
    joined = b"/".join(names)
    if _PLAIN_NAMES.fullmatch(joined):
        return [f'"{name}"' for name in joined.decode("ascii").split("/")] if names else []
    return [name_string(name) for name in names]


def _many(content: str) -> list[str]:
    """Any number of blob ids but one; ValueError where there is no list."""
    if content == "[]":
        return []
    ids = content[2:-2].split('","')
    if any(len(each) != 64 for each in ids):
        raise ValueError("no list of blob ids")
    return ids


def _time_string(nanoseconds: int, seconds: float) -> str:
    """`seconds` are those of `nanoseconds`, which the kernel gives apart."""
    whole = int(seconds)
    rest = nanoseconds - whole * SECOND
    return f"{second_string(whole)}.{rest:09d}Z" if rest % 10 else time_string(nanoseconds)
