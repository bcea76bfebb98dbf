"""PostgreSQL: pg_dump's custom format plus roles, taken in one exported snapshot in which the invariants are measured.

In: a server and a database. Out: four parts; the dump is not compressed (the repository compresses, and unchanged rows
deduplicate). Invariant: dump and measurements see the same moment, because both use the snapshot that one open
transaction exported (PostgreSQL manual, 9.27.5 and pg_dump --snapshot). Log-in data travels in the environment
(PGPASSWORD), never in arguments.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from sentinel import process
from sentinel.backup.source.invariants import Invariants, Table
from sentinel.backup.source.source import INVARIANTS_PART, Opener, Part, bytes_part
from sentinel.errors import ProgramError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

GLOBALS_PART = "/postgresql/globals.sql"
PROPERTIES_PART = "/postgresql/database.json"
DUMP_PART = "/postgresql/database.dump"
MAINTENANCE_DATABASE = "postgres"
END = "-- sentinel: end of answer --"
UNKEYED_ROWS = 100_000  # a table without a primary key is sorted as a whole for its sample up to this size

# Text forms of values must not depend on a server's or role's settings, or checksums differ after a restore.
SESSION = """
SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0; SET lock_timeout = 0;
SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC';
SET extra_float_digits = 3; SET bytea_output = 'hex'; SET search_path = pg_catalog;
"""
# Tables with rows of their own (partitions, not their parents), without those that an extension owns.
TABLES = """
SELECT json_build_object('schema', n.nspname, 'name', c.relname,
  'key', coalesce((SELECT json_agg(json_build_object('name', a.attname, 'text', a.attcollation <> 0,
      'number', t.typname IN ('int2', 'int4', 'int8')) ORDER BY array_position(i.indkey::int2[], a.attnum))
    FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
    JOIN pg_type t ON t.oid = a.atttypid WHERE i.indrelid = c.oid AND i.indisprimary), '[]'))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND n.nspname NOT LIKE 'pg\\_%' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1::text;
"""
FACTS = """
WITH own AS (SELECT oid FROM pg_namespace
  WHERE nspname NOT IN ('pg_catalog', 'information_schema') AND nspname NOT LIKE 'pg\\_%')
SELECT json_build_object(
  'foreign_keys', (SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace IN (SELECT oid FROM own)),
  'constraints', (SELECT count(*) FROM pg_constraint WHERE connamespace IN (SELECT oid FROM own)),
  'invalid_constraints', (SELECT count(*) FROM pg_constraint WHERE NOT convalidated),
  'indexes', (SELECT count(*) FROM pg_class WHERE relkind IN ('i', 'I') AND relnamespace IN (SELECT oid FROM own)),
  'views', (SELECT count(*) FROM pg_class WHERE relkind IN ('v', 'm') AND relnamespace IN (SELECT oid FROM own)),
  'sequences', (SELECT count(*) FROM pg_class WHERE relkind = 'S' AND relnamespace IN (SELECT oid FROM own)),
  'functions', (SELECT count(*) FROM pg_proc WHERE pronamespace IN (SELECT oid FROM own)),
  'triggers', (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal));
