"""The component with real jobs: schedule, drill, reload, what is overdue, a killed daemon."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from shop import Bench, SqliteShop

from sentinel import yamlfile
from sentinel.backup import history
from sentinel.backup.access import create_repository
from sentinel.backup.component import BackupComponent
from sentinel.backup.pauses import order, paused_until
from sentinel.backup.repo.snapshots import list_snapshots
from sentinel.backup.retention import forget
from sentinel.backup.store.store import Kind
from sentinel.errors import SentinelError
from sentinel.playbook.runner import Runner

WAIT_SECONDS = 60


@pytest.fixture
def bench(tmp_path) -> Bench:
    shop = SqliteShop(tmp_path, None)
    shop.seed()
    return Bench(tmp_path, shop)


@pytest.fixture
def running(bench):
    stops = []

    def start(component: BackupComponent) -> None:
        stop = threading.Event()
        thread = threading.Thread(target=component.run, args=(stop,))
        thread.start()
        stops.append((stop, thread))

    yield start
    for stop, thread in stops:
        stop.set()
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()


def component(bench: Bench) -> BackupComponent:
    runner = Runner(config=bench.config, settings=bench.settings, state=bench.state, ledger=bench.ledger)
    return BackupComponent(bench.settings, bench.state, bench.ledger, runner.in_sandbox, watch_seconds=0.1)


def until(condition) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def long_ago(bench: Bench, *entries: str) -> None:
    for entry in entries:
        bench.state.save_checkpoint(f"backup/seen/{entry}", time.time() - 86_400)


def test_a_due_job_and_its_drill_run_by_themselves(bench, running) -> None:
    bench.configure(schedule="0 * * * *", drill={"schedule": "every 2s"})
    long_ago(bench, "job:shop")
    running(component(bench))
    until(lambda: history.job_runs(bench.state, "shop", ("ok",)))
    until(lambda: history.drill_runs(bench.state, "shop", ("ok",)))
    assert bench.ledger.verify().bad_line is None


def test_a_restart_does_not_run_again_what_ran(bench) -> None:
    bench.configure(schedule="0 0 1 1 *")
    long_ago(bench, "job:shop")
    bench.run()
    schedule = component(bench)._schedule
    schedule._scheduler.start(paused=True)
    assert schedule.next_times()["job:shop"] > datetime.now(UTC)
    schedule.close()


def test_reload_takes_the_new_jobs_and_a_bad_one_changes_nothing(bench, running) -> None:
    bench.configure(schedule="0 0 1 1 *")
    made = component(bench)
    running(made)
    until(lambda: made.status()["next"])
    bench.data["backup"]["jobs"]["second"] = {**bench.data["backup"]["jobs"]["shop"], "schedule": "every 1s"}
    bench.config.write_text(yamlfile.dump(bench.data))
    made.reload(bench.settings)
    assert set(made.status()["jobs"]) == {"shop", "second"}
    until(lambda: history.job_runs(bench.state, "second", ("ok",)))


def test_a_failing_job_does_not_end_the_component(bench, running) -> None:
    bench.configure(schedule="every 1s")
    bench.shop.destroy()
    made = component(bench)
    running(made)
    until(lambda: len(history.job_runs(bench.state, "shop", ("failed",))) >= 2)
    assert made.status()["jobs"]["shop"]["last"] in {"failed", "running"}


def test_a_missed_drill_is_a_failure_recorded_once(bench) -> None:
    bench.configure(drill={"schedule": "0 3 * * *", "grace": "1h"})
    made = component(bench)
    bench.state.save_checkpoint("backup/seen/drill:shop", datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp())
    due = datetime(2026, 11, 21, 3, tzinfo=UTC)
    made.watch(due + timedelta(minutes=59))
    assert history.drill_runs(bench.state, "shop") == []
    for _ in range(3):
        made.watch(due + timedelta(minutes=61))
    (missed,) = history.drill_runs(bench.state, "shop")
    assert missed.result == "missed"
    assert "2026-11-21 03:00" in missed.detail["problems"][0]
    assert [e.detail["result"] for e in bench.ledger.entries() if e.action == "backup.drill"] == ["missed"]
    bench.run()
    assert bench.drill().result == "ok"
    made.watch(datetime.now(UTC) + timedelta(minutes=1))
    assert [run.result for run in history.drill_runs(bench.state, "shop")] == ["ok", "missed"]


def test_what_a_killed_daemon_left_open_is_closed(bench, running) -> None:
    history.begin_job(bench.state, "shop")
    history.begin_drill(bench.state, "shop", "restore-sqlite")
    made = component(bench)
    running(made)
    until(lambda: history.job_runs(bench.state, "shop")[0].result == "interrupted")
    assert history.drill_runs(bench.state, "shop")[0].result == "interrupted"


def test_an_ordered_pause(bench) -> None:
    now = datetime.now(UTC)
    assert paused_until(bench.state, [], now) is None
    end = order(bench.state, 3600)
    assert abs((paused_until(bench.state, [], now) - end).total_seconds()) < 1
    order(bench.state, 0)
    assert paused_until(bench.state, [], datetime.now(UTC)) is None


def test_check_and_prune_on_schedule(bench, running) -> None:
    first, _ = bench.run(), bench.run()
    with bench.repository() as repository:
        forget(repository, [first.snapshot])
    limits = {"max_unused": 0, "max_repack_bytes": 1_000_000}
    bench.configure(
        repository={"check": {"schedule": "every 2s"}, "prune": {"schedule": "every 2s", **limits}}
    )
    running(component(bench))
    until(lambda: {"backup.check", "backup.prune"} <= {entry.action for entry in bench.ledger.entries()})
    assert bench.state.checkpoint("backup/checked/main")["problems"] == 0
    freed = [
        entry.detail["bytes_freed"] for entry in bench.ledger.entries() if entry.action == "backup.prune"
    ]
    assert freed[0] > 0


@pytest.mark.service
def test_retention_is_renewed_on_schedule(bench, running, s3_place) -> None:
    """Two runs, of which the second alone is kept: the first may lapse, the second is extended."""
    address, options = s3_place(object_lock_days=1)
    keys = {"access_key": options.access_key, "secret_key": options.secret_key}
    for name, key in keys.items():
        (bench.place / name).write_text(key)
    repository = {"store": address, **{f"{name}_file": str(bench.place / name) for name in keys}}
    lock = {"mode": "governance", "days": 1}
    bench.configure(repository=repository | {"object_lock": lock}, keep={"last": 1})
    create_repository(bench.settings.repositories["main"]).close()
    assert [bench.run().detail["forgotten"] for _ in range(2)] == [0, 0]
    lock |= {"days": 30, "renew": "every 2s"}
    bench.configure(repository=repository | {"object_lock": lock}, keep={"last": 1})
    running(component(bench))
    until(lambda: "backup.renew" in {entry.action for entry in bench.ledger.entries()})
    with bench.repository() as opened:
        older, newer = list_snapshots(opened)
        assert not opened.store.renew(Kind.SNAPSHOT, newer.id, 30)
        assert opened.store.renew(Kind.SNAPSHOT, older.id, 30)


def test_a_damaged_repository_is_found_by_the_scheduled_check(bench) -> None:
    bench.run()
    bench.configure(repository={"check": {"schedule": "@daily", "percentage": 100}})
    for pack in (bench.store / "data").rglob("*"):
        if pack.is_file():
            pack.chmod(0o600)
            pack.write_bytes(b"\x00" + pack.read_bytes()[1:])
    with pytest.raises(SentinelError, match="damaged"):
        component(bench)._check("main")
    assert bench.state.checkpoint("backup/checked/main")["problems"] > 0
