"""Set a database's present content aside in a folder before a restore replaces it, and load it from there again.

In: a source, a folder. Out: the parts of its dump as files. Invariant: the folder is complete or it is not there: it is
filled under another name and renamed at the end.
"""

from __future__ import annotations

import contextlib
import shutil
from typing import IO, TYPE_CHECKING

from sentinel.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sentinel.backup.source.source import Opener, Source


def save(source: Source, folder: Path) -> int:
    """Bytes written."""
    if folder.exists():
        raise SourceError(f"{folder} exists already")
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    written = 0
    try:
        with source.dump() as parts:
            for part in parts:
                path = partial / part.path.lstrip("/")
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                with part.open() as stream, path.open("wb") as file:
                    shutil.copyfileobj(stream, file, 1 << 20)
                    written += file.tell()
        partial.rename(folder)
    except OSError as error:
        raise SourceError(f"{folder}: {error.strerror or error}") from error
    return written


def saved(folder: Path) -> Opener:
    @contextlib.contextmanager
    def opened(path: str) -> Iterator[IO[bytes]]:
        try:
            file = (folder / path.lstrip("/")).open("rb")
        except OSError as error:
            raise SourceError(f"{folder}{path}: {error.strerror}") from error
        with file:
            yield file

    return opened
