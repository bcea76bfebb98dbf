"""MariaDB and MySQL: one database through mariadb-dump, and the invariants of the same moment.

In: a server and a database. Out: SQL text and measurements. Invariant: dump and measurements see the same moment: a
global read lock is held just until both transactions have their view (as mydumper does), or to the end of the dump
where a table's engine knows no transactions. An account without the RELOAD privilege gets ranges instead (measured
before and after). Passwords stand in an options file of mode 0600 (--defaults-extra-file), never in arguments.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import tempfile
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from sentinel import process
from sentinel.backup.source import client
from sentinel.backup.source.client import END, Session, as_source_error
from sentinel.backup.source.invariants import Invariants, Table, between
from sentinel.backup.source.source import INVARIANTS_PART, Opener, Part, bytes_part
from sentinel.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ACCOUNTS_PART = "/mariadb/accounts.sql"
PROPERTIES_PART = "/mariadb/database.json"
DUMP_PART = "/mariadb/database.sql"
MARK = f"SELECT '{END}';"
LOCK_WAIT_SECONDS = 60  # FLUSH TABLES WITH READ LOCK waits behind long statements, and writers wait behind it
STARTED = b"Table structure"  # mariadb-dump writes this only after its own transaction began
STARTED_WITHIN_BYTES = 1 << 20
UNKEYED_ROWS = 100_000
ACCOUNTS_SECONDS = 600
log = logging.getLogger("sentinel.backup")
INTEGERS = {"tinyint", "smallint", "mediumint", "int", "bigint"}

SESSION = (
    "SET NAMES utf8mb4; SET time_zone = '+00:00'; SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ;"
)
COLUMNS = """
SELECT JSON_OBJECT('table', t.TABLE_NAME, 'engine', t.ENGINE, 'column', c.COLUMN_NAME, 'type', c.DATA_TYPE,
  'key', COALESCE((SELECT s.SEQ_IN_INDEX FROM information_schema.STATISTICS s WHERE s.TABLE_SCHEMA = t.TABLE_SCHEMA
    AND s.TABLE_NAME = t.TABLE_NAME AND s.INDEX_NAME = 'PRIMARY' AND s.COLUMN_NAME = c.COLUMN_NAME), 0))
FROM information_schema.TABLES t JOIN information_schema.COLUMNS c USING (TABLE_SCHEMA, TABLE_NAME)
WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_TYPE = 'BASE TABLE' ORDER BY t.TABLE_NAME, c.ORDINAL_POSITION;
"""
FACTS = """
SELECT JSON_OBJECT(
  'foreign_keys', (SELECT COUNT(*) FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE()),
  'indexes', (SELECT COUNT(DISTINCT TABLE_NAME, INDEX_NAME) FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE()),
  'views', (SELECT COUNT(*) FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()),
  'routines', (SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE()),
  'triggers', (SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()),
  'events', (SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()));
