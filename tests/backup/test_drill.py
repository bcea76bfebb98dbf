"""Drills on all four databases: green on a good backup, red on everything that would hurt at three in the morning."""

from __future__ import annotations

import contextlib
import io
import os

import pytest

from sentinel.backup import access, history
from sentinel.backup.archive import BackupOptions, Stream, backup
from sentinel.errors import SentinelError

pytestmark = pytest.mark.service


def forge(bench, change) -> None:
    """A newer snapshot whose parts were changed: what a broken dump tool would have left."""
    with bench.repository() as repository:
        snapshot = access.job_snapshot(repository, "shop")
        opened = access.opener(repository, snapshot)
        parts = {}
        for path in snapshot.paths:
            with opened(path) as stream:
                parts[path] = stream.read()
        change(parts)
        streams = [Stream(path, io.BytesIO(data)) for path, data in parts.items()]
        backup(repository, streams=streams, options=BackupOptions(tags=snapshot.tags))


DUMPS = {
    "sqlite": "/sqlite/database.db",
    "postgresql": "/postgresql/database.dump",
    "mariadb": "/mariadb/database.sql",
    "redis": "/redis/dump.rdb",
}


def test_a_good_backup_is_proved(bench_of) -> None:
    """On the other databases: tests/playbook, where each restore playbook runs as its drill."""
    bench = bench_of("sqlite")
    bench.scratch = bench.place / "scratch"
    bench.scratch.mkdir()
    bench.configure(drill={"queries": [{"query": bench.shop.query, "at_least": 2}]})
    snapshot = bench.run().snapshot
    live = bench.shop.rows()
    result = bench.drill()
    assert result.problems == ()
    assert result.result == "ok"
    assert result.snapshot == snapshot
    assert result.rto_seconds > 0
    assert result.rpo_seconds > 0
    assert result.bytes > 1000
    assert bench.shop.rows() == live
    assert list(bench.scratch.iterdir()) == []
    (run,) = history.drill_runs(bench.state, "shop")
    assert (run.result, run.rto_seconds, run.rpo_seconds) == ("ok", result.rto_seconds, result.rpo_seconds)
    assert [entry.subject for entry in bench.ledger.entries() if entry.action == "backup.drill"] == ["shop"]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_emptied_dump_is_caught(bench_of, kind) -> None:
    bench = bench_of(kind)
    bench.run()
    forge(bench, lambda parts: parts.update({DUMPS[kind]: b""}))
    result = bench.drill()
    assert result.result == "failed"
    assert (
        "restore" in result.problems[0]
        or "rehearse" in result.problems[0]
        or "put-in-place" in result.problems[0]
    )


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_truncated_table_in_the_dump_is_caught(bench_of, kind) -> None:
    """The dump is whole, but taken after somebody emptied a table: it does not hold what was recorded."""
    bench = bench_of(kind)
    bench.run()
    with bench.repository() as repository:
        recorded = access.recorded_invariants(repository, access.job_snapshot(repository, "shop"))
    bench.shop.empty_orders()
    bench.run()
    forge(bench, lambda parts: parts.update({"/sentinel/invariants.json": recorded.encode()}))
    result = bench.drill()
    assert result.result == "failed"
    assert "rows, recorded" in "".join(result.problems)


def test_a_table_emptied_at_the_source_since_the_last_drill_is_caught(bench_of) -> None:
    bench = bench_of("sqlite")
    bench.run()
    assert bench.drill().result == "ok"
    bench.shop.empty_orders()
    bench.run()
    result = bench.drill()
    assert result.result == "failed"
    assert "at the last good drill" in "".join(result.problems)


def test_a_dump_that_is_too_old_is_caught(bench_of) -> None:
    bench = bench_of("sqlite")
    bench.run()
    bench.configure(drill={"max_age": 0.0})
    result = bench.drill()
    assert result.result == "failed"
    assert "too old" in result.problems[0]


def test_a_wrong_repository_password_is_caught(bench_of) -> None:
    bench = bench_of("sqlite")
    bench.run()
    (bench.place / "repo.pw").write_text("guess")
    result = bench.drill()
    assert result.result == "failed"
    assert "password" in result.problems[0]


@pytest.mark.parametrize("damage", ["flip", "remove"])
def test_a_damaged_pack_is_caught(bench_of, damage) -> None:
    bench = bench_of("sqlite")
    bench.run()
    packs = [path for path in (bench.store / "data").rglob("*") if path.is_file()]
    largest = max(packs, key=lambda path: path.stat().st_size)
    if damage == "remove":
        largest.unlink()
    else:
        os.chmod(largest, 0o600)
        data = bytearray(largest.read_bytes())
        data[len(data) // 3] ^= 0x10
        largest.write_bytes(data)
    assert bench.drill().result == "failed"


def test_a_query_that_is_not_met_is_caught(bench_of) -> None:
    bench = bench_of("sqlite")
    bench.run()
    queries = [
        {"query": "SELECT count(*) FROM orders", "expect": "301"},
        {"query": "SELECT count(*) FROM customer", "at_least": 51},
        {"query": "SELECT name FROM customer", "at_least": 1},
        {"query": "SELEKT", "expect": ""},
    ]
    bench.configure(drill={"queries": queries})
    assert len(bench.drill().problems) == 4


def test_no_snapshot_at_all_is_a_failed_drill(bench_of) -> None:
    bench = bench_of("sqlite")
    result = bench.drill()
    assert result.result == "failed"
    with pytest.raises(SentinelError, match="drill of shop failed"):
        result.require_ok()


def test_a_broken_playbook_is_a_failed_drill_that_names_the_step(bench_of) -> None:
    bench = bench_of("sqlite")
    bench.run()
    folder = bench.place / "books"
    folder.mkdir()
    text = "name: restore-sqlite\ntitle: T\nwhen: W\nparameters: {snapshot: {about: s}}\nsteps:\n  - {step: broken, title: t, run: ['false']}\n"
    (folder / "restore-sqlite.yml").write_text(text)
    bench.data["backup"]["playbooks"] = [str(folder)]
    from sentinel import yamlfile

    bench.config.write_text(yamlfile.dump(bench.data))
    result = bench.drill()
    assert "step 'broken' failed" in result.problems[0]


def test_a_playbook_that_restores_nothing_is_caught(bench_of) -> None:
    """The copy is examined by the drill itself, whatever the playbook claims."""
    bench = bench_of("sqlite")
    bench.run()
    folder = bench.place / "books"
    folder.mkdir()
    text = "name: restore-sqlite\ntitle: T\nwhen: W\nparameters: {snapshot: {about: s}}\nsteps:\n  - {step: idle, title: t, run: ['true']}\n"
    (folder / "restore-sqlite.yml").write_text(text)
    bench.data["backup"]["playbooks"] = [str(folder)]
    from sentinel import yamlfile

    bench.config.write_text(yamlfile.dump(bench.data))
    result = bench.drill()
    assert result.result == "failed"
    assert "there is no such database" in result.problems[0]


def test_an_interrupted_drill_is_recorded(bench_of) -> None:
    from sentinel.backup.drill import run_drill

    bench = bench_of("sqlite")
    bench.run()

    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        run_drill(bench.settings, "shop", bench.state, bench.ledger, interrupted)
    assert history.drill_runs(bench.state, "shop")[0].detail["problems"] == ["interrupted"]
