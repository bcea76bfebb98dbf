import io
import subprocess
import sys

import pytest

from sentinel import process
from sentinel.errors import ProgramError

PYTHON = sys.executable


def test_output_and_status():
    done = process.run(
        [PYTHON, "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"], check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", "err")


def test_failure_keeps_the_last_line_of_stderr():
    with pytest.raises(ProgramError, match="exit status 4: no space left") as caught:
        process.run([PYTHON, "-c", "import sys; sys.exit(print('a\\nno space left', file=sys.stderr) or 4)"])
    assert caught.value.returncode == 4
    assert caught.value.stderr == "a\nno space left"


def test_missing_program():
    with pytest.raises(ProgramError, match="no-such-program: not installed"):
        process.run(["no-such-program"])


def test_time_limit():
    with pytest.raises(ProgramError, match=r"no result after 0\.2 s"):
        process.run([PYTHON, "-c", "import time; time.sleep(60)"], timeout_seconds=0.2)


def test_environment_and_stdin():
    script = "import os, sys; print(os.environ['SECRET'] + sys.stdin.read())"
    assert process.run([PYTHON, "-c", script], stdin=b"!", env={"SECRET": "s"}).stdout == b"s!\n"


def test_stream_gives_output_then_the_error():
    script = "import sys; print('x' * 1_000_000); sys.exit('half way')"
    with pytest.raises(ProgramError, match="half way"), process.stream([PYTHON, "-c", script]) as out:
        assert len(out.read()) == 1_000_001


def test_leaving_a_stream_early_ends_the_program():
    with pytest.raises(KeyError), process.stream([PYTHON, "-c", "while True: print('x' * 1000)"]) as out:
        assert out.read(10) == b"x" * 10
        raise KeyError


def test_feed(tmp_path):
    target = tmp_path / "copy"
    with process.feed(
        [PYTHON, "-c", f"import sys; open({str(target)!r}, 'wb').write(sys.stdin.buffer.read())"]
    ) as stdin:
        stdin.write(b"data" * 100_000)
    assert target.read_bytes() == b"data" * 100_000


def test_feed_to_a_program_that_gives_up():
    with (
        pytest.raises(ProgramError, match="disk full"),
        process.feed([PYTHON, "-c", "import sys; sys.exit('disk full')"]) as stdin,
    ):
        for _ in range(1000):
            stdin.write(b"x" * 100_000)


def test_stop_ends_what_ignores_sigterm():
    script = (
        "import signal, sys, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    )
    child = process.start([PYTHON, "-c", script], output=-1)
    assert child.stdout is not None
    with child.stdout as out:
        assert out.readline() == b"up\n"
        assert process.stop(child, grace_seconds=0.2) == -9


def test_find_looks_beyond_the_path(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert process.find("ip") in {"/usr/sbin/ip", "/sbin/ip"}
    assert process.find("no-such-program") is None


def test_killed_by_a_signal_is_said():
    with pytest.raises(ProgramError, match="signal SIGKILL"):
        process.run([PYTHON, "-c", "import os; os.kill(os.getpid(), 9)"])


def test_stdin_of_a_stream(tmp_path):
    source = tmp_path / "in"
    source.write_bytes(b"abc")
    with source.open("rb") as file, process.stream([PYTHON, "-c", "print(input())"], stdin=file) as out:
        assert isinstance(out, io.BufferedReader)
        assert out.read() == b"abc\n"


def test_who_exists():
    ended = subprocess.Popen(["true"])
    assert process.exists(ended.pid)  # until its parent has looked
    ended.wait()
    assert not process.exists(ended.pid)
    assert process.exists(1)
    assert not process.exists(0)
    assert not process.exists(-1)
