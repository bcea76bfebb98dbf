"""Jobs: snapshot and history, hooks, failures that leave no snapshot, files that cannot be read, retention."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
from shop import Bench, SqliteShop

from sentinel.backup import access, history
from sentinel.backup.jobs import only_one
from sentinel.errors import (
    IncompleteError,
    LockedError,
    SourceError,
    UsageError,
    WrongPasswordError,
)
from sentinel.state import State


@pytest.fixture
def bench(tmp_path) -> Bench:
    shop = SqliteShop(tmp_path, None)
    shop.seed()
    return Bench(tmp_path, shop)


def snapshots(bench):
    with bench.repository() as repository:
        return access.job_snapshots(repository, "shop")


def test_a_run_is_in_repository_state_and_ledger(bench) -> None:
    result = bench.run()
    assert result.result == "ok"
    (snapshot,) = snapshots(bench)
    assert snapshot.id == result.snapshot
    assert snapshot.tags == ("job:shop",)
    assert snapshot.paths == ("/sqlite/database.db", "/sentinel/invariants.json")
    (run,) = history.job_runs(bench.state, "shop")
    assert (run.result, run.snapshot, run.detail["rows"]) == ("ok", result.snapshot, 350)
    (entry,) = bench.ledger.entries()
    assert (entry.action, entry.detail["result"], entry.detail["snapshot"]) == (
        "backup.run",
        "ok",
        result.snapshot,
    )


def test_stock_restic_reads_it(bench) -> None:
    bench.run()
    env = {
        **os.environ,
        "RESTIC_PASSWORD_FILE": str(bench.place / "repo.pw"),
        "RESTIC_REPOSITORY": str(bench.store),
    }
    subprocess.run(["restic", "--no-cache", "check", "--read-data"], env=env, check=True, capture_output=True)
    copy = bench.place / "by-hand.db"
    with copy.open("wb") as out:
        command = ["restic", "--no-cache", "dump", "--tag", "job:shop", "latest", "/sqlite/database.db"]
        subprocess.run(command, env=env, check=True, stdout=out)
    mine = bench.shop.rows()
    bench.shop.path = copy
    assert bench.shop.rows() == mine


def test_a_missing_source_fails_and_leaves_no_snapshot(bench) -> None:
    bench.shop.destroy()
    result = bench.run()
    assert result.result == "failed"
    assert "there is no such database" in result.message
    assert snapshots(bench) == []
    with pytest.raises(SourceError):
        result.require_ok()


def test_a_dump_that_breaks_off_leaves_no_snapshot(bench, monkeypatch) -> None:
    """The database is destroyed in the middle: its measurement fails after the dump was read."""
    result = bench.run()
    monkeypatch.setattr("sentinel.backup.source.sqlite.Sqlite._measure", _broken)
    assert bench.run().result == "failed"
    assert [snapshot.id for snapshot in snapshots(bench)] == [result.snapshot]


def _broken(*_arguments):
    raise SourceError("sqlite: disk image is malformed")


def test_a_wrong_password_is_its_own_error(bench) -> None:
    (bench.place / "repo.pw").write_text("guess")
    result = bench.run()
    assert result.result == "failed"
    with pytest.raises(WrongPasswordError):
        result.require_ok()


def test_hooks_run_around_it_and_learn_the_result(bench) -> None:
    log = bench.place / "hooks"
    note = f'echo "$0 $SENTINEL_JOB $SENTINEL_RESULT" >> {log}'
    hooks = {
        "before": [{"run": ["sh", "-c", note, "before"]}],
        "after": [{"run": ["sh", "-c", note, "after"]}],
    }
    bench.configure(hooks=hooks)
    assert bench.run().result == "ok"
    bench.shop.destroy()
    assert bench.run().result == "failed"
    assert log.read_text().splitlines() == [
        "before shop running",
        "after shop ok",
        "before shop running",
        "after shop failed",
    ]


@pytest.mark.parametrize(
    "hook", [{"run": ["false"]}, {"run": ["sleep", "60"], "timeout": "100ms"}, {"run": ["/no/such"]}]
)
def test_a_failing_before_hook_fails_the_job(bench, hook) -> None:
    if "timeout" in hook:
        hook["timeout"] = 0.1
    bench.configure(hooks={"before": [hook]})
    result = bench.run()
    assert result.result == "failed"
    assert result.message.startswith("before hook: ")
    assert snapshots(bench) == []


def test_a_failing_after_hook_is_not_hidden(bench) -> None:
    bench.configure(hooks={"after": [{"run": ["false"]}]})
    result = bench.run()
    assert result.result == "failed"
    assert result.message.startswith("after hook")
    assert len(snapshots(bench)) == 1


def test_keep_forgets_older_snapshots(bench) -> None:
    bench.configure(keep={"last": 2})
    made = [bench.run().snapshot for _ in range(4)]
    assert [snapshot.id for snapshot in snapshots(bench)] == made[2:]


def test_each_host_has_a_history_of_its_own(bench, monkeypatch) -> None:
    """Two hosts with a job of one name in one repository: neither pushes out what the other has kept."""
    bench.configure(keep={"last": 1})
    for host in ("web-1", "web-2", "web-1"):
        monkeypatch.setattr("socket.gethostname", lambda host=host: host)
        bench.run()
    assert sorted(snapshot.hostname for snapshot in snapshots(bench)) == ["web-1", "web-2"]
    with bench.repository() as repository:
        for host, latest in (("web-1", "web-1"), ("web-2", "web-2"), ("bare", "web-1")):
            monkeypatch.setattr("socket.gethostname", lambda host=host: host)
            assert access.job_snapshot(repository, "shop").hostname == latest


def test_no_keep_forgets_nothing(bench) -> None:
    for _ in range(3):
        bench.run()
    assert len(snapshots(bench)) == 3


def test_only_one_at_a_time(bench) -> None:
    with only_one(bench.state, "shop"), pytest.raises(LockedError):
        bench.run()
    assert bench.run().result == "ok"


def test_an_unknown_job_is_a_usage_error(bench) -> None:
    from sentinel.backup.jobs import run_job

    with pytest.raises(UsageError, match="known are: shop"):
        run_job(bench.settings, "shoo", bench.state, bench.ledger)


def test_being_asked_to_stop_is_a_failed_run(bench) -> None:
    stop = threading.Event()
    stop.set()
    result = bench.run(stop=stop)
    assert result.result == "failed"
    assert snapshots(bench) == []


class TestPaths:
    @pytest.fixture
    def bench(self, tmp_path) -> Bench:
        folder = tmp_path / "srv"
        (folder / "sub").mkdir(parents=True)
        for number in range(20):
            (folder / "sub" / f"file{number}").write_text(f"content {number}")
        (folder / "cache.tmp").write_text("not this")
        bench = Bench.__new__(Bench)
        bench.shop = None
        original = Bench.configure
        Bench.configure = lambda self, **_: original(
            self, source={"paths": {"include": [str(folder)], "exclude": ["*.tmp"]}}
        )
        try:
            bench.__init__(tmp_path, None)
        finally:
            Bench.configure = original
        return bench

    def test_excludes_and_counts(self, bench) -> None:
        result = bench.run()
        assert result.result == "ok"
        assert result.detail["rows"] == 20

    def test_a_missing_path_fails(self, bench) -> None:
        bench.configure(source={"paths": {"include": ["/no/such/place"]}})
        assert "there is no such file or folder" in bench.run().message
        assert snapshots(bench) == []

    def test_an_unreadable_file_is_named_and_incomplete(self, bench) -> None:
        """Root reads everything, so the job runs without the capabilities that let it."""
        (bench.place / "srv" / "sub" / "file3").chmod(0)
        script = (
            "import sys, os\n"
            "from pathlib import Path\n"
            "from sentinel.config import load\nfrom sentinel.backup.jobs import run_job\n"
            "from sentinel.ledger import Ledger\nfrom sentinel.state import State\n"
            "place = Path(sys.argv[1])\n"
            "result = run_job(load(place / 'sentinel.yml').backup, 'shop', State(place / 'state'), Ledger(place / 'state'))\n"
            "print(result.result, result.detail['unreadable'])\n"
            "sys.exit(result.error.exit_code)\n"
        )
        caps = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
        done = subprocess.run(
            [*caps, sys.executable, "-c", script, str(bench.place)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == IncompleteError.exit_code, done.stderr
        assert done.stdout.startswith("incomplete")
        assert "file3" in done.stdout
        (run,) = history.job_runs(bench.state, "shop")
        assert run.result == "incomplete"
        assert run.snapshot


def test_history_survives_and_feeds_the_metrics(bench) -> None:
    """Figures come from state: what another process did long ago is there."""
    bench.run()
    bench.shop.destroy()
    bench.run()
    read = history.figures(State(bench.place / "state"))
    values = {(f.metric.name, *f.labels.values()): f.value for f in read}
    good, bad = history.job_runs(bench.state, "shop")[::-1]
    assert values["sentinel_backup_runs", "shop", "failed"] == 1
    assert values["sentinel_backup_last_run_success", "shop"] == 0
    success = values["sentinel_backup_last_success_timestamp_seconds", "shop"]
    assert abs(success - good.finished / 1e9) < 1
    assert values["sentinel_backup_last_run_timestamp_seconds", "shop"] >= success
    assert bad.result == "failed"


def test_an_unexpected_error_still_ends_the_row(bench, monkeypatch) -> None:
    monkeypatch.setattr("sentinel.backup.jobs.source_of", lambda _job: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        bench.run()
    assert history.job_runs(bench.state, "shop")[0].result == "interrupted"
