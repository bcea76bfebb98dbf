"""A new set of rule files in place of an old one, checked before it is swapped in; nothing is copied in between.

In: a folder or archive, the target folder, and how to load. Out: a report. Archives are unpacked without trusting
their names: only regular *.rules, *.config, *.csv, *.lst files below the target, of bounded size, ever come out.
"""

from __future__ import annotations

import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from sentinel.errors import InvalidInputError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sentinel.detect.load import Loaded

SUFFIXES = {".rules", ".config", ".csv", ".lst"}
SIZE_LIMIT = 512 * 1024 * 1024  # unpacked; ET Open is about 50 MB
LEAST_LOADED = 0.9  # of all rules, or the update is refused: a broken download must not disarm a host


@dataclass(frozen=True, slots=True)
class Report:
    loaded: int
    failed: int
    added: int
    removed: int


def install(source: Path, target: Path, load: Callable[[Path], Loaded]) -> Report:
    if not source.exists():
        raise InvalidInputError([Problem(str(source), 0, "no such file or folder")])
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        fresh = Path(scratch) / "new"
        fresh.mkdir()
        for name, content in _members(source):
            place = fresh / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        loaded = load(fresh)
        if not loaded.rules or len(loaded.rules) < LEAST_LOADED * (len(loaded.rules) + len(loaded.failed)):
            problems = [failure.problem() for failure in loaded.failed[:20]]
            raise InvalidInputError(problems or [Problem(str(source), 0, "holds no rules")])
        before = {rule.sid for rule in load(target).rules} if target.is_dir() else set()
        after = {rule.sid for rule in loaded.rules}
        old = Path(scratch) / "old"
        if target.is_dir():
            target.rename(old)
        try:
            fresh.rename(target)
        except OSError:
            if old.is_dir():
                old.rename(target)
            raise
    return Report(len(loaded.rules), len(loaded.failed), len(after - before), len(before - after))


def _members(source: Path) -> Iterator[tuple[str, bytes]]:
    total = 0
    for name, content in _raw_members(source):
        pure = PurePosixPath(name)
        if pure.suffix not in SUFFIXES or pure.is_absolute() or ".." in pure.parts:
            continue
        total += len(content)
        if total > SIZE_LIMIT:
            raise InvalidInputError([Problem(str(source), 0, f"unpacks to more than {SIZE_LIMIT} bytes")])
        yield name, content


def _raw_members(source: Path) -> Iterator[tuple[str, bytes]]:
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            if path.is_file():
                yield path.relative_to(source).as_posix(), path.read_bytes()
        return
    try:
        if zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as archive:
                for info in archive.infolist():
                    if not info.is_dir() and info.file_size <= SIZE_LIMIT:
                        yield info.filename, archive.read(info)
        else:
            with tarfile.open(source) as archive_tar:
                for member in archive_tar:
                    file = (
                        archive_tar.extractfile(member)
                        if member.isreg() and member.size <= SIZE_LIMIT
                        else None
                    )
                    if file is not None:
                        yield member.name, file.read()
    except (tarfile.TarError, zipfile.BadZipFile, OSError) as error:
        raise InvalidInputError([Problem(str(source), 0, f"cannot be unpacked: {error}")]) from None
