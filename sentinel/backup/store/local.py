"""A directory as a store: restic's default layout, atomic and fsynced, files 0400 in folders 0700.

A file is written under a temporary name beside its final one, fsynced, renamed, and the folder is fsynced, so that
after power loss a name either leads to the whole content or to nothing. Group access follows the repository's
root folder, as restic does (a shared repository is made by `chmod g+rwx` of the root).
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel import ownership
from sentinel.backup.store.store import Buffer, Kind, relative_path
from sentinel.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator


TEMPORARY_MARK = "-tmp-"  # no store name has a dash, so a leftover is never taken for a file
HASH_NAME_LENGTH = 64


class LocalStore:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: set[str] = set()

    @property
    def location(self) -> str:
        return str(self._root)

    @property
    def connections(self) -> int:
        return 2

    def create(self) -> None:
        with _translated(self.location):
            for kind in Kind:
                if kind is not Kind.CONFIG:
                    self._make_folder(self._root / kind.value)

    def save(self, kind: Kind, name: str, data: Buffer) -> None:
        path = self._path(kind, name)
        with _translated(path):
            folder = os.path.dirname(path)
            if folder not in self._folders:
                self._make_folder(Path(folder))
                self._folders.add(folder)
            self._write(folder, path, data)

    def load(self, kind: Kind, name: str, offset: int = 0, length: int | None = None) -> bytes:
        path = self._path(kind, name)
        with _translated(path):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                wanted = os.fstat(descriptor).st_size - offset if length is None else length
                data = _read_exactly(descriptor, offset, wanted)
            finally:
                os.close(descriptor)
        if len(data) != wanted:
            raise EOFError(f"{path}: {len(data)} bytes at {offset} where {wanted} were expected")
        return data

    def size(self, kind: Kind, name: str) -> int:
        path = self._path(kind, name)
        with _translated(path):
            return os.stat(path).st_size

    def list(self, kind: Kind) -> Iterator[tuple[str, int]]:
        if kind is Kind.CONFIG:
            with contextlib.suppress(FileNotFoundError):
                yield "config", self.size(kind, "config")
            return
        folder = str(self._root / kind.value)
        with _translated(folder):
            if kind is not Kind.DATA:
                yield from _list_folder(folder)
                return
            with os.scandir(folder) as prefixes:
                for prefix in prefixes:
                    if prefix.is_dir(follow_symlinks=False):
                        yield from _list_folder(prefix.path)

    def remove(self, kind: Kind, name: str) -> None:
        path = self._path(kind, name)
        with _translated(path):
            os.unlink(path)

    def is_retained(self, kind: Kind, name: str) -> bool:
        return False

    def renew(self, kind: Kind, name: str, days: int) -> bool:
        return False

    def sweep(self) -> int:
        removed = 0
        with _translated(self.location):
            for folder, _, names in os.walk(self._root):
                for name in names:
                    if TEMPORARY_MARK in name:
                        os.unlink(os.path.join(folder, name))
                        removed += 1
        return removed

    def close(self) -> None:
        pass

    def _path(self, kind: Kind, name: str) -> str:
        return f"{self._root}/{relative_path(kind, name)}"

    def _mode(self, private: int) -> int:
        """Owner's bits, and the same for the group where the root folder lets the group in."""
        with contextlib.suppress(FileNotFoundError):
            if self._root.stat().st_mode & stat.S_IRWXG == stat.S_IRWXG:
                return private | private >> 3
        return private

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        if not folder.parent.is_dir():
            self._make_folder(folder.parent)
        folder.mkdir(mode=self._mode(0o700), exist_ok=True)
        ownership.follow(folder)
        _sync_folder(str(folder.parent))

    def _write(self, folder: str, path: str, data: Buffer) -> None:
        temporary = f"{path}{TEMPORARY_MARK}{os.urandom(6).hex()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(temporary, flags, 0o600)
        try:
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(descriptor, view) :]
                os.fchmod(descriptor, self._mode(0o400))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            ownership.follow(temporary)
            os.rename(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        _sync_folder(folder)


@contextlib.contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error


def _list_folder(folder: str) -> Iterator[tuple[str, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if len(entry.name) == HASH_NAME_LENGTH:
                with contextlib.suppress(FileNotFoundError):  # removed by somebody while we list
                    yield entry.name, entry.stat().st_size


def _read_exactly(descriptor: int, offset: int, wanted: int) -> bytes:
    data = os.pread(descriptor, max(wanted, 0), offset)
    if len(data) == wanted or not data:
        return data
    parts = [data]  # one read gives at most 2 GiB, and less on some network file systems
    have = len(data)
    while have < wanted and (part := os.pread(descriptor, wanted - have, offset + have)):
        parts.append(part)
        have += len(part)
    return b"".join(parts)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