"""
PROPERTIES = """
SELECT json_build_object('encoding', pg_encoding_to_char(encoding), 'collate', datcollate, 'ctype', datctype)
FROM pg_database WHERE datname = current_database();
"""


@dataclass(frozen=True, slots=True)
class Postgresql:
    """`foreign` says that the target is another cluster: roles come from the dump, tablespaces are left out."""

    database: str
    host: str | None = None
    port: int | None = None
    user: str | None = None
    password: str | None = None
    roles: bool = True
    foreign: bool = False
    sample_rows: int = 1000

    @property
    def kind(self) -> str:
        return "postgresql"

    def probe(self) -> str:
        with self._session(self.database) as session:
            session.ask("SELECT 1;")
        return self.address()

    def address(self) -> str:
        """Cluster and database; works also when the database does not exist."""
        with self._session(MAINTENANCE_DATABASE) as session:
            (cluster,) = session.ask("SELECT to_json(system_identifier::text) FROM pg_control_system();")
        return f"postgresql:{cluster}/{self.database}"

    @contextlib.contextmanager
    def dump(self) -> Iterator[list[Part]]:
        with self._session(self.database) as session:
            moment = time.time_ns()
            session.tell("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;")
            (snapshot,) = session.ask("SELECT to_json(pg_export_snapshot());")
            (superuser,) = session.ask("SELECT to_json(rolsuper) FROM pg_roles WHERE rolname = current_user;")
            parts = [
                bytes_part(PROPERTIES_PART, lambda: json.dumps(session.ask(PROPERTIES)[0]).encode()),
                Part(DUMP_PART, lambda: self._dumping(snapshot)),
                bytes_part(INVARIANTS_PART, lambda: self._measure(session, moment).encode()),
            ]
            if self.roles:
                parts.insert(0, Part(GLOBALS_PART, lambda: self._dumping_roles(with_passwords=superuser)))
            yield parts

    def load(self, parts: Opener, *, replace: bool) -> None:
        name = _quoted(self.database)
        with self._session(MAINTENANCE_DATABASE) as session:
            exists = _found(session, self.database)
            if exists and not replace:
                raise SourceError(
                    f"postgresql: database {self.database!r} exists already; name another target or force it"
                )
            if self.foreign:
                self._load_roles(parts)
            if exists:
                session.tell(f"DROP DATABASE {name} WITH (FORCE);")
            self._create(session, parts)
        with parts(DUMP_PART) as source, self._feeding(self._restore_command()) as target:
            shutil.copyfileobj(source, target, 1 << 20)

    def measure(self) -> Invariants:
        with self._session(self.database) as session:
            session.tell("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;")
            return self._measure(session, time.time_ns())

    def ask(self, query: str) -> str:
        command = ["psql", "-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-f", "-"]
        env = self._environment(self.database)
        try:
            done = process.run(command, stdin=query.encode(), env=env, timeout_seconds=3600)
        except ProgramError as error:
            raise SourceError(f"postgresql: {_why(error)}") from error
        return done.stdout.decode("utf-8", "replace").rstrip("\n")

    def exists(self) -> bool:
        with self._session(MAINTENANCE_DATABASE) as session:
            return bool(_found(session, self.database))

    def rename(self, new: str) -> None:
        with self._session(MAINTENANCE_DATABASE) as session:
            session.tell(
                "SELECT to_json(pg_terminate_backend(pid)) FROM pg_stat_activity "  # noqa: S608
                f"WHERE datname = {_literal(self.database)};"
            )
            session.tell(f"ALTER DATABASE {_quoted(self.database)} RENAME TO {_quoted(new)};")

    def drop(self) -> None:
        with self._session(MAINTENANCE_DATABASE) as session:
            session.tell(f"DROP DATABASE IF EXISTS {_quoted(self.database)} WITH (FORCE);")

    # --- inside ---------------------------------------------------------------------------------------------

    def _environment(self, database: str) -> dict[str, str]:
        wanted = {
            "PGDATABASE": database,
            "PGHOST": self.host,
            "PGPORT": str(self.port) if self.port else None,
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGCONNECT_TIMEOUT": "10",
            "PGAPPNAME": "sentinel",
            "PGCLIENTENCODING": "UTF8",
        }
        return {name: value for name, value in wanted.items() if value}

    @contextlib.contextmanager
    def _session(self, database: str) -> Iterator[_Session]:
        """One psql that stays open; its transaction lives as long as the context."""
        reading, writing = os.pipe()
        command = ["psql", "-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-f", "-"]
        with (
            _as_source_error(),
            os.fdopen(reading, "rb") as theirs,
            os.fdopen(writing, "wb") as ours,
            process.stream(command, stdin=theirs, env=self._environment(database)) as answers,
        ):
            theirs.close()
            session = _Session(ours, answers)
            # When psql exits early, the body ends here and leaving `stream` raises what psql said.
            with contextlib.suppress(_SessionEndedError):
                session.tell(SESSION)
                yield session
            with contextlib.suppress(BrokenPipeError):
                ours.close()
            answers.read()

    @contextlib.contextmanager
    def _dumping(self, snapshot: str) -> Iterator[IO[bytes]]:
        command = ["pg_dump", "-w", "--format=custom", "--compress=0", f"--snapshot={snapshot}"]
        with _as_source_error(), process.stream(command, env=self._environment(self.database)) as stream:
            yield stream

    @contextlib.contextmanager
    def _dumping_roles(self, *, with_passwords: bool) -> Iterator[IO[bytes]]:
        command = ["pg_dumpall", "-w", "--globals-only"]
        if not with_passwords:
            command.append("--no-role-passwords")  # only a superuser may read them
        with _as_source_error(), process.stream(command, env=self._environment(self.database)) as stream:
            yield stream

    @contextlib.contextmanager
    def _feeding(self, command: list[str]) -> Iterator[IO[bytes]]:
        with _as_source_error(), process.feed(command, env=self._environment(self.database)) as stream:
            yield stream

    def _restore_command(self) -> list[str]:
        tablespaces = ["--no-tablespaces"] if self.foreign else []
        return ["pg_restore", "-w", "--exit-on-error", *tablespaces, f"--dbname={_connection(self.database)}"]

    def _load_roles(self, parts: Opener) -> None:
        """Roles that exist already are no error, so psql goes on after one; tablespaces need directories we lack."""
        command = ["psql", "-X", "-q", "-w", "-f", "-"]
        env = self._environment(MAINTENANCE_DATABASE)
        try:
            with parts(GLOBALS_PART) as source:
                kept = b"".join(line for line in source if b"TABLESPACE" not in line)
        except SourceError:
            return  # the job does not dump roles
        with _as_source_error(), process.feed(command, env=env) as target:
            target.write(kept)

    def _create(self, session: _Session, parts: Opener) -> None:
        with parts(PROPERTIES_PART) as source:
            properties = json.loads(source.read())
        encoding = _literal(properties["encoding"])
        locale = ""
        if not self.foreign:
            locale = f"LC_COLLATE {_literal(properties['collate'])} LC_CTYPE {_literal(properties['ctype'])}"
        session.tell(
            f"CREATE DATABASE {_quoted(self.database)} TEMPLATE template0 ENCODING {encoding} {locale};"
        )

    def _measure(self, session: _Session, moment: int) -> Invariants:
        tables = {f"{row['schema']}.{row['name']}": self._table(session, row) for row in session.ask(TABLES)}
        return Invariants(self.kind, moment, tables, session.ask(FACTS)[0])

    def _table(self, session: _Session, row: dict[str, Any]) -> Table:
        table = f"{_quoted(row['schema'])}.{_quoted(row['name'])}"
        key = [_quoted(part["name"]) + (' COLLATE "C"' if part["text"] else "") for part in row["key"]]
        (rows,) = session.ask(f"SELECT count(*) FROM {table};")  # noqa: S608 - quoted names
        highest = None
        if len(key) == 1 and row["key"][0]["number"]:
            (highest,) = session.ask(f"SELECT to_json(max({key[0]})::text) FROM {table};") or [None]  # noqa: S608
        if not key and rows <= UNKEYED_ROWS:
            key = ['x::text COLLATE "C"']
        if not key or not self.sample_rows:
            return Table.exactly(rows, highest_id=highest)
        sample, sampled = session.ask(_sample_query(table, key, self.sample_rows))[0]
        return Table.exactly(rows, highest_id=highest, sample=sample, sampled=min(sampled, rows))


class _SessionEndedError(Exception):
    """Psql exited while we talked to it."""


class _Session:
    """Talk to psql: every row of an answer is one JSON value on one line."""

    def __init__(self, questions: IO[bytes], answers: IO[bytes]) -> None:
        self.questions = questions
        self.answers = answers

    def tell(self, sql: str) -> None:
        self.ask(sql)

    def ask(self, sql: str) -> list[Any]:
        try:
            self.questions.write(f"{sql}\n\\echo '{END}'\n".encode())
            self.questions.flush()
        except BrokenPipeError:
            raise _SessionEndedError from None
        rows: list[Any] = []
        for line in self.answers:
            text = line.decode("utf-8", "surrogateescape").rstrip("\n")
            if text == END:
                return rows
            if text:
                rows.append(json.loads(text))
        raise _SessionEndedError


def _found(session: _Session, database: str) -> list[Any]:
    return session.ask(f"SELECT 1 FROM pg_database WHERE datname = {_literal(database)};")  # noqa: S608


def _sample_query(table: str, key: list[str], rows: int) -> str:
    order, back = ", ".join(key), ", ".join(f"{part} DESC" for part in key)
    return f"""
    WITH s AS (
      (SELECT 1 AS part, row_number() OVER (ORDER BY {order}) AS n, x::text AS line FROM {table} x ORDER BY {order} LIMIT {rows})
      UNION ALL
      (SELECT 2, row_number() OVER (ORDER BY {back}), x::text FROM {table} x ORDER BY {back} LIMIT {rows}))
    SELECT json_build_array(md5(coalesce(string_agg(line, E'\\n' ORDER BY part, n), '')), count(*)) FROM s;
    """  # noqa: S608 - quoted names


@contextlib.contextmanager
def _as_source_error() -> Iterator[None]:
    try:
        yield
    except ProgramError as error:
        raise SourceError(f"postgresql: {_why(error)}") from error


def _why(error: ProgramError) -> str:
    """The first complaint says why; what follows are consequences."""
    lines = [line for line in error.stderr.splitlines() if "error" in line.lower() or "fatal" in line.lower()]
    return lines[0] if lines else str(error)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _connection(database: str) -> str:
    """A database name for --dbname, which would read `a=b` as a connection string."""
    escaped = database.replace("\\", "\\\\").replace("'", "\\'")
    return f"dbname='{escaped}'"