"""
ACCOUNTS = "SELECT JSON_ARRAY(User, Host) FROM mysql.user;"
PROPERTIES = """
SELECT JSON_OBJECT('charset', DEFAULT_CHARACTER_SET_NAME, 'collation', DEFAULT_COLLATION_NAME)
FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = DATABASE();
"""


@dataclass(frozen=True, slots=True)
class Mariadb:
    """`host` may be a socket's path. `foreign` says that the target is another server: accounts come from the dump."""

    database: str
    host: str | None = None
    port: int | None = None
    user: str | None = None
    password: str | None = None
    accounts: bool = True
    foreign: bool = False
    sample_rows: int = 1000

    @property
    def kind(self) -> str:
        return "mariadb"

    def probe(self) -> str:
        with self._session(self.database) as session:
            session.ask("SELECT 1;")
        return self.address()

    def address(self) -> str:
        with self._session() as session:
            (server,) = session.ask("SELECT JSON_ARRAY(@@hostname, @@datadir);")
        return f"mariadb:{':'.join(server)}/{self.database}"

    @contextlib.contextmanager
    def dump(self) -> Iterator[list[Part]]:
        self.probe()
        with contextlib.ExitStack() as stack:
            session = stack.enter_context(self._session(self.database))
            moment = time.time_ns()
            locked = self._may_lock()
            before = None
            if locked:
                session.ask(
                    f"SET SESSION lock_wait_timeout = {LOCK_WAIT_SECONDS}; FLUSH TABLES WITH READ LOCK;"
                )
                session.ask("START TRANSACTION WITH CONSISTENT SNAPSHOT;")
            else:
                before = self.measure()

            def unlock() -> None:
                if locked:
                    session.ask("UNLOCK TABLES;")

            def invariants() -> bytes:
                measured = (
                    self._measure(session, moment)
                    if locked
                    else between(before or self.measure(), self.measure())
                )
                return measured.encode()

            plain = any(row["engine"] != "InnoDB" for row in session.ask(COLUMNS))
            parts = [
                bytes_part(PROPERTIES_PART, lambda: json.dumps(session.ask(PROPERTIES)[0]).encode()),
                Part(DUMP_PART, lambda: self._dumping(unlock, to_the_end=plain)),
                bytes_part(INVARIANTS_PART, invariants),
            ]
            if self.accounts and self._may_read_accounts():
                parts.insert(2, Part(ACCOUNTS_PART, self._dumping_accounts))
            yield parts

    def load(self, parts: Opener, *, replace: bool) -> None:
        name = _quoted(self.database)
        with self._session() as session:
            exists = _found(session, self.database)
            if exists and not replace:
                raise SourceError(
                    f"mariadb: database {self.database!r} exists already; name another target or force it"
                )
            with parts(PROPERTIES_PART) as source:
                properties = json.loads(source.read())
            if exists:
                session.ask(f"DROP DATABASE {name};")
            session.ask(
                f"CREATE DATABASE {name} CHARACTER SET {_word(properties['charset'])} "
                f"COLLATE {_word(properties['collation'])};"
            )
        with parts(DUMP_PART) as source, self._options() as options, as_source_error(str):
            with process.feed(["mariadb", options, "--binary-mode", "--", self.database]) as target:
                ended = _copy_whole(source, target)
            if not ended:
                raise SourceError("mariadb: the dump ends in the middle (no 'Dump completed' line)")
        if self.foreign:
            self._load_accounts(parts)

    def measure(self) -> Invariants:
        with self._session(self.database) as session:
            session.ask("START TRANSACTION WITH CONSISTENT SNAPSHOT;")
            return self._measure(session, time.time_ns())

    def ask(self, query: str) -> str:
        command = ["--batch", "--raw", "--skip-column-names", "--", self.database]
        with self._options() as options, as_source_error(str):
            done = process.run(["mariadb", options, *command], stdin=query.encode(), timeout_seconds=3600)
        return done.stdout.decode("utf-8", "replace").rstrip("\n")

    def exists(self) -> bool:
        with self._session() as session:
            return bool(_found(session, self.database))

    def drop(self) -> None:
        with self._session() as session:
            session.ask(f"DROP DATABASE IF EXISTS {_quoted(self.database)};")

    # --- inside ---------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _options(self) -> Iterator[str]:
        """The argument that names a private options file."""
        socket = self.host if self.host and self.host.startswith("/") else None
        wanted = {
            "host": None if socket else self.host,
            "socket": socket,
            "port": self.port,
            "user": self.user,
            "password": self.password,
        }
        lines = [f"{name}={_option(value)}" for name, value in wanted.items() if value is not None]
        with tempfile.NamedTemporaryFile("w", prefix="sentinel-mariadb-", suffix=".cnf") as file:  # mode 0600
            file.write("\n".join(["[client]", "default-character-set=utf8mb4", *lines, ""]))
            file.flush()
            yield f"--defaults-extra-file={file.name}"

    @contextlib.contextmanager
    def _session(self, database: str | None = None) -> Iterator[Session]:
        with (
            as_source_error(str),
            self._options() as options,
            client.session(_client(options, database), MARK, SESSION) as session,
        ):
            yield session

    def _may_lock(self) -> bool:
        try:
            with self._session(self.database) as session:
                session.ask("FLUSH LOCAL STATUS;")  # needs what FLUSH TABLES WITH READ LOCK needs
        except SourceError:
            return False
        return True

    def _may_read_accounts(self) -> bool:
        try:
            with self._session() as session:
                session.ask(ACCOUNTS)
        except SourceError as error:
            log.warning("accounts and grants are not dumped: %s", error)
            return False
        return True

    @contextlib.contextmanager
    def _dumping_accounts(self) -> Iterator[IO[bytes]]:
        flags = ("--system=users", "--insert-ignore", "--skip-dump-date", "--default-character-set=utf8mb4")
        with (
            self._options() as options,
            as_source_error(str),
            process.stream(["mariadb-dump", options, *flags]) as stream,
        ):
            yield stream

    def _load_accounts(self, parts: Opener) -> None:
        """After the tables, which grants may name. Accounts that exist here stay as they are.

        A grant on another database of the source's server fails, which is no reason to stop (--force).
        """
        with self._session() as session:
            there = [_account_marks(*row) for row in session.ask(ACCOUNTS)]
        marks = [mark for each in there for mark in each]
        try:
            with parts(ACCOUNTS_PART) as source:
                kept = b"".join(line for line in source if not any(mark in line for mark in marks))
        except SourceError:
            return  # the job does not dump accounts
        with self._options() as options:
            process.run(
                ["mariadb", options, "--force"], stdin=kept, check=False, timeout_seconds=ACCOUNTS_SECONDS
            )

    @contextlib.contextmanager
    def _dumping(self, unlock: Callable[[], None], *, to_the_end: bool) -> Iterator[IO[bytes]]:
        flags = ("--single-transaction", "--quick", "--routines", "--triggers", "--events", "--hex-blob")
        plain = ("--no-tablespaces", "--skip-dump-date", "--default-character-set=utf8mb4")
        with self._options() as options, as_source_error(str):
            command = ["mariadb-dump", options, *flags, *plain, "--", self.database]
            with process.stream(command) as stream:
                head = b""
                while STARTED not in head and len(head) < STARTED_WITHIN_BYTES:
                    block = stream.read1(65_536)  # type: ignore[attr-defined]
                    if not block:
                        break
                    head += block
                if not to_the_end:
                    unlock()
                yield io.BufferedReader(_Joined(head, stream))
                if to_the_end:
                    unlock()

    def _measure(self, session: Session, moment: int) -> Invariants:
        tables: dict[str, list[dict[str, Any]]] = {}
        for row in session.ask(COLUMNS):
            tables.setdefault(row["table"], []).append(row)
        measured = {name: self._table(session, name, columns) for name, columns in tables.items()}
        return Invariants(self.kind, moment, measured, session.ask(FACTS)[0])

    def _table(self, session: Session, name: str, columns: list[dict[str, Any]]) -> Table:
        table = _quoted(name)
        key = sorted((row for row in columns if row["key"]), key=lambda row: row["key"])
        ((rows,),) = session.ask(f"SELECT JSON_ARRAY(COUNT(*)) FROM {table};")  # noqa: S608 - quoted names
        highest = None
        if len(key) == 1 and key[0]["type"] in INTEGERS:
            ((highest,),) = session.ask(
                f"SELECT JSON_ARRAY(CAST(MAX({_quoted(key[0]['column'])}) AS CHAR)) FROM {table};"  # noqa: S608
            )
        if (not key and rows > UNKEYED_ROWS) or not self.sample_rows:
            return Table.exactly(rows, highest_id=highest)
        order = [_quoted(row["column"]) for row in key or columns]
        query = _sample_query(table, [row["column"] for row in columns], order, self.sample_rows)
        ((sample, sampled),) = session.ask(query)
        return Table.exactly(rows, highest_id=highest, sample=str(sample), sampled=min(sampled, rows))


