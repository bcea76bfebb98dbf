"""What every database source promises, on real servers: dump, load elsewhere, measure, refuse, fail in words."""

from __future__ import annotations

import contextlib
import io
import subprocess

import pytest
from shop import KINDS, SECRET

from sentinel.backup.source.invariants import Invariants, differences
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
                if part.path.endswith((".dump", ".sql")) and "globals" not in part.path:
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
