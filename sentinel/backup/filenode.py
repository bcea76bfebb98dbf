"""A file's metadata from the kernel -> Node; and whether a parent snapshot's node still tells the truth.

A file counts as unchanged when size, inode, mtime and ctime are (restic's rule): ctime moves with every change of
content or metadata, extended attributes included, and cannot be set back.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import stat
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sentinel.backup.repo.gojson import parse_time
from sentinel.backup.repo.tree import UNIX_TYPES, Node, go_mode

if TYPE_CHECKING:
    from collections.abc import Mapping

LINKED_TYPES = frozenset({"file", "symlink", "dev", "chardev"})  # restic records link counts of these
NO_XATTRS = frozenset({errno.ENOTSUP, errno.ENODATA, errno.EPERM, errno.EACCES})


def node_from_stat(name: bytes, info: os.stat_result, *, with_atime: bool = False) -> Node:
    """Everything but what needs another look at the file: link target, extended attributes, content."""
    kind = UNIX_TYPES[stat.S_IFMT(info.st_mode)]
    return Node(
        name=name,
        type=kind,
        mode=go_mode(info.st_mode, kind),
        mtime=info.st_mtime_ns,
        atime=info.st_atime_ns if with_atime else info.st_mtime_ns,
        ctime=info.st_ctime_ns,
        uid=info.st_uid,
        gid=info.st_gid,
        user=user_name(info.st_uid),
        group=group_name(info.st_gid),
        inode=info.st_ino,
        device_id=info.st_dev,
        size=info.st_size if kind == "file" else 0,
        links=info.st_nlink if kind in LINKED_TYPES else 0,
        device=info.st_rdev if kind in {"dev", "chardev"} else 0,
    )


def read_xattrs(target: int | bytes) -> list[tuple[str, bytes]]:
    """Of an open file or a path that is no symlink; ACLs are among them (system.posix_acl_*)."""
    try:
        names = os.listxattr(target, follow_symlinks=True)
    except OSError as error:
        if error.errno in NO_XATTRS:
            return []
        raise
    found = []
    for name in names:
        with contextlib.suppress(OSError):  # gone meanwhile, or not for us (trusted.*)
            found.append((name, os.getxattr(target, name, follow_symlinks=True)))
    return found


def has_same_content(raw: Mapping[str, Any], info: os.stat_result) -> bool:
    """Whatever else was different or written differently (a time zone): the bytes were not touched."""
    try:
        return (
            raw.get("type") == "file"
            and raw.get("inode", 0) == info.st_ino
            and raw.get("size", 0) == info.st_size
            and parse_time(raw["mtime"]) == info.st_mtime_ns
            and parse_time(raw["ctime"]) == info.st_ctime_ns
        )
    except (KeyError, ValueError, TypeError):
        return False


@lru_cache(maxsize=1024)
def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


@lru_cache(maxsize=1024)
def group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return ""