class _Joined(io.RawIOBase):
    """What was read ahead, then the rest."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self.head = head
        self.rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self.head[: len(buffer)] or self.rest.read(len(buffer))
        self.head = self.head[len(buffer) :]
        buffer[: len(block)] = block
        return len(block)


def _found(session: Session, database: str) -> list[Any]:
    return session.ask(
        "SELECT JSON_ARRAY(1) FROM information_schema.SCHEMATA "  # noqa: S608
        f"WHERE SCHEMA_NAME = {_literal(database)};"
    )


def _account_marks(user: str, host: str) -> list[bytes]:
    """How lines of mariadb-dump name an account that they make, alter or grant to."""
    quoted = [f"{_quoted(user)}@{_quoted(host)}", f"{_literal(user)}@{_literal(host)}"]
    words = ("CREATE USER IF NOT EXISTS", "TO", "FOR", "ALTER USER")
    return [f"{word} {account}".encode() for account in quoted for word in words]


def _client(options: str, database: str | None) -> list[str]:
    flags = ["--batch", "--raw", "--skip-column-names", "--unbuffered"]
    return ["mariadb", options, *flags, "--", *([database] if database else [])]


def _sample_query(table: str, columns: list[str], order: list[str], rows: int) -> str:
    """A sum over row checksums: independent of their order, and NULL differs from the empty text."""
    cells = ", ".join(f"COALESCE(HEX(CONCAT({_quoted(name)})), 'N')" for name in columns)
    line = f"CAST(CONV(SUBSTR(MD5(CONCAT_WS('-', {cells})), 1, 15), 16, 10) AS DECIMAL(40)) AS line"
    forward, back = ", ".join(order), ", ".join(f"{part} DESC" for part in order)
    return f"""
    SELECT JSON_ARRAY(CAST(COALESCE(SUM(line), 0) AS CHAR), COUNT(*)) FROM (
      (SELECT {line} FROM {table} ORDER BY {forward} LIMIT {rows}) UNION ALL
      (SELECT {line} FROM {table} ORDER BY {back} LIMIT {rows})) s;
    """  # noqa: S608 - quoted names


def _copy_whole(source: IO[bytes], target: IO[bytes]) -> bool:
    """Copy; whether the dump ended as mariadb-dump ends one. A cut dump would load in part without complaint."""
    tail = b""
    while block := source.read(1 << 20):
        target.write(block)
        tail = (tail + block)[-200:]
    return b"-- Dump completed" in tail


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _word(text: str) -> str:
    if not text.replace("_", "").isalnum():
        raise SourceError(f"mariadb: {text!r} is not the name of a character set")
    return text


def _option(value: object) -> str:
    """A value of an options file (MariaDB manual: quotes, and backslash escapes)."""
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
