"""The sandbox: private, gone afterwards, continued after an interruption, dead with its owner."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from shop import SCRATCH

from sentinel.backup import sandbox
from sentinel.backup.source.postgresql import Postgresql
from sentinel.errors import ProgramError, SourceError

pytestmark = pytest.mark.service


def server_processes(root: Path) -> list[psutil.Process]:
    return [
        one
        for one in psutil.process_iter(["cmdline"])
        if any(str(root) in word for word in one.info["cmdline"] or [])
    ]


def test_a_directory_of_its_own() -> None:
    with sandbox.opened("directory", SCRATCH) as place:
        assert stat.S_IMODE(place.files.stat().st_mode) == 0o700
        assert place.server is None
    assert not place.root.exists()


@pytest.mark.parametrize("kind", ["postgresql", "mariadb", "redis"])
def test_a_server_nobody_else_can_reach(kind) -> None:
    with sandbox.opened(kind, SCRATCH) as place:
        assert stat.S_IMODE((place.root / "server").stat().st_mode) == 0o700
        processes = server_processes(place.root)
        assert processes
        for one in processes:
            assert [c for c in one.net_connections() if c.status == psutil.CONN_LISTEN] == []
            assert os.geteuid() != 0 or one.uids().real != 0
    assert server_processes(place.root) == []
    assert not place.root.exists()


def test_it_goes_even_when_the_body_fails() -> None:
    with pytest.raises(ZeroDivisionError), sandbox.opened("redis", SCRATCH) as place:
        _ = 1 / 0
    assert server_processes(place.root) == []
    assert not place.root.exists()


def test_an_interrupted_one_is_continued_with_its_data() -> None:
    with pytest.raises(KeyboardInterrupt), sandbox.opened("postgresql", SCRATCH) as place:
        Postgresql("postgres", host=place.server.host, user="postgres").ask(
            "CREATE TABLE t AS SELECT 7 AS n; CHECKPOINT"
        )
        raise KeyboardInterrupt
    with sandbox.opened("postgresql", SCRATCH, root=place.root) as again:
        assert Postgresql("postgres", host=again.server.host, user="postgres").ask("SELECT n FROM t") == "7"
    with pytest.raises(SourceError, match="is gone"), sandbox.opened("postgresql", SCRATCH, root=place.root):
        pass


@pytest.mark.parametrize("kind", ["postgresql", "mariadb", "redis"])
def test_servers_die_with_a_killed_owner(kind) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom sentinel.backup import sandbox\n"
        f"with sandbox.opened({kind!r}, Path({str(SCRATCH)!r})) as place:\n"
        "    print(place.root, flush=True)\n    time.sleep(60)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    root = Path(owner.stdout.readline().strip())
    assert server_processes(root)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    deadline = time.monotonic() + 30
    while server_processes(root):
        assert time.monotonic() < deadline, "a server outlived its owner"
        time.sleep(0.05)
    sandbox.shutil.rmtree(root)


def test_what_a_crash_left_is_removed_after_a_day(tmp_path) -> None:
    old, fresh = tmp_path / (sandbox.PREFIX + "old"), tmp_path / (sandbox.PREFIX + "fresh")
    for place in (old, fresh):
        place.mkdir()
    os.utime(old, (time.time() - 2 * sandbox.STALE_SECONDS,) * 2)
    assert sandbox.remove_stale(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == [fresh.name]


def test_a_missing_program_is_named() -> None:
    with pytest.raises(ProgramError, match="no-such-server: not installed"):
        sandbox.find_program("no-such-server")
