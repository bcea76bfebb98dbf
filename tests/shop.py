"""A small shop in each kind of database, on real private servers, and a configuration that backs it up.

Loaded by path from the conftest files that need it (tests are no package). Servers are those of the product's own
sandbox; accounts with passwords are added, so that what is tested is what an operator has.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from sentinel import yamlfile
from sentinel.backup import sandbox
from sentinel.backup.repo.keyfile import ScryptCost
from sentinel.backup.repo.repository import Repository
from sentinel.backup.source.mariadb import Mariadb
from sentinel.backup.source.postgresql import Postgresql
from sentinel.backup.source.redis import Redis
from sentinel.backup.store.local import LocalStore
from sentinel.config import load
from sentinel.ledger import Ledger
from sentinel.state import State

SECRET = "o\"pen \\se'same"  # what quoting gets wrong
SCRATCH = Path("/var/tmp")  # socket paths are short there, and a server's account can reach it
KINDS = ("sqlite", "postgresql", "mariadb", "redis")
ORDERS = 300

SQL = """
CREATE TABLE customer (id INTEGER PRIMARY KEY, name VARCHAR(80) NOT NULL);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL, total DECIMAL(10, 2), note TEXT,
  FOREIGN KEY (customer) REFERENCES customer (id));
CREATE VIEW big AS SELECT id FROM orders WHERE total > 100;
"""


def statements() -> str:
    customers = ", ".join(f"({i}, 'Customer {i} é')" for i in range(1, 51))
    orders = ", ".join(
        f"({i}, {i % 50 + 1}, {i}.{i % 100:02d}, {'NULL' if i % 7 == 0 else repr('note ' + str(i))})"
        for i in range(1, ORDERS + 1)
    )
    return f"{SQL} INSERT INTO customer VALUES {customers}; INSERT INTO orders VALUES {orders};"


class SqliteShop:
    kind = "sqlite"
    query = "SELECT count(*) FROM orders"

    def __init__(self, place: Path, _server) -> None:
        self.path = place / "shop.db"
        self.source = {"path": str(self.path)}

    def seed(self) -> None:
        self.do("PRAGMA journal_mode = WAL;" + statements())

    def do(self, sql: str) -> None:
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            connection.executescript(sql)

    def rows(self):
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            return [
                connection.execute(f"SELECT * FROM {name} ORDER BY id").fetchall()
                for name in ("customer", "orders")
            ]

    def destroy(self) -> None:
        for path in self.path.parent.glob("shop.db*"):
            path.unlink()

    def empty_orders(self) -> None:
        self.do("DELETE FROM orders")

    def clean(self) -> None:
        pass


class PostgresqlShop:
    kind = "postgresql"
    query = "SELECT count(*) FROM orders"

    def __init__(self, place: Path, server) -> None:
        (place / "pg.pw").write_text(SECRET + "\n")
        self.admin = Postgresql("postgres", host=server.host, user="postgres")
        self.database = Postgresql("shop", host=server.host, user="postgres")
        self.source = {
            "database": "shop",
            "host": server.host,
            "user": "keeper",
            "password_file": str(place / "pg.pw"),
        }

    def seed(self) -> None:
        self.admin.ask("CREATE DATABASE shop")
        self.database.ask(
            statements()
            + "CREATE INDEX ON orders (customer); CREATE SEQUENCE s; ALTER TABLE orders OWNER TO keeper;"
        )

    def do(self, sql: str) -> None:
        self.database.ask(sql)

    def rows(self):
        return [self.database.ask(f"SELECT * FROM {name} ORDER BY id") for name in ("customer", "orders")]

    def destroy(self) -> None:
        self.admin.ask("DROP DATABASE shop WITH (FORCE)")

    def empty_orders(self) -> None:
        self.do("TRUNCATE orders")

    def clean(self) -> None:
        for name in ("shop", "shop_before", "shop_restored", "other"):
            self.admin.ask(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


class MariadbShop:
    kind = "mariadb"
    query = "SELECT count(*) FROM orders"

    def __init__(self, place: Path, server) -> None:
        (place / "my.pw").write_text(SECRET + "\n")
        self.admin = Mariadb("mysql", host=server.host, user="root")
        self.database = Mariadb("shop", host=server.host, user="root")
        self.source = {
            "database": "shop",
            "host": server.host,
            "user": "keeper",
            "password_file": str(place / "my.pw"),
        }

    def seed(self) -> None:
        self.admin.ask("CREATE DATABASE shop CHARACTER SET utf8mb4")
        self.database.ask(
            statements() + "CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = 'n';"
        )

    def do(self, sql: str) -> None:
        self.database.ask(sql)

    def rows(self):
        return [self.database.ask(f"SELECT * FROM {name} ORDER BY id") for name in ("customer", "orders")]

    def destroy(self) -> None:
        self.admin.ask("DROP DATABASE shop")

    def empty_orders(self) -> None:
        self.do("TRUNCATE orders")

    def clean(self) -> None:
        for name in ("shop", "shop_restored", "other"):
            self.admin.ask(f"DROP DATABASE IF EXISTS {name}")


class RedisShop:
    kind = "redis"
    query = "HLEN order:7"

    def __init__(self, place: Path, server) -> None:
        (place / "redis.pw").write_text(SECRET + "\n")
        self.database = Redis(host=server.host)
        self.source = {"host": server.host, "user": "keeper", "password_file": str(place / "redis.pw")}

    def seed(self) -> None:
        with self.database._client() as client:
            client.ask("FLUSHALL")
            client.ask_all(
                ("HSET", f"order:{i}", "customer", i % 50, "total", f"{i}.5") for i in range(1, ORDERS + 1)
            )
            client.ask_all(("ZADD", "by-total", f"{i}.5", i) for i in range(1, ORDERS + 1))
            client.ask("RPUSH", "queue", *range(1000))
            client.ask("SADD", "customers", *range(50))
            client.ask("XADD", "events", "1-1", "kind", "paid")
            client.ask("SET", b"\xff\x00binary", b"\r\n\x00")
            client.ask("SET", "session", "gone soon", "EX", 3600)
            client.ask("SELECT", 3)
            client.ask("SET", "setting", "on")

    def do(self, command: str) -> None:
        self.database.ask(command)

    def rows(self):
        return self.database.measure().tables

    def destroy(self) -> None:
        self.do("FLUSHALL")

    def empty_orders(self) -> None:
        with self.database._client() as client:
            client.ask("DEL", *(f"order:{i}" for i in range(1, ORDERS + 1)))

    def clean(self) -> None:
        self.do("FLUSHALL")


SHOPS = {shop.kind: shop for shop in (SqliteShop, PostgresqlShop, MariadbShop, RedisShop)}


def _with_accounts(kind: str, server: sandbox.Server) -> None:
    """Accounts that need their password, as on an operator's server."""
    quoted = SECRET.replace("\\", "\\\\").replace("'", "\\'")
    if kind == "postgresql":
        admin = Postgresql("postgres", host=server.host, user="postgres")
        admin.ask("CREATE ROLE keeper LOGIN SUPERUSER PASSWORD '" + SECRET.replace("'", "''") + "'")
        rules = "local all postgres trust\nlocal all all scram-sha-256\n"
        Path(server.host, "data", "pg_hba.conf").write_text(rules)
        admin.ask("SELECT pg_reload_conf()")
    elif kind == "mariadb":
        admin = Mariadb("mysql", host=server.host, user="root")
        admin.ask(
            f"CREATE USER keeper@localhost IDENTIFIED BY '{quoted}'; GRANT ALL ON *.* TO keeper@localhost;"
        )
        admin.ask(
            f"CREATE USER clerk@localhost IDENTIFIED BY '{quoted}'; GRANT ALL ON shop.* TO clerk@localhost;"
        )
    elif kind == "redis":
        with Redis(host=server.host)._client() as client:
            client.ask("ACL", "SETUSER", "keeper", "on", f">{SECRET}", "~*", "&*", "+@all")


