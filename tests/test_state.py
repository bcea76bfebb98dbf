import sqlite3
import threading

import pytest

from sentinel.errors import SentinelError
from sentinel.state import State


def test_a_checkpoint_survives(tmp_path):
    State(tmp_path).save_checkpoint("access.log", {"inode": 7, "offset": 1234})
    assert State(tmp_path).checkpoint("access.log") == {"inode": 7, "offset": 1234}
    assert State(tmp_path).checkpoint("other.log") is None


def test_a_failed_write_leaves_nothing(tmp_path):
    state = State(tmp_path)
    with pytest.raises(ZeroDivisionError), state.write() as connection:
        connection.execute("INSERT INTO checkpoint VALUES ('a', '1', 0)")
        raise ZeroDivisionError
    assert state.checkpoint("a") is None


def test_threads_have_their_own_connection(tmp_path):
    state = State(tmp_path)

    def write(name):
        for number in range(20):
            state.save_checkpoint(name, number)
        state.close()

    threads = [threading.Thread(target=write, args=(f"s{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [state.checkpoint(f"s{n}") for n in range(4)] == [19] * 4


def test_reports_replace_each_other(tmp_path):
    state = State(tmp_path)
    state.report("logs", "running", pid=1, since=2, detail={"lines": 3})
    state.report("logs", "stopped", pid=1, since=2)
    rows = state.read("SELECT name, state, detail FROM component")
    assert [tuple(row) for row in rows] == [("logs", "stopped", "{}")]


def test_migrations_run_once(tmp_path):
    State(tmp_path).save_checkpoint("a", 1)
    version = sqlite3.connect(tmp_path / "state.db").execute("PRAGMA user_version").fetchone()
    assert State(tmp_path).checkpoint("a") == 1
    assert sqlite3.connect(tmp_path / "state.db").execute("PRAGMA user_version").fetchone() == version


def test_a_place_that_cannot_hold_state(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SentinelError, match="state cannot be opened"):
        State(tmp_path / "file" / "state")
    (tmp_path / "state.db").write_bytes(b"not a database" * 100)
    with pytest.raises(SentinelError, match="state cannot be opened"):
        State(tmp_path)


def test_who_only_looks_makes_none(tmp_path):
    state = State(tmp_path / "none", reading=True)
    assert state.read("SELECT * FROM component") == []
    assert not (tmp_path / "none").exists()
    State(tmp_path).save_checkpoint("a", 1)
    assert State(tmp_path, reading=True).checkpoint("a") == 1
