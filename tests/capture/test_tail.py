import errno
import gzip
import sys
import threading
import tracemalloc

import pytest
from waiting import PATIENCE_SECONDS, until

from sentinel import metrics
from sentinel.capture import follow, wake
from sentinel.capture.journald import JournalReader
from sentinel.capture.settings import LogFile
from sentinel.capture.tail import Tail


def drained(tail):
    return [
        (file.format, batch.source.rpartition("/")[2], row)
        for file, batch in tail.drain()
        for row in batch.rows()
    ]


def test_files_there_at_the_first_start_are_read_from_their_end_and_later_ones_whole(tmp_path):
    (tmp_path / "a.log").write_text("old\n")
    tail = Tail(
        [LogFile(path=str(tmp_path / "*.log"), format="syslog"), LogFile(path=str(tmp_path / "late"))], {}
    )
    with (tmp_path / "a.log").open("a") as file:
        file.write("new\n")
    (tmp_path / "b.log").write_text("b\n")
    (tmp_path / "late").write_text("late\n")
    tail.find()

    got = drained(tail)
    tail.close()

    assert sorted(got) == [
        ("auto", "late", b"late\n"),
        ("syslog", "a.log", b"new\n"),
        ("syslog", "b.log", b"b\n"),
    ]


def test_read_from_the_beginning(tmp_path):
    (tmp_path / "a.log").write_text("old\n")
    tail = Tail([LogFile(path=str(tmp_path / "a.log"), read_from="beginning")], {})

    got = drained(tail)
    tail.close()

    assert got == [("auto", "a.log", b"old\n")]


def test_a_glob_does_not_follow_rotated_generations(tmp_path):
    for name in ("a.log", "a.log.1", "a.log-20260301", "b.log"):
        (tmp_path / name).write_text(name + "\n")
    (tmp_path / "a.log.2.gz").write_bytes(gzip.compress(b"old\n"))
    tail = Tail([LogFile(path=str(tmp_path / "*"), read_from="beginning")], {})

    got = drained(tail)
    tail.close()

    assert sorted(name for _, name, _ in got) == ["a.log", "b.log"]


def test_goes_on_at_stored_positions(tmp_path):
    path = tmp_path / "a.log"
    path.write_text("one\n")
    file = LogFile(path=str(path), read_from="beginning")
    first = Tail([file], {})
    assert len(drained(first)) == 1
    stored = {name: position.to_json() for name, position in first.positions().items()}
    first.close()
    with path.open("a") as out:
        out.write("two\n")

    second = Tail([file], stored, frozenset([str(path)]))
    got = drained(second)
    second.close()

    assert got == [("auto", "a.log", b"two\n")]


def test_batches_wake_up_for_new_lines_and_new_files(tmp_path):
    tail = Tail([LogFile(path=str(tmp_path / "*.log"))], {})
    stop, rows, idle = threading.Event(), [], []

    def follow():
        for _, batch in tail.batches(stop, lambda: idle.append(1)):
            rows.extend(batch.rows())
            if len(rows) == 3:
                stop.set()

    thread = threading.Thread(target=follow)
    thread.start()
    for i in range(3):
        (tmp_path / f"{i}.log").write_text(f"{i}\n")
    thread.join(PATIENCE_SECONDS)

    assert sorted(rows) == [b"0\n", b"1\n", b"2\n"]
    assert idle


def test_backpressure_a_slow_consumer_costs_no_memory_and_no_line(tmp_path, monkeypatch):
    """What waits stays in the file, chunk by chunk as the consumer asks; the metric says how much."""
    chunk = 64 * 1024
    monkeypatch.setattr(follow, "CHUNK_BYTES", chunk)
    log = tmp_path / "a.log"
    log.touch()
    lines = [b"%08d %s\n" % (n, b"x" * 100) for n in range(40_000)]
    tail = Tail([LogFile(path=str(log))], {})
    log.write_bytes(b"".join(lines))
    stop, got, waiting = threading.Event(), [], []
    tracemalloc.start()
    for _, batch in tail.batches(stop):
        begin, end = len(got), len(got) + len(batch)
        assert len(batch.data) <= chunk + len(lines[0])
        assert batch.data == b"".join(lines[begin:end])
        got += [batch.first] * len(batch)
        waiting.append(metrics.held()[metrics.log_behind.series("gauge_mostrecent", {"file": str(log)})])
        if end == len(lines):
            stop.set()
        elif begin == 0:  # a writer that is faster than we are
            lines += lines[:1000]
            with log.open("ab") as file:
                file.writelines(lines[:1000])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(got) == 41_000
    assert peak < 20 * chunk + sys.getsizeof(got), "the backlog of 4 MB was taken into memory"
    assert waiting[-1] == 0
    assert waiting[1:] == sorted(waiting[1:], reverse=True)
    assert waiting[1] > 60 * chunk


