"""A folder on disk -> the stat results of what the backup wants of it, and a digest of all they say.

Two looks at a folder with the same digest saw the same names with the same metadata, owners' names included; contents
are the same as far as ctime can be trusted (filenode.py). Scanning ahead fills the time in which a lock settles; it
never leaves the file system it began on, since what it finds may not be wanted.
"""

from __future__ import annotations

import os
import stat
import struct
import time
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from sentinel.backup.filenode import group_name, user_name
from sentinel.errors import Problem

if TYPE_CHECKING:
    from sentinel.backup.exclude import PathFilter

CACHE_TAG = b"CACHEDIR.TAG"
CACHE_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"  # https://bford.info/cachedir/
MOST_AHEAD = 100_000  # entries, about 50 MB of stat results
_FORMAT = stat.S_IFMT(0xFFFF)
_STAT = struct.Struct("=7Q2q")  # mode to size as stat_result has them, mtime and ctime in nanoseconds

Infos = dict[bytes, os.stat_result]


@dataclass(frozen=True, slots=True)
class ScanOptions:
    excludes: PathFilter
    exclude_caches: bool = False
    exclude_larger_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look at a folder saw. `entries` are those that a tree would have: all but sockets."""

    digest: bytes
    entries: int
    files: int
    size: int
    folders: list[bytes]
    others: list[bytes]


class Scanner:
    def __init__(self, options: ScanOptions) -> None:
        self._options = options
        self._filtering = bool(options.excludes) or options.exclude_larger_bytes > 0
        self._ahead: dict[bytes, Infos] = {}
        self.problems: list[Problem] = []

    def scan(self, path: bytes) -> Infos:
        """OSError when the folder itself cannot be read; an entry that cannot be looked at is a problem."""
        found = self._ahead.pop(path, None)
        return self._scan(path) if found is None else found

    def ahead(self, tops: list[bytes], seconds: float) -> None:
        """In the order in which the walk will ask. What went wrong is forgotten: the walk will meet it again."""
        end = time.monotonic() + seconds
        noted = len(self.problems)
        waiting = list(reversed(tops))
        devices = {os.lstat(top).st_dev for top in tops if os.path.lexists(top)}
        entries = 0
        while waiting and entries < MOST_AHEAD and time.monotonic() < end:
            path = waiting.pop()
            try:
                infos = self._scan(path)
            except OSError:
                continue
            if len(self.problems) > noted:
                break
            self._ahead[path] = infos
            entries += len(infos)
            waiting += [
                path + b"/" + name
                for name, info in infos.items()
                if info[0] & _FORMAT == stat.S_IFDIR and info.st_dev in devices
            ]
        del self.problems[noted:]

    def note(self, path: bytes, error: OSError) -> None:
        self.problems.append(Problem(os.fsdecode(path), 0, error.strerror or str(error)))

    def _scan(self, path: bytes) -> Infos:
        infos = {}
        only_tag = self._options.exclude_caches and _is_cache(path)
        with os.scandir(path) as entries:
            for entry in entries:
                if only_tag and entry.name != CACHE_TAG:
                    continue
                try:
                    info = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    self.note(entry.path, error)
                    continue
                if not (self._filtering and self._is_excluded(entry.path, info)):
                    infos[entry.name] = info
        return infos

    def _is_excluded(self, path: bytes, info: os.stat_result) -> bool:
        limit = self._options.exclude_larger_bytes
        if limit and info.st_size > limit and stat.S_ISREG(info.st_mode):
            return True
        return bool(self._options.excludes) and self._options.excludes.matches(path)


def sight_of(infos: Infos) -> Sight:
    """Once for every folder there is, hence in terms of all its entries at once."""
    values = infos.values()
    kinds = [info[0] & _FORMAT for info in values]
    owners = {info[4:6] for info in values}
    hashed = blake2b(b"/".join(infos), digest_size=32)
    try:
        packed = [_STAT.pack(*info[:7], info.st_mtime_ns, info.st_ctime_ns) for info in values]
    except struct.error:  # a time beyond the year 2262
        packed = [repr((*info[:7], info.st_mtime_ns, info.st_ctime_ns)).encode() for info in values]
    hashed.update(b"".join(packed))
    hashed.update(repr(sorted((user_name(uid), group_name(gid)) for uid, gid in owners)).encode())
    files = kinds.count(stat.S_IFREG)
    if files == len(kinds):
        return Sight(hashed.digest(), files, files, sum([info[6] for info in values]), [], list(infos))
    folders = [name for name, kind in zip(infos, kinds, strict=True) if kind == stat.S_IFDIR]
    others = [
        name for name, kind in zip(infos, kinds, strict=True) if kind not in {stat.S_IFDIR, stat.S_IFSOCK}
    ]
    size = sum(info[6] for info, kind in zip(values, kinds, strict=True) if kind == stat.S_IFREG)
    return Sight(hashed.digest(), len(folders) + len(others), files, size, folders, others)


def _is_cache(path: bytes) -> bool:
    try:
        with open(path + b"/" + CACHE_TAG, "rb") as tag:
            return tag.read(len(CACHE_SIGNATURE)) == CACHE_SIGNATURE
    except OSError:
        return False
