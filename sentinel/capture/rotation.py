"""The generations of a rotated log, oldest first, and where in them a checkpoint stands.

In: the live path and a Position. Out: the segments still to read: the rest of the generation the position is in
(wherever it went: renamed, copied, compressed), every newer one whole, and the live file last. Names are those of
logrotate, newsyslog, cronolog and multilog: `name.1`, `name-20260302`, `name.2026-03-02`, each perhaps with .gz,
.bz2 or .xz, and `stem-20260302.log`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sentinel.capture.logfile import open_archive
from sentinel.capture.position import HEAD_BYTES, hash_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sentinel.capture.position import Position

STAMP = (
    r"(?P<number>\d{1,4})|(?P<date>\d{8}(?:[-_T.]?\d{2,6})?|\d{4}-\d\d(?:-\d\d)?(?:[-_T.]\d[\d-]*)?|\d{10})"
)
ARCHIVE = r"(?P<archive>\.(?:gz|bz2|xz))?"
SNAPSHOTS = 5  # looks at a directory until two agree; renaming all generations takes microseconds
MOST_GENERATIONS = 1000  # files looked at in one directory; a directory with more is no log directory


@dataclass(frozen=True, slots=True)
class Segment:
    """A file still to read. `position` is None where nothing of it was read yet; `before` marks the generation
    before it. A path is good only for the moment: at the next rotation it names another file.
    """

    path: Path
    position: Position | None = None
    inode: int = 0
    live: bool = False
    before: str = ""


def generations(path: Path) -> list[Path]:
    """Rotated files of a log, oldest first. A file and its archive side by side count once, as the file."""
    shape = re.compile(
        rf"{re.escape(path.name)}[.-](?:{STAMP}|old){ARCHIVE}"
        if not path.suffix
        else rf"(?:{re.escape(path.name)}[.-](?:{STAMP}|old){ARCHIVE}"
        rf"|{re.escape(path.stem)}[-.](?P<date2>\d[\d_T.-]{{5,}}\d){re.escape(path.suffix)}(?P<archive2>\.(?:gz|bz2|xz))?)"
    )
    found: list[tuple[tuple[int, str, int], Path]] = []
    try:
        entries = [entry for entry in path.parent.iterdir() if entry.name.startswith(path.stem)]
        names = {entry.name for entry in entries}
        for entry in entries[:MOST_GENERATIONS]:
            match = shape.fullmatch(entry.name)
            if match is None:
                continue
            parts = match.groupdict()
            archive = parts.get("archive") or parts.get("archive2") or ""
            if archive and entry.name.removesuffix(archive) in names:
                continue
            found.append((_age(parts, entry), entry))
    except OSError:
        return []
    return [entry for _, entry in sorted(found, key=lambda item: item[0])]


def _age(parts: dict[str, str | None], entry: Path) -> tuple[int, str, int]:
    """Sorts oldest first: by date in the name, then by number (the higher the older), else by modification time."""
    date = parts.get("date") or parts.get("date2")
    if date:
        return 0, date, 0
    if parts.get("number"):
        return 1, "", -int(parts["number"] or 0)
    return 1, "", -entry.stat().st_mtime_ns


def segments(path: Path, position: Position | None) -> list[Segment]:
    """What is still to read, in order. Empty while there is neither the live file nor a generation of ours."""
    found = _snapshot(path)
    if found is None:
        return []
    rotated, inodes = found
    now = _inode(path)
    live = [Segment(path, None, now, live=True, before=_last_mark(rotated))] if now else []
    if position is None:
        return live
    here = bool(live) and is_at(path, position)
    mine = _find(rotated, position) if position.offset and not here else None
    if mine is not None:
        first = mine + 1
    elif here and position.offset:
        first = len(rotated)
    else:
        first = _unseen(rotated, position)
    newer = [
        Segment(rotated[i], None, inodes[i], before=_last_mark(rotated[:i]))
        for i in range(first, len(rotated))
        if _head(rotated[i])  # an empty one has nothing to read, and nothing to be known by
    ]
    if here:
        return [*newer, replace(live[0], position=position)]
    old = [Segment(rotated[mine], position, inodes[mine])] if mine is not None else []
    return [*old, *newer, *live]


def _snapshot(path: Path) -> tuple[list[Path], list[int]] | None:
    """The generations and their inodes; None while a rotation is shifting their names."""
    rotated: list[Path] = []
    inodes: list[int] = []
    for _ in range(SNAPSHOTS):
        last = rotated, inodes
        rotated = generations(path)
        inodes = [_inode(entry) for entry in rotated]
        if (rotated, inodes) == last and 0 not in inodes:
            return last
    return None


def mark(path: Path) -> str:
    """What a generation is known by wherever it goes: how many of its first bytes, and their hash; "" when empty."""
    head = _head(path)
    return f"{len(head)}:{hash_of(head)}" if head else ""


def is_newest(path: Path, after: str) -> bool:
    """Whether the generation marked `after` is still the newest that holds anything ("": there is none)."""
    last = next(filter(_head, reversed(generations(path))), None)
    return _marked(last, after) if last is not None else not after


def _marked(path: Path, after: str) -> bool:
    size, _, digest = after.partition(":")
    return bool(digest) and size.isdigit() and hash_of(_head(path)[: int(size)]) == digest


def _last_mark(rotated: Sequence[Path]) -> str:
    return next(filter(None, map(mark, reversed(rotated))), "")


def _unseen(rotated: Sequence[Path], position: Position) -> int:
    """Index of the first generation that appeared since the position's file was begun. Generations are deleted
    oldest first: where the one known then is gone, all that are left are newer.
    """
    for i in range(len(rotated) - 1, -1, -1):
        if _marked(rotated[i], position.after):
            return i + 1
    return 0


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as stored, open_archive(stored) as file:
            return file.read(HEAD_BYTES)
    except (OSError, EOFError):
        return b""


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _find(rotated: Sequence[Path], position: Position) -> int | None:
    """Index of the generation the position is in: the same inode, else the newest with the same beginning."""
    same = [i for i, entry in enumerate(rotated) if is_at(entry, position)]
    if same:
        return same[-1]
    alike = [i for i, entry in enumerate(rotated) if _begins(entry, position)]
    return alike[-1] if alike else None


def is_at(path: Path, position: Position) -> bool:
    """Whether this very file was read up to the position."""
    try:
        status = path.stat()
    except OSError:
        return False
    if (status.st_dev, status.st_ino) != (position.device, position.inode):
        return False
    return position.head_bytes == 0 or _begins(path, position)


def _begins(path: Path, position: Position) -> bool:
    if position.head_bytes == 0:
        return False  # nothing was read of it: no telling whether another file is the same
    if path.suffix not in {".gz", ".bz2", ".xz"} and _size(path) < position.offset:
        return False
    return position.begins(_head(path))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