def test_where_no_watch_can_be_had_files_are_polled(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "no inotify watches left")

    monkeypatch.setattr(wake, "POLL_SECONDS", 3600.0)
    monkeypatch.setattr("watchdog.observers.api.BaseObserver.schedule", refuse)
    tail = Tail([LogFile(path=str(tmp_path / "*.log"))], {})
    stop, rows = threading.Event(), []

    def follow():
        for _, batch in tail.batches(stop):
            rows.extend(batch.rows())
            stop.set()

    thread = threading.Thread(target=follow)
    thread.start()
    (tmp_path / "late.log").write_text("line\n")
    thread.join(PATIENCE_SECONDS)
    assert rows == [b"line\n"]


JOURNALCTL = """#!/bin/sh
echo "$@" >> {log}
case "$*" in
*--after-cursor=two*) echo '{{"__CURSOR":"three","MESSAGE":"c"}}' ;;
*) printf '{{"__CURSOR":"one","MESSAGE":"a"}}\\n{{"__CURSOR" : "two","MESSAGE":"b"}}\\n{{"torn' ;;
esac
{end}
"""


def journalctl(folder, end):
    program = folder / "journalctl"
    program.write_text(JOURNALCTL.format(log=folder / "calls", end=end))
    program.chmod(0o755)
    return str(program)


def wait_for(reader):
    return until(reader.read)


def test_the_journal_is_resumed_after_its_cursor(tmp_path):
    reader = JournalReader(None, program=journalctl(tmp_path, "exec sleep 60"))
    begun = reader.position
    reader.begin()
    batch = wait_for(reader)
    reader.close()

    again = JournalReader(batch.cookie, program=journalctl(tmp_path, "exec sleep 60"))
    again.begin()
    more = wait_for(again)
    again.close()

    assert batch.cookie == {"cursor": "two"}
    assert len(batch) == 2
    assert more.cookie == {"cursor": "three"}
    assert (tmp_path / "calls").read_text().splitlines() == [
        f"--output=json --follow --no-pager --lines=all --since=@{begun['since']:.6f}",
        "--output=json --follow --no-pager --lines=all --after-cursor=two",
    ]


@pytest.mark.parametrize(
    ("position", "at_end", "place"),
    [
        ({"since": 1.5}, True, " --since=@1.500000"),
        ({"since": 1.5}, False, " --since=@1.500000"),
        (None, False, ""),
        ({"inode": 7}, False, ""),
    ],
    ids=["restart", "restart, read from the beginning", "read from the beginning", "not ours"],
)
def test_where_the_journal_begins_before_its_first_line(tmp_path, position, at_end, place):
    reader = JournalReader(position, at_end=at_end, program=journalctl(tmp_path, "exec sleep 60"))
    reader.begin()
    wait_for(reader)
    reader.close()
    assert (tmp_path / "calls").read_text() == f"--output=json --follow --no-pager --lines=all{place}\n"


def test_a_restart_before_the_first_line_goes_on_at_the_first_start():
    """Not with the whole journal, and not with what comes after the restart."""
    settings = [LogFile(path="journald", format="journald-json")]
    first = Tail(settings, {})
    stored = first.positions()
    first.close()
    second = Tail(settings, stored, frozenset(["journald"]))
    again = second.positions()
    second.close()
    assert stored == again
    assert list(stored["journald"]) == ["since"]


def test_a_journalctl_that_ends_is_started_again_later(tmp_path, monkeypatch):
    monkeypatch.setattr("sentinel.capture.journald.RETRY_SECONDS", 0.0)
    reader = JournalReader(None, program=journalctl(tmp_path, "exit 1"))
    reader.begin()

    first, second = wait_for(reader), wait_for(reader)
    reader.close()

    assert (first.cookie, second.cookie) == ({"cursor": "two"}, {"cursor": "three"})


def test_a_host_without_journalctl(tmp_path):
    reader = JournalReader(None, program=str(tmp_path / "none"))
    reader.begin()

    assert reader.read() is None
