"""What every database source promises, on real servers: dump, load elsewhere, measure, refuse, fail in words."""

from __future__ import annotations

import contextlib
import io
import subprocess

import pytest
from shop import KINDS, SCRATCH, SECRET

from sentinel.backup import sandbox
from sentinel.backup.source.invariants import Invariants, differences
from sentinel.backup.source.mariadb import ACCOUNTS_PART, Mariadb
from sentinel.backup.source.source import INVARIANTS_PART
from sentinel.backup.targets import Target, require_other, source_of, target_of
from sentinel.errors import SourceError

pytestmark = pytest.mark.service


def taken(source) -> dict[str, bytes]:
    parts = {}
    with source.dump() as dumped:
        for part in dumped:
            with part.open() as stream:
                parts[part.path] = stream.read()
    return parts


def opener(parts):
    @contextlib.contextmanager
    def opened(path):
        if path not in parts:
            raise SourceError(f"no {path}")
        yield io.BytesIO(parts[path])

    return opened


def other(bench):
    """A target beside the source: another name on the same server; for Redis the server itself."""
    names = {"sqlite": str(bench.place / "other.db"), "redis": ""}
    return target_of(bench.settings.jobs["shop"], Target(into=names.get(bench.shop.kind, "other")))


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_is_identical_and_every_change_is_noticed(bench_of, kind) -> None:
    bench = bench_of(kind)
    source = source_of(bench.settings.jobs["shop"])
    parts = taken(source)
    recorded = Invariants.decode(parts[INVARIANTS_PART])
    assert recorded.rows() >= 300
    before = bench.shop.rows()
    target = other(bench)
    target.load(opener(parts), replace=kind == "redis")
    assert differences(recorded, target.measure()) == []
    assert bench.shop.rows() == before
    bench.shop.empty_orders()
    assert any("orders" in text or "db0" in text for text in differences(recorded, source.measure()))


@pytest.mark.parametrize("kind", KINDS)
def test_one_changed_value_is_noticed(bench_of, kind) -> None:
    bench = bench_of(kind)
    source = source_of(bench.settings.jobs["shop"])
    recorded = source.measure()
    changes = {"redis": "HSET order:7 total 0"}
    bench.shop.do(changes.get(kind, "UPDATE orders SET total = 0 WHERE id = 7"))
    assert any("checksum" in text for text in differences(recorded, source.measure()))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_there_is_not_replaced_unless_asked(bench_of, kind) -> None:
    bench = bench_of(kind)
    source = source_of(bench.settings.jobs["shop"])
    parts = taken(source)
    before = bench.shop.rows()
    with pytest.raises(SourceError, match=r"force it$"):
        source.load(opener(parts), replace=False)
    assert bench.shop.rows() == before
    source.load(opener(parts), replace=True)
    assert bench.shop.rows() == before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", ["empty", "half"])
