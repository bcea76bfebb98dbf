"""Following one log over every way of rotating it. A line is an own number: none may be missing, none come twice."""

import gzip
import os
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.capture import follow, logfile
from sentinel.capture.follow import Follower
from sentinel.capture.position import Position


@pytest.fixture(autouse=True)
def no_linger(monkeypatch):
    monkeypatch.setattr(follow, "LINGER_SECONDS", 0.0)


class Log:
    """A log and its writer."""

    def __init__(self, folder):
        self.path = folder / "access.log"
        self.path.touch()
        self.written = 0
        self.follower = Follower(self.path)
        self.follower.begin()
        self.read_lines = []
        self.numbers = []

    def write(self, count=1, end="\n", path=None):
        with (path or self.path).open("a") as file:
            for i in range(count):
                file.write(f"line {self.written}" + ("\n" if i < count - 1 else end))
                self.written += 1

    def shift(self):
        for number in range(40, 0, -1):
            for suffix in ("", ".gz"):
                old = self.path.with_name(f"access.log.{number}{suffix}")
                if old.exists():
                    old.rename(self.path.with_name(f"access.log.{number + 1}{suffix}"))
        return self.path.with_name("access.log.1")

    def rename(self, create=True):
        self.path.rename(self.shift())
        if create:
            self.path.touch()

    def copytruncate(self):
        shutil.copyfile(self.path, self.shift())
        os.truncate(self.path, 0)

    def compress(self):
        first = self.shift()
        self.path.rename(first)
        self.path.touch()
        first.with_name("access.log.1.gz").write_bytes(gzip.compress(first.read_bytes()))
        first.unlink()

    def read(self):
        idle = 0
        while idle < 3:  # a rotation is noticed at one call and followed at the next
            batch = self.follower.read()
            if batch is None:
                idle += 1
                continue
            idle = 0
            self.read_lines += [row.decode().rstrip("\n") for row in batch.rows()]
            self.numbers += range(batch.first, batch.first + len(batch))
            assert batch.cookie == self.follower.position

    def restart(self):
        stored = Position.from_json(self.follower.position.to_json())
        self.follower.close()
        self.follower = Follower(self.path, stored)

    def check(self):
        self.read()
        assert self.read_lines == [f"line {i}" for i in range(self.written)]


@pytest.fixture
def log(tmp_path):
    log = Log(tmp_path)
    yield log
    log.follower.close()


ROTATIONS = ["rename", "copytruncate", "compress"]


@pytest.mark.parametrize("rotate", ROTATIONS)
@pytest.mark.parametrize("restart", [False, True])
def test_what_was_not_read_before_a_rotation_is_read_after_it(log, rotate, restart):
    log.write(3)
    log.read()
    log.write(2)
    getattr(log, rotate)()
    if restart:
        log.restart()
    log.write(2)

    log.check()


@pytest.mark.parametrize("rotate", ROTATIONS)
def test_generations_that_came_and_went_while_nobody_read(log, rotate):
    log.write(3)
    log.read()
    log.restart()
    for _ in range(4):
        log.write(2)
        getattr(log, rotate)()
    log.write(1)

    log.check()


@pytest.mark.parametrize("rotate", ROTATIONS)
def test_an_empty_log_rotated_twice_between_two_looks(log, rotate):
    log.write(3)
    getattr(log, rotate)()
    log.read()
    log.write(2)
    getattr(log, rotate)()
    log.write(1)

    log.check()


def test_a_server_that_writes_to_the_old_file_until_it_reopens(log):
    log.write(2)
    log.read()
    log.rename()
    log.write(2, path=log.path.with_name("access.log.1"))
    log.write(2)

    log.check()


def test_a_missing_log_is_waited_for(log):
    log.write(2)
    log.rename(create=False)
    log.read()
    assert log.read_lines == ["line 0", "line 1"]
    log.write(1)

    log.check()


def test_a_torn_line_waits_for_its_rest(log):
    log.write(2, end="")
    log.read()
    assert log.read_lines == ["line 0"]
    with log.path.open("a") as file:
        file.write("\n")

    log.check()


