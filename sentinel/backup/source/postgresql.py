"""PostgreSQL: pg_dump's custom format plus roles, taken in one exported snapshot in which the invariants are measured.

In: a server and a database. Out: four parts (roles; owner, privileges and settings of the database; the dump; invariants); the dump is not compressed (the repository compresses, and unchanged rows
deduplicate). Invariant: dump and measurements see the same moment, because both use the snapshot that one open
transaction exported (PostgreSQL manual, 9.27.5 and pg_dump --snapshot). Log-in data travels in the environment
(PGPASSWORD), never in arguments.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from sentinel import process
from sentinel.backup.source import client
from sentinel.backup.source.client import END, Session, as_source_error
from sentinel.backup.source.invariants import Invariants, Table
from sentinel.backup.source.source import INVARIANTS_PART, Opener, Part, bytes_part
from sentinel.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentinel.errors import ProgramError

GLOBALS_PART = "/postgresql/globals.sql"
PROPERTIES_PART = "/postgresql/database.json"
DUMP_PART = "/postgresql/database.dump"
MAINTENANCE_DATABASE = "postgres"
MARK = f"\\echo '{END}'"
LISTS = frozenset(  # settings whose value is a list of names (PostgreSQL, variable_is_guc_list_quote)
    {
        "local_preload_libraries",
        "search_path",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
        "unix_socket_directories",
    }
)
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
  'triggers', (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal),
  'settings', (SELECT count(*) FROM pg_db_role_setting, unnest(setconfig)
    WHERE setrole = 0 AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())));
"""
# What pg_dump leaves to --create and pg_dumpall --globals-only to nobody: owner, privileges and settings of the database.
PROPERTIES = """
SELECT json_build_object('encoding', pg_encoding_to_char(encoding), 'collate', datcollate, 'ctype', datctype,
  'owner', pg_get_userbyid(datdba), 'connection_limit', datconnlimit, 'comment', shobj_description(d.oid, 'pg_database'),
  'privileges', CASE WHEN datacl IS NOT NULL THEN (SELECT json_agg(json_build_object('privilege', privilege_type,
      'to', CASE WHEN grantee <> 0 THEN pg_get_userbyid(grantee) END, 'grantable', is_grantable))
    FROM aclexplode(datacl)) END,
  'settings', (SELECT json_agg(json_build_object('setting', setting,
      'role', CASE WHEN setrole <> 0 THEN pg_get_userbyid(setrole) END))
    FROM pg_db_role_setting, unnest(setconfig) setting WHERE setdatabase = d.oid))
FROM pg_database d WHERE datname = current_database();
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
            session.ask("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;")
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
                session.ask(f"DROP DATABASE {name} WITH (FORCE);")
            self._create(session, parts)
        with parts(DUMP_PART) as source, self._feeding(self._restore_command()) as target:
            shutil.copyfileobj(source, target, 1 << 20)
        with self._session(
            MAINTENANCE_DATABASE
        ) as session:  # last: a setting may make the database read-only
            for statements in _property_statements(self.database, _properties(parts)):
                session.ask(_if_allowed(statements))

    def measure(self) -> Invariants:
        with self._session(self.database) as session:
            session.ask("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;")
            return self._measure(session, time.time_ns())

    def ask(self, query: str) -> str:
        command = ["psql", "-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-f", "-"]
        env = self._environment(self.database)
        with as_source_error(_why):
            done = process.run(command, stdin=query.encode(), env=env, timeout_seconds=3600)
        return done.stdout.decode("utf-8", "replace").rstrip("\n")

    def exists(self) -> bool:
        with self._session(MAINTENANCE_DATABASE) as session:
            return bool(_found(session, self.database))

    def rename(self, new: str) -> None:
        with self._session(MAINTENANCE_DATABASE) as session:
            session.ask(
                "SELECT to_json(pg_terminate_backend(pid)) FROM pg_stat_activity "  # noqa: S608
                f"WHERE datname = {_literal(self.database)};"
            )
            session.ask(f"ALTER DATABASE {_quoted(self.database)} RENAME TO {_quoted(new)};")

    def drop(self) -> None:
        with self._session(MAINTENANCE_DATABASE) as session:
            session.ask(f"DROP DATABASE IF EXISTS {_quoted(self.database)} WITH (FORCE);")

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
    def _session(self, database: str) -> Iterator[Session]:
        command = ["psql", "-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-f", "-"]
        env = self._environment(database)
        with as_source_error(_why), client.session(command, MARK, SESSION, env=env) as session:
            yield session

    @contextlib.contextmanager
    def _dumping(self, snapshot: str) -> Iterator[IO[bytes]]:
        command = ["pg_dump", "-w", "--format=custom", "--compress=0", f"--snapshot={snapshot}"]
        with as_source_error(_why), process.stream(command, env=self._environment(self.database)) as stream:
            yield stream

    @contextlib.contextmanager
    def _dumping_roles(self, *, with_passwords: bool) -> Iterator[IO[bytes]]:
        command = ["pg_dumpall", "-w", "--globals-only"]
        if not with_passwords:
            command.append("--no-role-passwords")  # only a superuser may read them
        with as_source_error(_why), process.stream(command, env=self._environment(self.database)) as stream:
            yield stream

    @contextlib.contextmanager
    def _feeding(self, command: list[str]) -> Iterator[IO[bytes]]:
        with as_source_error(_why), process.feed(command, env=self._environment(self.database)) as stream:
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
        with as_source_error(_why), process.feed(command, env=env) as target:
            target.write(kept)

    def _create(self, session: Session, parts: Opener) -> None:
        properties = _properties(parts)
        encoding = _literal(properties["encoding"])
        locale = ""
        if not self.foreign:
            locale = f"LC_COLLATE {_literal(properties['collate'])} LC_CTYPE {_literal(properties['ctype'])}"
        session.ask(
            f"CREATE DATABASE {_quoted(self.database)} TEMPLATE template0 ENCODING {encoding} {locale};"
        )

    def _measure(self, session: Session, moment: int) -> Invariants:
        tables = {f"{row['schema']}.{row['name']}": self._table(session, row) for row in session.ask(TABLES)}
        return Invariants(self.kind, moment, tables, session.ask(FACTS)[0])

    def _table(self, session: Session, row: dict[str, Any]) -> Table:
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


def _properties(parts: Opener) -> dict[str, Any]:
    with parts(PROPERTIES_PART) as source:
        properties: dict[str, Any] = json.loads(source.read())
    return properties


def _property_statements(database: str, properties: dict[str, Any]) -> Iterator[list[str]]:
    """What makes a new database the one that was dumped, in groups; dumps of earlier versions know less."""
    name = _quoted(database)
    if properties.get("owner"):
        yield [f"ALTER DATABASE {name} OWNER TO {_quoted(properties['owner'])}"]
    if properties.get("connection_limit", -1) != -1:
        yield [f"ALTER DATABASE {name} CONNECTION LIMIT {int(properties['connection_limit'])}"]
    if properties.get("comment"):
        yield [f"COMMENT ON DATABASE {name} IS {_literal(properties['comment'])}"]
    if properties.get("privileges") is not None:
        yield [f"REVOKE ALL ON DATABASE {name} FROM PUBLIC"]
        for granted in properties["privileges"]:
            grantee = "PUBLIC" if granted["to"] is None else _quoted(granted["to"])
            option = " WITH GRANT OPTION" if granted["grantable"] else ""
            yield [f"GRANT {granted['privilege']} ON DATABASE {name} TO {grantee}{option}"]
    for each in properties.get("settings") or ():
        where = f"ROLE {_quoted(each['role'])} IN DATABASE {name}" if each["role"] else f"DATABASE {name}"
        yield _setting_statements(where, *each["setting"].split("=", 1))


def _setting_statements(where: str, setting: str, value: str) -> list[str]:
    name = ".".join(_quoted(part) for part in setting.split("."))
    if setting not in LISTS:
        return [f"ALTER {where} SET {name} TO {_literal(value)}"]
    # One literal would be one element of the list; like this the server cuts the text as it did before.
    chosen = f"SELECT set_config({_literal(setting)}, {_literal(value)}, true)"
    return [chosen, f"ALTER {where} SET {name} FROM CURRENT"]


def _if_allowed(statements: list[str]) -> str:
    """A role that is missing, or not ours to name, costs one property and not the restore; `verify` counts settings."""
    steps = " ".join(f"EXECUTE {_literal(statement)};" for statement in statements)
    caught = "EXCEPTION WHEN insufficient_privilege OR undefined_object THEN RAISE WARNING '%', SQLERRM;"
    return f"DO {_literal(f'BEGIN {steps} {caught} END')};"


def _found(session: Session, database: str) -> list[Any]:
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


def _why(error: ProgramError) -> str:
    """The first complaint says why; what follows are consequences."""
    lines = [line for line in error.stderr.splitlines() if "error" in line.lower() or "fatal" in line.lower()]
    return f"postgresql: {lines[0] if lines else error}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _connection(database: str) -> str:
    """A database name for --dbname, which would read `a=b` as a connection string."""
    escaped = database.replace("\\", "\\\\").replace("'", "\\'")
    return f"dbname='{escaped}'"