def test_a_cut_dump_does_not_load(bench_of, kind, cut) -> None:
    bench = bench_of(kind)
    parts = taken(source_of(bench.settings.jobs["shop"]))
    for name in parts:
        if not name.endswith(".json") and "globals" not in name:
            parts[name] = b"" if cut == "empty" else parts[name][: len(parts[name]) // 2]
    with pytest.raises(SourceError):
        other(bench).load(opener(parts), replace=True)


@pytest.mark.parametrize("kind", KINDS)
def test_the_source_is_recognised_however_it_is_spelled(bench_of, kind) -> None:
    bench = bench_of(kind)
    job = bench.settings.jobs["shop"]
    source = source_of(job)
    with pytest.raises(SourceError):
        require_other(source, target_of(job, Target()))
    if kind == "sqlite":
        link = bench.place / "link.db"
        link.symlink_to(bench.shop.path)
        with pytest.raises(SourceError, match="the very data"):
            require_other(source, target_of(job, Target(into=str(link))))
    if kind in {"postgresql", "mariadb"}:
        admin = {"postgresql": "postgres", "mariadb": "root"}[kind]
        with pytest.raises(SourceError, match="the very data"):
            require_other(source, target_of(job, Target(user=admin)))
        require_other(source, target_of(job, Target(into="other")))


@pytest.mark.parametrize("kind", KINDS)
def test_no_password_in_any_argument(bench_of, kind, monkeypatch) -> None:
    bench = bench_of(kind)
    seen = []

    class Recorded(subprocess.Popen):
        def __init__(self, args, *rest, **options) -> None:
            seen.append(args)
            super().__init__(args, *rest, **options)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    source = source_of(bench.settings.jobs["shop"])
    parts = taken(source)
    source.load(opener(parts), replace=True)
    source.ask(bench.shop.query)
    assert not [args for args in seen if any(SECRET in str(word) for word in args)]
    assert len(seen) > 2 or kind in {"sqlite", "redis"}


@pytest.mark.parametrize("kind", ["postgresql", "mariadb", "redis"])
def test_a_wrong_password_is_said_in_one_line(bench_of, kind) -> None:
    bench = bench_of(kind)
    wrong = bench.place / "wrong.pw"
    wrong.write_text("guess\n")
    bench.configure(source={kind: bench.shop.source | {"password_file": str(wrong)}})
    with pytest.raises(SourceError) as caught:
        source_of(bench.settings.jobs["shop"]).probe()
    assert "password" in str(caught.value).lower()
    assert "guess" not in str(caught.value)


@pytest.mark.parametrize("kind", ["postgresql", "mariadb", "sqlite"])
def test_a_missing_database_is_named(bench_of, kind) -> None:
    bench = bench_of(kind)
    bench.shop.destroy()
    with pytest.raises(SourceError, match="shop"), source_of(bench.settings.jobs["shop"]).dump():
        pass


@pytest.mark.parametrize("kind", KINDS)
def test_the_operators_query(bench_of, kind) -> None:
    bench = bench_of(kind)
    source = source_of(bench.settings.jobs["shop"])
    assert source.ask(bench.shop.query) == {"redis": "2"}.get(kind, "300")
    with pytest.raises(SourceError):
        source.ask("SELEKT")


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_rows_written_during_the_dump_are_in_neither(bench_of, kind) -> None:
    """The dump and what was measured see one moment: the first part was read, then a writer commits."""
    bench = bench_of(kind)
    source = source_of(bench.settings.jobs["shop"])
    parts = {}
    with source.dump() as dumped:
        for part in dumped:
            with part.open() as stream:
                if part.path.endswith(("database.dump", "database.sql")):
                    bench.shop.do("INSERT INTO orders VALUES (9999, 1, 1, 'late')")
                parts[part.path] = stream.read()
    recorded = Invariants.decode(parts[INVARIANTS_PART])
    target = other(bench)
    target.load(opener(parts), replace=True)
    assert differences(recorded, target.measure()) == []
    assert target.ask("SELECT count(*) FROM orders WHERE id = 9999") == "0"


def test_mariadb_without_the_reload_privilege_records_ranges(bench_of) -> None:
    bench = bench_of("mariadb")
    bench.configure(source={"mariadb": bench.shop.source | {"user": "clerk"}})
    source = source_of(bench.settings.jobs["shop"])
    parts = {}
    with source.dump() as dumped:
        for part in dumped:
            with part.open() as stream:
                parts[part.path] = stream.read()
            if part.path.endswith(".sql"):
                bench.shop.do("INSERT INTO orders VALUES (9999, 1, 1, 'late')")
    orders = Invariants.decode(parts[INVARIANTS_PART]).tables["orders"]
    assert (orders.low, orders.high, orders.sample) == (300, 301, None)


def test_redis_keys_that_expire_are_not_counted(bench_of) -> None:
    bench = bench_of("redis")
    recorded = source_of(bench.settings.jobs["shop"]).measure()
    bench.shop.do("DEL session")
    assert differences(recorded, bench.shop.database.measure()) == []


SETTINGS = """
ALTER DATABASE shop SET search_path TO "$user", public, "od, d";
ALTER DATABASE shop SET work_mem TO '7MB';
ALTER DATABASE shop SET "app.tenant" TO 'it''s \\ one';
ALTER DATABASE shop SET default_transaction_read_only TO on;
ALTER ROLE keeper IN DATABASE shop SET statement_timeout TO '9min';
ALTER DATABASE shop CONNECTION LIMIT 17;
COMMENT ON DATABASE shop IS 'the shop''s own';
REVOKE CONNECT ON DATABASE shop FROM PUBLIC;
GRANT CREATE ON DATABASE shop TO keeper WITH GRANT OPTION;
ALTER DATABASE shop OWNER TO keeper;
"""


def properties(admin, database):
    """As PostgreSQL itself lists them; the database's name is the one difference there may be."""
    kept = f"""
    SELECT pg_get_userbyid(datdba), datconnlimit, shobj_description(oid, 'pg_database'),
      (SELECT array_agg(acl::text ORDER BY acl::text) FROM unnest(datacl) acl),
      (SELECT array_agg((setrole::regrole, setconfig)::text ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = oid)
    FROM pg_database WHERE datname = '{database}'
    """
    return admin.ask(kept)


def test_owner_privileges_and_settings_of_a_postgresql_database_come_back(bench_of) -> None:
    bench = bench_of("postgresql")
    for statement in SETTINGS.strip().splitlines():
        bench.shop.admin.ask(statement)
    source = source_of(bench.settings.jobs["shop"])
    parts = taken(source)
    recorded = Invariants.decode(parts[INVARIANTS_PART])
    assert recorded.facts["settings"] == 4
    target = other(bench)
    target.load(opener(parts), replace=False)
    assert properties(bench.shop.admin, "other") == properties(bench.shop.admin, "shop")
    assert "od, d" in properties(bench.shop.admin, "other")
    assert differences(recorded, target.measure()) == []
    bench.shop.admin.ask("ALTER DATABASE other RESET work_mem")
    assert differences(recorded, target.measure()) == ["settings: 3, recorded 4"]


def test_a_role_that_is_gone_costs_no_restore(bench_of) -> None:
    bench = bench_of("postgresql")
    bench.shop.admin.ask("CREATE ROLE guest")
    bench.shop.admin.ask("GRANT CREATE ON DATABASE shop TO guest")
    bench.shop.admin.ask("ALTER DATABASE shop SET work_mem TO '7MB'")
    parts = taken(source_of(bench.settings.jobs["shop"]))
    bench.shop.admin.ask("REVOKE ALL ON DATABASE shop FROM guest")
    bench.shop.admin.ask("DROP ROLE guest")
    target = other(bench)
    target.load(opener(parts), replace=False)
    assert differences(Invariants.decode(parts[INVARIANTS_PART]), target.measure()) == []


def test_accounts_of_a_mariadb_server_come_back_on_another(bench_of) -> None:
    bench = bench_of("mariadb")
    admin = bench.shop.admin
    admin.ask("CREATE ROLE reader; GRANT SELECT ON shop.orders TO reader; GRANT reader TO clerk@localhost;")
    admin.ask("SET DEFAULT ROLE reader FOR clerk@localhost; GRANT SELECT ON nowhere.* TO clerk@localhost;")
    try:
        parts = taken(source_of(bench.settings.jobs["shop"]))
        grants = admin.ask("SHOW GRANTS FOR clerk@localhost")
        with sandbox.opened("mariadb", SCRATCH) as scratch:
            server = scratch.server
            root = Mariadb("mysql", host=server.host, user=server.user)
            root.ask("ALTER USER root@localhost IDENTIFIED BY 'of this server'")
            root = Mariadb("mysql", host=server.host, user=server.user, password="of this server")
            place = Target(host=server.host, user=server.user, password="of this server", foreign=True)
            target_of(bench.settings.jobs["shop"], place).load(opener(parts), replace=False)
            assert root.ask("SHOW GRANTS FOR clerk@localhost") == grants
            assert "reader" in root.ask("SHOW GRANTS FOR reader")
            clerk = Mariadb("shop", host=server.host, user="clerk", password=SECRET)
            assert clerk.ask("SELECT count(*), CURRENT_ROLE() FROM orders") == "300\treader"
    finally:
        admin.ask("DROP ROLE reader; REVOKE SELECT ON nowhere.* FROM clerk@localhost;")


def test_mariadb_accounts_that_may_not_be_read_are_left_out_and_said(bench_of, caplog) -> None:
    bench = bench_of("mariadb")
    bench.configure(source={"mariadb": bench.shop.source | {"user": "clerk"}})
    assert ACCOUNTS_PART not in taken(source_of(bench.settings.jobs["shop"]))
    assert "accounts and grants are not dumped" in caplog.text
    bench.configure(source={"mariadb": bench.shop.source | {"accounts": False}})
    assert ACCOUNTS_PART not in taken(source_of(bench.settings.jobs["shop"]))