def test_the_torn_last_line_of_a_rotated_log_is_a_line(log):
    log.write(2, end="")
    log.read()
    log.rename()
    log.write(1)

    log.check()


def test_truncated_in_place_without_a_copy_starts_again(log):
    log.write(5)
    log.read()
    os.truncate(log.path, 0)
    log.write(2)

    log.check()
    assert log.follower.lost == 1


def test_truncated_and_grown_beyond_the_old_place_is_noticed(log):
    log.write(2)
    log.read()
    log.copytruncate()
    log.write(50)

    log.check()


def test_line_numbers_go_on_after_a_restart_and_begin_anew_in_a_new_file(log):
    log.write(3)
    log.read()
    log.restart()
    log.write(2)
    log.read()
    log.rename()
    log.write(2)
    log.read()

    assert log.numbers == [1, 2, 3, 4, 5, 1, 2]


def test_an_overlong_line_is_cut_and_the_next_is_whole(log, monkeypatch):
    monkeypatch.setattr(logfile, "LONGEST_LINE", 100)
    monkeypatch.setattr(follow, "CHUNK_BYTES", 64)
    log.path.write_text("x" * 1000 + "\nnext\n")
    log.read()

    assert [len(line) for line in log.read_lines] == [99, 4]


def test_a_restart_inside_an_overlong_line(log, monkeypatch):
    monkeypatch.setattr(logfile, "LONGEST_LINE", 100)
    monkeypatch.setattr(follow, "CHUNK_BYTES", 64)
    with log.path.open("a") as file:
        file.write("x" * 500)
    log.read()
    log.restart()
    with log.path.open("a") as file:
        file.write("x" * 500 + "\nnext\n")
    log.read()

    assert [len(line) for line in log.read_lines] == [99, 4]


def test_a_first_start_at_the_end_counts_the_lines_before(tmp_path):
    path = tmp_path / "a.log"
    path.write_text("old\nolder\ntorn")
    follower = Follower(path, at_end=True)
    follower.begin()
    with path.open("a") as file:
        file.write(" line\nnew\n")

    batch = follower.read()

    follower.close()
    assert (batch.first, list(batch.rows())) == (3, [b"torn line\n", b"new\n"])


def test_an_inode_that_was_reused_is_not_taken_for_the_old_file(log):
    log.write(3)
    log.read()
    position = log.follower.position
    log.path.write_text("another beginning\n" * 9)  # the same inode with other content

    other = Follower(log.path, position)

    assert next(iter(other.read().rows())) == b"another beginning\n"
    other.close()


@pytest.mark.parametrize("junk", [None, 5, {}, {"device": 1}, {"device": 1, "inode": 2, "surprise": 3}])
def test_a_position_nobody_wrote(junk):
    assert Position.from_json(junk) is None


steps = st.lists(
    st.one_of(st.integers(1, 4), st.sampled_from([*ROTATIONS, "read", "restart"])), min_size=5, max_size=40
)


@settings(max_examples=60)
@given(steps=steps)
def test_any_order_of_writing_rotating_reading_and_restarting(tmp_path_factory, steps):
    log = Log(tmp_path_factory.mktemp("log"))
    for step in steps:
        if isinstance(step, int):
            log.write(step)
        else:
            getattr(log, step)()

    log.check()
    log.follower.close()


def test_late_lines_of_a_file_that_was_renamed_while_nobody_followed(log, monkeypatch):
    """Killed, then started just when the log is rotated: the server still writes to the renamed file."""
    log.write(3)
    log.read()
    log.rename(create=False)
    log.restart()
    monkeypatch.setattr(follow, "LINGER_SECONDS", 1e9)
    assert log.follower.read() is None
    log.write(2, path=log.path.with_name("access.log.1"))
    log.path.touch()
    log.read()
    assert log.read_lines[3:] == ["line 3", "line 4"]  # from the old file, though another stands at its path
    monkeypatch.setattr(follow, "LINGER_SECONDS", 0.0)
    log.write()
    log.check()
