"""SQLite: a consistent copy of a live database through the online backup API, and a restore that is atomic.

In: the database file. Out: its copy at one moment (also in WAL mode, with writers at work) and what was measured in
that copy. A load writes beside the target, checks the copy's integrity and renames it into place; the -wal and -shm
files of the database it replaces must go, or SQLite would replay them into the new one (sqlite.org/howtocorrupt).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel.backup.source.invariants import Invariants, Table
from sentinel.backup.source.source import INVARIANTS_PART, Opener, Part, bytes_part
from sentinel.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

DATABASE_PART = "/sqlite/database.db"
PAGES_PER_STEP = 4096  # the source is locked for one step at a time, so writers get through in between
BUSY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Sqlite:
    path: Path
    sample_rows: int = 1000

    @property
    def kind(self) -> str:
        return "sqlite"

    def probe(self) -> str:
        if not self.path.is_file():
            raise SourceError(f"sqlite: {self.path}: there is no such database")
        with self._opened(self.path) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return self.address()

    def address(self) -> str:
        return f"sqlite:{self.path.resolve()}"

    @contextlib.contextmanager
    def dump(self) -> Iterator[list[Part]]:
        self.probe()
        with tempfile.TemporaryDirectory(prefix="sentinel-sqlite-") as directory:
            copy = Path(directory) / "copy.db"
            moment = time.time_ns()
            self._copy(copy)
            yield [
                Part(DATABASE_PART, lambda: copy.open("rb")),
                bytes_part(INVARIANTS_PART, lambda: self._measure(copy, moment).encode()),
            ]

    def load(self, parts: Opener, *, replace: bool) -> None:
        if self.path.exists() and not replace:
            raise SourceError(f"sqlite: {self.path} exists already; name another target or force it")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}.restoring")
        try:
            with parts(DATABASE_PART) as source, beside.open("wb") as copy:
                if self.path.exists():
                    shutil.copymode(self.path, beside)
                    _copy_owner(self.path, beside)
                shutil.copyfileobj(source, copy, 1 << 20)
                copy.flush()
                os.fsync(copy.fileno())
            self._intact(beside)
            for suffix in ("-wal", "-shm", "-journal"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            beside.replace(self.path)
        except OSError as error:
            raise SourceError(f"sqlite: {self.path}: {error.strerror or error}") from error
        finally:
            beside.unlink(missing_ok=True)

    def measure(self) -> Invariants:
        self.probe()
        return self._measure(self.path, time.time_ns())

    def ask(self, query: str) -> str:
        with self._opened(self.path) as connection:
            rows = connection.execute(query).fetchall()
        return "\n".join("|".join("" if cell is None else str(cell) for cell in row) for row in rows)

    # --- inside ---------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _opened(self, path: Path) -> Iterator[sqlite3.Connection]:
        try:
            connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)
        except sqlite3.Error as error:
            raise SourceError(f"sqlite: {path}: {error}") from error
        connection.text_factory = bytes  # text in a damaged or foreign encoding is still data
        try:
            yield connection
        except sqlite3.Error as error:
            raise SourceError(f"sqlite: {path}: {error}") from error
        finally:
            connection.close()

    def _copy(self, copy: Path) -> None:
        with self._opened(self.path) as source, contextlib.closing(sqlite3.connect(copy)) as target:
            source.backup(target, pages=PAGES_PER_STEP)
            # The copy must be one file: a database in WAL mode would ask for its companions.
            target.execute("PRAGMA journal_mode = DELETE")

    def _intact(self, path: Path) -> None:
        if path.stat().st_size == 0:
            raise SourceError("sqlite: the dump is empty")  # which SQLite takes for a database without tables
        with self._opened(path) as connection:
            verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if verdict != b"ok":
            raise SourceError(f"sqlite: the dump is damaged: {verdict.decode('utf-8', 'replace')}")

    def _measure(self, path: Path, moment: int) -> Invariants:
        with self._opened(path) as connection:
            objects = connection.execute("SELECT type, name FROM sqlite_master ORDER BY name").fetchall()
            names = [name.decode() for kind, name in objects if kind == b"table"]
            tables = {name: self._table(connection, name) for name in names if not _hidden(connection, name)}
            facts = {
                "indexes": sum(kind == b"index" for kind, _ in objects),
                "views": sum(kind == b"view" for kind, _ in objects),
                "triggers": sum(kind == b"trigger" for kind, _ in objects),
                "foreign_keys": sum(_foreign_keys(connection, name) for name in tables),
                "foreign_key_violations": len(connection.execute("PRAGMA foreign_key_check").fetchall()),
                "user_version": connection.execute("PRAGMA user_version").fetchone()[0],
            }
        return Invariants(self.kind, moment, tables, facts)

    def _table(self, connection: sqlite3.Connection, name: str) -> Table:
        table = _quoted(name)
        rows = int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - quoted names
        key = _primary_key(connection, name)
        order = ", ".join(map(_quoted, key)) or "rowid"
        back = ", ".join(f"{_quoted(column)} DESC" for column in key) or "rowid DESC"
        digest, taken = hashlib.sha256(), 0
        for direction in (order, back):
            query = f"SELECT * FROM {table} ORDER BY {direction} LIMIT {self.sample_rows}"  # noqa: S608
            for row in connection.execute(query):
                digest.update(repr(row).encode())
                taken += 1
        highest = None
        if len(key) <= 1 and rows:
            value = connection.execute(f"SELECT max({order}) FROM {table}").fetchone()[0]  # noqa: S608
            highest = str(value) if isinstance(value, int) else None
        return Table.exactly(rows, highest_id=highest, sample=digest.hexdigest(), sampled=min(taken, rows))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _primary_key(connection: sqlite3.Connection, table: str) -> list[str]:
    columns = connection.execute(f"PRAGMA table_info({_quoted(table)})").fetchall()
    ranked = sorted((column[5], column[1].decode()) for column in columns if column[5])
    return [name for _, name in ranked]


def _foreign_keys(connection: sqlite3.Connection, table: str) -> int:
    return len(connection.execute(f"PRAGMA foreign_key_list({_quoted(table)})").fetchall())


def _hidden(connection: sqlite3.Connection, table: str) -> bool:
    """Virtual tables and their shadows hold no rows of their own that this SQLite may know how to read."""
    rows = connection.execute(f"PRAGMA table_list({_quoted(table)})").fetchall()
    return any(row[2] in {b"virtual", b"shadow"} for row in rows)


def _copy_owner(model: Path, target: Path) -> None:
    owner = model.stat()
    with contextlib.suppress(PermissionError):
        os.chown(target, owner.st_uid, owner.st_gid)
