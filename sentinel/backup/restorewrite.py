"""Nodes -> files below a target folder, safely: nothing is ever written through a symbolic link.

Order matters: folders are real folders before any file is written, links and devices come last, folder times at the
very end. Files are opened with O_NOFOLLOW and O_EXCL; what stands in the way is removed, not followed.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from sentinel.backup.repo.gojson import SECOND

if TYPE_CHECKING:
    from sentinel.backup.repo.tree import Node

CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
REWRITE_FLAGS = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
HOLE_BYTES = 64 * 1024  # runs of zeros at least this long become holes
_ZEROS = bytes(HOLE_BYTES)
DEVICE_MODES = {"dev": stat.S_IFBLK, "chardev": stat.S_IFCHR}
LATEST_TIME = (1 << 63) // SECOND - 1


class TreeWriter:
    def __init__(self, *, owner: bool, sparse: bool) -> None:
        self._owner = owner
        self._own = (os.geteuid(), os.getegid())
        self._inherits = False
        self._sparse = sparse
        self._root = os.geteuid() == 0

    def make_folder(self, path: bytes) -> None:
        """0700 until its metadata is restored at the end: nobody else looks into a half-made tree."""
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            mode = os.lstat(path).st_mode
            if not stat.S_ISDIR(mode):
                os.unlink(path)
                os.mkdir(path, 0o700)
            self.note_folder(mode)

    def note_folder(self, mode: int) -> None:
        """In a folder that hands down its group (setgid) new files are not simply ours."""
        if mode & stat.S_ISGID:
            self._inherits = True

    def create(self, path: bytes) -> int:
        """A new, empty file, whatever was there."""
        try:
            return os.open(path, CREATE_FLAGS, 0o600)
        except FileExistsError:
            os.unlink(path)
            return os.open(path, CREATE_FLAGS, 0o600)

    def write(self, descriptor: int, data: bytes, offset: int, *, size: int | None = None) -> None:
        """At an offset of a file that is all holes so far; `size` where the file may still be too short for them."""
        if not self._sparse or len(data) < HOLE_BYTES or data.find(_ZEROS) < 0:
            _write_all(descriptor, memoryview(data), offset)
            return
        if size is not None:
            os.ftruncate(descriptor, size)
        view = memoryview(data)
        for start in range(0, len(data), HOLE_BYTES):
            block = view[start : start + HOLE_BYTES]
            if block != _ZEROS[: len(block)]:
                _write_all(descriptor, block, offset + start)

    def finish(self, target: int | bytes, node: Node, *, new: bool = False) -> None:
        """Owner, extended attributes, mode, times; `target` is an open file or a path that is no symlink.

        A `new` file is ours already, which spares nearly every file a change of the inode.
        """
        if self._owner and (not new or self._inherits or (node.uid, node.gid) != self._own):
            self._chown(target, node)
        for name, value in node.xattrs:
            self._set_xattr(target, name, value)
        os.chmod(target, node.unix_mode())
        os.utime(target, ns=(_time(node.atime), _time(node.mtime)))

    def make_special(self, path: bytes, node: Node) -> None:
        """A symbolic link, fifo or device, with its metadata."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        if node.type == "symlink":
            os.symlink(node.linktarget, path)
            if self._owner:
                self._chown(path, node, follow=False)
            os.utime(path, ns=(_time(node.atime), _time(node.mtime)), follow_symlinks=False)
            return
        if node.type == "fifo":
            os.mkfifo(path, 0o600)
        elif node.type in DEVICE_MODES:
            os.mknod(path, DEVICE_MODES[node.type] | 0o600, node.device)
        else:
            raise OSError(f"unknown type of file: {node.type}")
        self.finish(path, node)

    def make_link(self, path: bytes, first: bytes) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.link(first, path, follow_symlinks=False)

    def _chown(self, target: int | bytes, node: Node, *, follow: bool = True) -> None:
        """As `cp -a`: only root is expected to succeed."""
        try:
            if follow:
                os.chown(target, node.uid, node.gid)
            else:
                os.chown(target, node.uid, node.gid, follow_symlinks=False)
        except PermissionError:
            if self._root:
                raise

    def _set_xattr(self, target: int | bytes, name: str, value: bytes) -> None:
        try:
            os.setxattr(target, name, value)
        except PermissionError:
            if self._root:
                raise  # others may not set trusted.* and security.*


def _write_all(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data = data[written:]
        offset += written


def _time(nanoseconds: int) -> int:
    return min(max(nanoseconds, -LATEST_TIME * SECOND), LATEST_TIME * SECOND)
