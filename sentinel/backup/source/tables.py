"""One table out of a database dump, as SQL, without any server.

In: an opener for the parts of a snapshot and a table's name. Out: SQL on a stream. PostgreSQL's own pg_restore reads its
format; a MariaDB dump is text with a heading for each table; a SQLite dump is a database.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from sentinel import process
from sentinel.backup.source import mariadb, postgresql, sqlite
from sentinel.errors import ProgramError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sentinel.backup.source.source import Opener


def table_dump(parts: Opener, paths: Collection[str], table: str, out: IO[bytes]) -> None:
    for part, write in WRITERS.items():
        if part in paths:
            write(parts, table, out)
            return
    raise SourceError("this snapshot holds no dump of which one table could be taken")


def _postgresql(parts: Opener, table: str, out: IO[bytes]) -> None:
    schema, _, name = table.rpartition(".")
    which = [f"--table={name}", *([f"--schema={schema}"] if schema else [])]
    with parts(postgresql.DUMP_PART) as source, tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(source, copy, 1 << 20)  # pg_restore seeks
        copy.seek(0)
        try:
            with process.stream(["pg_restore", "--no-owner", *which, "--file=-"], stdin=copy) as lines:
                sql = lines.read()
        except ProgramError as error:
            raise SourceError(f"postgresql: {error}") from error
    if b"CREATE TABLE" not in sql:
        raise SourceError(f"postgresql: there is no table {table!r} in the dump")
    out.write(sql)


def _mariadb(parts: Opener, table: str, out: IO[bytes]) -> None:
    heading = b"-- Table structure for table `" + table.replace("`", "``").encode() + b"`"
    inside, found = False, False
    with parts(mariadb.DUMP_PART) as source:
        for line in source:
            if line.startswith(
                (b"-- Table structure for table `", b"-- Temporary table structure", b"-- Dumping routines")
            ):
                inside = line.rstrip() == heading
                found = found or inside
            if inside:
                out.write(line)
    if not found:
        raise SourceError(f"mariadb: there is no table {table!r} in the dump")


def _sqlite(parts: Opener, table: str, out: IO[bytes]) -> None:
    with tempfile.TemporaryDirectory(prefix="sentinel-sqlite-") as directory:
        path = Path(directory) / "copy.db"
        with parts(sqlite.DATABASE_PART) as source, path.open("wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            create = connection.execute(
                "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)
            ).fetchone()
            if create is None:
                raise SourceError(f"sqlite: there is no table {table!r} in the dump")
            out.write(f"{create[0]};\n".encode())
            name = '"' + table.replace('"', '""') + '"'
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
            values = " || ', ' || ".join('quote("' + column.replace('"', '""') + '")' for column in columns)
            query = f"SELECT {values} FROM {name}"  # noqa: S608 - quoted names
            for (line,) in connection.execute(query):
                out.write(f"INSERT INTO {name} VALUES ({line});\n".encode())  # noqa: S608


WRITERS: dict[str, Callable[[Opener, str, IO[bytes]], None]] = {
    postgresql.DUMP_PART: _postgresql,
    mariadb.DUMP_PART: _mariadb,
    sqlite.DATABASE_PART: _sqlite,
}
