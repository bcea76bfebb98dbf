"""SQLite state that outlives every process: checkpoints, bans, job and drill history, what each component is doing.

One file, WAL mode, so that readers (`sentinel status`, metrics) never wait for writers. All tables are declared
here; a new column or table is appended to MIGRATIONS, which run in order once. Times are integer nanoseconds
since the epoch (UTC), `detail` columns hold JSON.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any

from sentinel import ownership
from sentinel.errors import SentinelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

FILE_NAME = "state.db"
BUSY_SECONDS = 10.0  # a writer waits this long for another writer before it fails

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE checkpoint (source TEXT PRIMARY KEY, position TEXT NOT NULL, updated INTEGER NOT NULL);
    CREATE TABLE component (
        name TEXT PRIMARY KEY, pid INTEGER NOT NULL, state TEXT NOT NULL, since INTEGER NOT NULL,
        updated INTEGER NOT NULL, detail TEXT NOT NULL);
    CREATE TABLE ban (
        address TEXT PRIMARY KEY, added INTEGER NOT NULL, expires INTEGER NOT NULL, reason TEXT NOT NULL,
        rule_id TEXT NOT NULL, level INTEGER NOT NULL);
    CREATE TABLE ban_history (
        address TEXT NOT NULL, time INTEGER NOT NULL, action TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL);
    CREATE INDEX ban_history_address ON ban_history (address, time);
    CREATE TABLE firewall_version (
        version INTEGER PRIMARY KEY AUTOINCREMENT, applied INTEGER NOT NULL, state TEXT NOT NULL, author TEXT NOT NULL,
        reason TEXT NOT NULL, digest TEXT NOT NULL, ruleset TEXT NOT NULL, policy TEXT NOT NULL);
    CREATE TABLE job_run (
        id INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, started INTEGER NOT NULL, finished INTEGER,
        result TEXT NOT NULL, snapshot TEXT NOT NULL, detail TEXT NOT NULL);
    CREATE INDEX job_run_job ON job_run (job, started);
    CREATE TABLE drill_run (
        id INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, playbook TEXT NOT NULL, started INTEGER NOT NULL,
        finished INTEGER, result TEXT NOT NULL, snapshot TEXT NOT NULL, rto_seconds REAL, rpo_seconds REAL,
        detail TEXT NOT NULL);
    CREATE INDEX drill_run_job ON drill_run (job, started);
    CREATE TABLE playbook_run (
        id TEXT PRIMARY KEY, playbook TEXT NOT NULL, mode TEXT NOT NULL, started INTEGER NOT NULL, finished INTEGER,
        result TEXT NOT NULL, step INTEGER NOT NULL, detail TEXT NOT NULL);
    """,
    "CREATE INDEX ban_history_time ON ban_history (time)",
    """
    CREATE TABLE correlation (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, whole INTEGER NOT NULL, data BLOB NOT NULL);
    CREATE INDEX correlation_name ON correlation (name);
    """,
)


class State:
    """One connection per thread; `write` is a transaction that holds the write lock from its start.

    Who only looks (`reading`) makes none where there is none: it is empty then, and kept nowhere.
    """

    def __init__(self, directory: Path, *, reading: bool = False) -> None:
        self.path = directory / FILE_NAME
        self._local = threading.local()
        try:
            self._kept = not reading or self.path.exists()
            if not self._kept:
                self._migrate()
                return
            if not directory.exists():
                directory.mkdir(parents=True, exist_ok=True, mode=0o750)
                ownership.follow(directory)
            fresh = not self.path.exists()
            self._migrate()
            if fresh:
                self._hand_over()
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise SentinelError(f"{self.path}: state cannot be opened: {reason}") from error

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        return self._connection().execute(sql, parameters).fetchall()

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.rollback()
            raise
        connection.commit()

    def close(self) -> None:
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            del self._local.connection

    # --- what every component uses --------------------------------------------------------------------------

    def report(
        self, component: str, state: str, *, pid: int, since: int, detail: dict[str, Any] | None = None
    ) -> None:
        """Say what a component is doing; `sentinel status` reads it, also when the daemon is down."""
        with self.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO component VALUES (?, ?, ?, ?, ?, ?)",
                (component, pid, state, since, time.time_ns(), json.dumps(detail or {})),
            )

    def checkpoint(self, source: str) -> Any:
        rows = self.read("SELECT position FROM checkpoint WHERE source = ?", (source,))
        return json.loads(rows[0]["position"]) if rows else None

    def save_checkpoint(self, source: str, position: Any) -> None:
        with self.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO checkpoint VALUES (?, ?, ?)",
                (source, json.dumps(position), time.time_ns()),
            )

    # --- inside ---------------------------------------------------------------------------------------------

    def _connection(self) -> sqlite3.Connection:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self.path if self._kept else ":memory:", timeout=BUSY_SECONDS, isolation_level=None
            )
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            self._local.connection = connection
        return connection

    def _hand_over(self) -> None:
        """SQLite itself gives later side files the owner of the database."""
        for path in self.path.parent.glob(f"{FILE_NAME}*"):
            ownership.follow(path)

    def _migrate(self) -> None:
        with self.write() as connection:
            done = connection.execute("PRAGMA user_version").fetchone()[0]
            for script in MIGRATIONS[done:]:
                for statement in script.split(";"):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
