"""Many patterns over many bytes at once; the only importer of Hyperscan.

Patterns and bytes in, (pattern number, end offset) pairs out. What Hyperscan finds is a superset of what the patterns
mean: constructs it lacks (lookaround, backreferences ...) are compiled in its prefilter mode. A pattern that it
cannot take at all is listed in `refused`, and its owner evaluates without it. Compiled databases are kept in a
folder of the user's cache when one is given, under a hash of all that went in and of Hyperscan's version.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any

import hyperscan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Pattern:
    """`multiline`: ^ and $ also stand at line ends. `single`: at most one report a scan."""

    expression: bytes
    caseless: bool = False
    dotall: bool = False
    multiline: bool = False
    single: bool = False

    @property
    def flags(self) -> int:
        chosen = (
            (self.caseless, hyperscan.HS_FLAG_CASELESS),
            (self.dotall, hyperscan.HS_FLAG_DOTALL),
            (self.multiline, hyperscan.HS_FLAG_MULTILINE),
            (self.single, hyperscan.HS_FLAG_SINGLEMATCH),
        )
        return sum(flag for wanted, flag in chosen if wanted)


@dataclass(slots=True)
class Prefilter:
    """Compiled patterns; `scan` may be called by one thread at a time."""

    refused: list[int] = field(default_factory=list)
    _database: Any = None

    @classmethod
    def compile(cls, patterns: Sequence[Pattern], cache: Path | None = None) -> Prefilter:
        made = cls()
        stored = cache / f"{_digest(patterns)}.hsdb" if cache is not None else None
        if stored is not None and made._load(stored):
            return made
        flags = [pattern.flags for pattern in patterns]
        database = _database(patterns, flags, range(len(patterns)))
        if database is None:
            database = made._compile_singly(patterns, flags)
        made._database = database
        if stored is not None:
            made._store(stored)
        return made

    def _compile_singly(self, patterns: Sequence[Pattern], flags: list[int]) -> Any:
        """Some pattern is beyond Hyperscan: find which, try each in prefilter mode, leave out what remains."""
        for number, pattern in enumerate(patterns):
            for extra in (0, hyperscan.HS_FLAG_PREFILTER):
                if _database([pattern], [flags[number] | extra], [0]) is not None:
                    flags[number] |= extra
                    break
            else:
                self.refused.append(number)
        numbers = [number for number in range(len(patterns)) if number not in set(self.refused)]
        return _database([patterns[n] for n in numbers], [flags[n] for n in numbers], numbers)

    def scan(self, data: bytes) -> tuple[list[int], list[int]]:
        """Numbers of the patterns found and where each match ends."""
        numbers: list[int] = []
        ends: list[int] = []
        if self._database is None or not data:
            return numbers, ends
        add_number, add_end = numbers.append, ends.append

        def found(number: int, start: int, end: int, flags: int, context: object) -> None:
            add_number(number)
            add_end(end)

        self._database.scan(data, match_event_handler=found)
        return numbers, ends

    def _load(self, stored: Path) -> bool:
        try:
            blob = stored.read_bytes()
            header, _, body = blob.partition(b"\n")
            database = hyperscan.loadb(body, hyperscan.HS_MODE_BLOCK)
            database.scratch = hyperscan.Scratch(database)
        except (OSError, ValueError, hyperscan.HyperscanError):
            return False
        self.refused = [int(number) for number in header.split()]
        self._database = database
        return True

    def _store(self, stored: Path) -> None:
        if self._database is None:
            return
        header = " ".join(map(str, self.refused)).encode() + b"\n"
        partial = stored.with_suffix(".new")
        try:
            stored.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(header + hyperscan.dumpb(self._database))
            partial.replace(stored)
        except OSError:
            with contextlib.suppress(OSError):
                partial.unlink()  # a cache that cannot be written costs time, nothing else


def _digest(patterns: Sequence[Pattern]) -> str:
    digest = hashlib.blake2b(f"1 {metadata.version('hyperscan')}".encode(), digest_size=16)
    for pattern in patterns:
        digest.update(b"%d %d " % (pattern.flags, len(pattern.expression)) + pattern.expression)
    return digest.hexdigest()


def _database(patterns: Sequence[Pattern], flags: Sequence[int], numbers: Sequence[int]) -> Any:
    if not patterns:
        return None
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    try:
        database.compile([pattern.expression for pattern in patterns], ids=list(numbers), flags=list(flags))
    except hyperscan.HyperscanError:
        return None
    return database
