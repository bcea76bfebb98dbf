"""Exactly once over kill -9: where each log stands and how long the journal is, in one transaction.

A batch's alerts are appended to the journal first, then its position and the journal's length are committed
together, and with them what correlations must remember of the batch. At start the journal is cut to the recorded
length: alerts of a batch that was never committed go, and because its position was not committed either, its lines are
read and written again. Either all of it happened or nothing.
"""

from __future__ import annotations

import json
import secrets
import time
from typing import TYPE_CHECKING, Any, Protocol

from sentinel.capture.position import Position

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from sentinel.capture.tail import Tail
    from sentinel.model import Alert
    from sentinel.state import State

    Change = tuple[str, bool, bytes]  # a correlation, whether this replaces all before it, and its bytes

FILE_KEY = "log:"  # checkpoint rows of files, of patterns that were followed before, and of the journal
PATTERN_KEY = "log-pattern:"
JOURNAL_KEY = "log-journal:"
MEMORY_KEY = "log-memory"


class Journal(Protocol):
    """What the log plane asks of the journal it alone writes."""

    path: Path

    def append(self, alerts: Sequence[Alert]) -> int: ...

    def length(self) -> int: ...

    def truncate(self, length: int) -> None: ...

    def sync(self) -> None: ...


class Checkpoint:
    """Stores positions; `resume` first, then `commit` once for each batch."""

    def __init__(self, state: State, journal: Journal) -> None:
        self._state = state
        self._journal = journal

    def resume(self) -> tuple[dict[str, Any], frozenset[str]]:
        """Cut the journal to what was committed; the positions and the patterns known before."""
        record = self._state.checkpoint(JOURNAL_KEY + str(self._journal.path))
        if isinstance(record, dict) and record.get("inode") == self._inode():
            self._journal.truncate(int(record["length"]))
        rows = self._state.read("SELECT source, position FROM checkpoint WHERE source LIKE 'log%:%'")
        stored = {row["source"]: json.loads(row["position"]) for row in rows}
        positions = {
            key.removeprefix(FILE_KEY): value for key, value in stored.items() if key.startswith(FILE_KEY)
        }
        begun = {key.removeprefix(PATTERN_KEY) for key in stored if key.startswith(PATTERN_KEY)}
        return positions, frozenset(begun)

    def begin(self, tail: Tail) -> None:
        """Remember what is followed and from where, before the first line: a kill now loses nothing."""
        positions = {FILE_KEY + path: _plain(position) for path, position in tail.positions().items()}
        patterns = {PATTERN_KEY + pattern: True for pattern in tail.patterns}
        self._save({**positions, **patterns}, self._journal.length())

    def secret(self) -> bytes:
        """The key of what is stored as hashes; made at the first start."""
        found = self._state.checkpoint(MEMORY_KEY)
        if not isinstance(found, str):
            found = secrets.token_hex(32)
            self._state.save_checkpoint(MEMORY_KEY, found)
        return bytes.fromhex(found)

    def memory(self) -> list[Change]:
        """What correlations remembered at the last commit, in the order in which it was stored."""
        rows = self._state.read("SELECT name, whole, data FROM correlation ORDER BY sequence")
        return [(row["name"], bool(row["whole"]), row["data"]) for row in rows]

    def commit(
        self, source: str, position: object, alerts: Sequence[Alert], memory: Sequence[Change] = ()
    ) -> None:
        """After a batch: its alerts into the journal, then its position, the journal's length and `memory`."""
        length = self._journal.append(alerts)
        if alerts:
            self._journal.sync()
        self._save({FILE_KEY + source: _plain(position)}, length, memory)

    def note(self, alerts: Sequence[Alert]) -> None:
        """Alerts that belong to no line."""
        length = self._journal.append(alerts)
        self._journal.sync()
        self._save({}, length)

    def _save(self, rows: dict[str, Any], length: int, memory: Sequence[Change] = ()) -> None:
        rows[JOURNAL_KEY + str(self._journal.path)] = {"inode": self._inode(), "length": length}
        now = time.time_ns()
        with self._state.write() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO checkpoint VALUES (?, ?, ?)",
                [(source, json.dumps(value), now) for source, value in rows.items()],
            )
            replaced = [(name,) for name, whole, _ in memory if whole]
            connection.executemany("DELETE FROM correlation WHERE name = ?", replaced)
            connection.executemany("INSERT INTO correlation (name, whole, data) VALUES (?, ?, ?)", memory)

    def forget_memory(self, keep: Iterable[str]) -> None:
        """Windows of correlations that are no longer in force, or mean something else now."""
        gone = {name for name, _, _ in self.memory()} - set(keep)
        with self._state.write() as connection:
            connection.executemany("DELETE FROM correlation WHERE name = ?", [(name,) for name in gone])

    def forget(self, sources: Iterable[str]) -> None:
        """Positions of files that are no longer followed."""
        with self._state.write() as connection:
            connection.executemany(
                "DELETE FROM checkpoint WHERE source = ?", [(FILE_KEY + source,) for source in sources]
            )

    def _inode(self) -> int:
        try:
            return self._journal.path.stat().st_ino
        except OSError:
            return 0


def _plain(position: object) -> object:
    """A file's position as JSON has it; the systemd journal's is that already."""
    return position.to_json() if isinstance(position, Position) else position
