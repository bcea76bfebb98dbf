"""sentinel backup as a user types it: exit codes of restic, one clear line, files and tables to stdout."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

if "shop" not in sys.modules:
    _spec = importlib.util.spec_from_file_location("shop", Path(__file__).parents[1] / "shop.py")
    sys.modules["shop"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["shop"])

from shop import Bench, SqliteShop

from sentinel.backup.lock import locked


@pytest.fixture
def bench(tmp_path) -> Bench:
    shop = SqliteShop(tmp_path, None)
    shop.seed()
    return Bench(tmp_path, shop)


@pytest.fixture
def do(bench, sentinel):
    return lambda *words, check=0: sentinel("backup", *words, "--config", bench.config, check=check)


def test_exit_codes_and_one_line_each(bench, do) -> None:
    (bench.place / "repo.pw").write_text("guess")
    for command in (("run", "shop"), ("list",)):
        assert len(do(*command, check=12).stderr.splitlines()) == 1
    (bench.place / "repo.pw").write_text("correct horse")
    with bench.repository() as repository, locked(repository, exclusive=True):
        assert "lock" in do("check", check=11).stderr
    bench.store.rename(bench.place / "elsewhere")
    for command in (("run", "shop"), ("list",)):
        assert "there is no repository" in do(*command, check=10).stderr
    for command in (("run", "shoo"), ("list", "--repository", "mian")):
        assert len(do(*command, check=2).stderr.splitlines()) == 1


def test_a_tour(bench, do, sentinel) -> None:
    first = json.loads(do("run", "shop", "--json").stdout)
    assert (first["result"], first["rows"]) == ("ok", 350)
    (snapshot,) = json.loads(do("list", "--json").stdout)
    assert snapshot["id"] == first["snapshot"]
    files = json.loads(do("list", "--snapshot", "latest", "--json").stdout)
    assert "/sqlite/database.db" in [entry["path"] for entry in files]
    assert "0 problems" in do("check", "--read-data").stdout
    table = do("dump", "latest", "--job", "shop", "--table", "customer").stdout
    assert table.count("INSERT INTO") == 50
    document = do("dump", "latest", "/sentinel/invariants.json").stdout
    assert json.loads(document)["kind"] == "sqlite"
    do("restore", "latest", "--target", bench.place / "out")
    assert (bench.place / "out" / "sqlite" / "database.db").stat().st_size > 1000
    do("load", "shop", "--into", bench.place / "copy.db")
    assert "0 differences" in do("verify", "shop", "--into", bench.place / "copy.db").stdout
    do("load", "shop", check=1)  # the source itself
    do("forget", "--snapshot", snapshot["id"][:10], "--dry-run")
    assert len(json.loads(do("list", "--json").stdout)) == 1
    do("forget", "--snapshot", snapshot["id"][:10])
    assert json.loads(do("list", "--json").stdout) == []
    do("prune")
    assert "paused until" in do("pause", "2h").stdout


def ledger(sentinel, bench):
    shown = sentinel("ledger", "show", "--json", "--config", bench.config, check=0).stdout
    return [json.loads(line) for line in shown.splitlines()]


def test_keys(bench, do, sentinel) -> None:
    new = bench.place / "new.pw"
    new.write_text("another\n")
    do("key", "add", "--new-password-file", new)
    assert len(json.loads(do("key", "list", "--json").stdout)) == 2
    (bench.place / "repo.pw").rename(bench.place / "old.pw")
    new.rename(bench.place / "repo.pw")
    do("key", "remove", "--opened-by", bench.place / "old.pw")
    assert "no key opens" in do("key", "remove", "--opened-by", bench.place / "old.pw").stdout
    (key,) = json.loads(do("key", "list", "--json").stdout)
    do("key", "remove", key["id"], check=1)
    actions = [entry["action"] for entry in ledger(sentinel, bench)]
    assert actions[-2:] == ["backup.key.add", "backup.key.remove"]


def test_restoring_over_live_data_must_be_asked_for(bench, do) -> None:
    do("run", "shop")
    assert "--in-place" in do("restore", "latest", check=2).stderr


def test_paths_and_standard_input_once(bench, do) -> None:
    tree = bench.place / "tree"
    (tree / "cache").mkdir(parents=True)
    (tree / "page").write_text("page")
    (tree / "cache" / "junk").write_text("junk")
    once = json.loads(do("run", "--path", tree, "--exclude", "cache", "--tag", "once", "--json").stdout)
    assert (once["files_new"], once["bytes_total"], once["unreadable"]) == (1, 4, [])
    words = [
        *("backup", "run", "--stdin", "dump.sql", "-r", bench.store),
        "--password-file",
        bench.place / "repo.pw",
    ]
    command = [sys.executable, "-m", "sentinel", *map(str, words), "--config", "/nowhere"]
    done = subprocess.run(command, input=b"SELECT 1;", capture_output=True, check=True)
    assert b"snapshot" in done.stdout
    listed = json.loads(do("list", "--json").stdout)
    assert [each["paths"] for each in listed] == [[str(tree)], ["/dump.sql"]]
    assert listed[0]["tags"] == ["once"]
    assert do("dump", "latest", "/dump.sql").stdout == "SELECT 1;"
    assert "either a job or" in do("run", "shop", "--stdin", "x", check=2).stderr


POLICIES = [
    ["-l", "2", "-H", "2", "--keep-daily", "3", "-w", "2", "-m", "1", "-y", "1", "--host", "web"],
    ["--keep-within", "2d", "--keep-within-weekly", "1m", "--keep-tag", "release,web", "--group-by", "tags"],
    ["--keep-within-hourly", "3h", "--keep-within-daily", "1m5d", "--keep-within-monthly", "1y", "--tag", "web"],
    ["--keep-yearly", "5", "--keep-within-yearly", "2y", "--path", "/web"],
]  # fmt: skip


@pytest.fixture
def history(bench):
    """Two hosts, some 30 snapshots, over a year and a half; made by the engine at times of our choice."""
    from sentinel.backup.archive import BackupOptions, Stream, backup

    hours = [0, 1, 2, 5, 20, 30, 49, 80, 130, 200, 400, 700, 1000, 2000, 5000, 9000, 13000]
    newest = 1_750_000_000 - 17 * 60
    with bench.repository() as repository:
        for number, hour in enumerate(hours):
            for host in ("web", "db")[: 1 + number % 2]:
                tags = (host, *(["release"] if number % 5 == 3 else []))
                when = (newest - hour * 3600) * 10**9
                options = BackupOptions(hostname=host, tags=tags, time_ns=when)
                backup(repository, streams=[Stream(f"/{host}", io.BytesIO(b"x"))], options=options)


def test_forget_by_restics_flags_decides_as_restic(bench, do, history) -> None:
    env = {**os.environ, "RESTIC_PASSWORD": "correct horse"}
    for policy in POLICIES:
        ours = json.loads(do("forget", *policy, "--dry-run", "--json").stdout)
        command = ["restic", "--no-cache", "-r", str(bench.store), "forget", *policy, "--dry-run", "--json"]
        done = subprocess.run(command, env=env, capture_output=True, check=True)
        groups = json.loads(done.stdout.splitlines()[0]) or []
        kept = {each["id"] for group in groups for each in group["keep"] or ()}
        gone = {each["id"] for group in groups for each in group["remove"] or ()}
        assert {each["id"] for each in ours if each["keep"]} == kept
        assert {each["id"] for each in ours if not each["keep"]} == gone
        assert kept
        assert gone
        reasons = {
            each["id"]: why["matches"]
            for group in groups
            for each, why in zip(group["keep"] or (), group["reasons"] or (), strict=True)
        }
        assert {each["id"]: each["reasons"] for each in ours if each["keep"]} == reasons


def test_forget_and_prune_at_once(bench, do, sentinel, history) -> None:
    do("run", "shop")
    before = len(json.loads(do("list", "--json").stdout))
    packs = len(list(bench.store.glob("data/*/*")))
    said = do("forget", "--keep-last", "1", "--group-by", "host", "--prune").stdout
    assert f"forgot {before - 3} snapshots" in said
    assert "last snapshot" in said
    assert len(json.loads(do("list", "--json").stdout)) == 3
    assert len(list(bench.store.glob("data/*/*"))) < packs
    assert "0 problems" in do("check", "--percentage", "100").stdout
    recorded = {entry["action"]: entry["detail"] for entry in ledger(sentinel, bench)}
    assert recorded["backup.forget"]["removed"] == before - 3
    assert recorded["backup.prune"]["bytes_freed"] > 0


def test_forget_needs_a_policy_that_makes_sense(bench, do) -> None:
    do("run", "shop")
    for words in (
        (),
        ("shop",),  # without `keep` in the configuration
        ("--keep-last", "-3"),
        ("--keep-within", "soon"),
        ("--keep-last", "1", "--group-by", "size"),
        ("--snapshot", "latest", "--keep-last", "1"),
    ):
        assert do("forget", *words, check=2).stdout == ""
    assert "keep" in do("forget", "shop", "--keep-daily", "7", "--dry-run").stdout
    assert len(json.loads(do("list", "--json").stdout)) == 1