@pytest.fixture(scope="session")
def servers():
    """Kind -> a running private server, started when first asked for."""
    with contextlib.ExitStack() as stack:
        started: dict[str, sandbox.Server | None] = {"sqlite": None}

        def server(kind: str):
            if kind not in started:
                place = stack.enter_context(sandbox.opened(kind, SCRATCH))
                _with_accounts(kind, place.server)
                started[kind] = place.server
            return started[kind]

        yield server


class Bench:
    """A shop, its configuration file, a repository (weak key), state and ledger."""

    def __init__(self, place: Path, shop) -> None:
        self.place = place
        self.shop = shop
        self.scratch = SCRATCH
        self.config = place / "sentinel.yml"
        (place / "repo.pw").write_text("correct horse\n")
        self.store = place / "repo"
        Repository.create(LocalStore(self.store), "correct horse", cost=ScryptCost(n=1024)).close()
        self.state = State(place / "state")
        self.ledger = Ledger(place / "state")
        self.configure()

    def configure(self, *, source=None, drill=None, repository=None, **job) -> None:
        playbook = "restore-files" if self.shop is None else f"restore-{self.shop.kind}"
        drill = {"playbook": playbook, "schedule": "every 1h"} | (drill or {})
        self.data = {
            "state_directory": str(self.place / "state"),
            "backup": {
                "scratch_directory": str(self.scratch),
                "repositories": {
                    "main": {"store": str(self.store), "password_file": str(self.place / "repo.pw")}
                    | (repository or {})
                },
                "jobs": {
                    "shop": {
                        "source": source or {self.shop.kind: self.shop.source},
                        "repository": "main",
                        "drill": drill,
                    }
                    | job
                },
            },
        }
        self.config.write_text(yamlfile.dump(self.data))

    @property
    def settings(self):
        return load(self.config).backup

    def run(self, **options):
        from sentinel.backup.jobs import run_job

        return run_job(self.settings, "shop", self.state, self.ledger, **options)

    def drill(self):
        from sentinel.backup.drill import run_drill
        from sentinel.playbook.runner import Runner

        runner = Runner(config=self.config, settings=self.settings, state=self.state, ledger=self.ledger)
        return run_drill(self.settings, "shop", self.state, self.ledger, runner.in_sandbox)

    def repository(self):
        from sentinel.backup.access import open_repository

        return open_repository(self.settings.repositories["main"])


@pytest.fixture
def bench_of(tmp_path, servers):
    """Kind -> a seeded Bench."""
    made = []

    def make(kind: str) -> Bench:
        shop = SHOPS[kind](tmp_path, servers(kind))
        made.append(shop)
        shop.clean()
        shop.seed()
        return Bench(tmp_path, shop)

    yield make
    for shop in made:
        shop.clean()
