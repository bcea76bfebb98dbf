"""One component in one process: notifications, reload, drain, status."""

import os
import signal
import socket
import subprocess
import sys

import pytest
from waiting import PATIENCE_SECONDS

from sentinel.state import State


def state_of(folder):
    return State(folder / "state").read("SELECT state FROM component WHERE name = 'metrics'")[0]["state"]


def test_ready_then_drained(daemon, tmp_path, free_port):
    running = daemon("metrics", port=free_port)
    assert "metrics is running" in running.hear("READY=1")
    assert 'sentinel_component_up{component="metrics"} 1.0' in running.scrape()
    assert state_of(tmp_path) == "running"
    running.process.terminate()
    running.hear("STOPPING=1")
    assert running.wait() == 0
    assert state_of(tmp_path) == "stopped"


def test_watchdog_is_fed(daemon, tmp_path, free_port):
    running = daemon("metrics", port=free_port)
    running.hear("WATCHDOG=1")
    running.hear("WATCHDOG=1")


HANGING = """
import sys, threading
from pathlib import Path
from sentinel.daemon import Lifecycle
from sentinel.state import State

class Stuck:
    def run(self, stop):
        stuck = threading.Lock()
        stuck.acquire()
        stuck.acquire()
    def reload(self, config): ...
    def status(self): return {}

Lifecycle("stuck", Stuck(), Path("none.yml"), State(Path(sys.argv[1]))).run()
"""


def test_a_component_that_hangs_is_not_reported_as_alive(tmp_path):
    """The watchdog is not fed, state says what is wrong."""
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING, str(tmp_path)],
        env=os.environ | {"WATCHDOG_USEC": "400000"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert "no progress" in process.stderr.readline()
        assert State(tmp_path).read("SELECT state FROM component")[0]["state"] == "hanging"
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


DRAINING = """
import sys, time
from pathlib import Path
from sentinel.daemon import Lifecycle
from sentinel.state import State

class Slow:
    def run(self, stop):
        stop.wait()
        print("draining", flush=True)
        sys.stdin.readline()
        print("drained", flush=True)
    def reload(self, config): ...
    def status(self): return {}

Lifecycle("slow", Slow(), Path("none.yml"), State(Path(sys.argv[1]))).run()
"""


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 0), (signal.SIGINT, 128 + signal.SIGINT)],
    ids=["systemd", "Ctrl-C"],
)
def test_a_drain_is_cut_short_by_a_second_interrupt_only(tmp_path, number, status):
    """Systemd ends a whole control group, and a supervisor its children: both are heard while the first is obeyed."""
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(tmp_path / "notify"))
    notify.settimeout(PATIENCE_SECONDS)
    with (
        notify,
        subprocess.Popen(
            [sys.executable, "-c", DRAINING, str(tmp_path / "state")],
            env=os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        while "READY=1" not in notify.recv(4096).decode():
            pass
        process.send_signal(number)
        assert process.stdout.readline() == "draining\n"
        process.send_signal(number)
        if number == signal.SIGINT:
            process.wait(PATIENCE_SECONDS)
        rest, _ = process.communicate("go on\n", timeout=PATIENCE_SECONDS)
        assert process.returncode == status
        assert rest == ("drained\n" if status == 0 else "")


PROMPT = """
import os, signal, sys, threading
from pathlib import Path
from sentinel.daemon import Lifecycle
from sentinel.state import State

class Prompt:
    def run(self, stop):
        stop.wait()
    def reload(self, config): ...
    def status(self):  # asked by the thread that hears signals, while it is busy with something else
        os.kill(os.getpid(), signal.SIGTERM)
        [thread.join() for thread in threading.enumerate() if thread.name == "prompt"]
        return {}

Lifecycle("prompt", Prompt(), Path("none.yml"), State(Path(sys.argv[1]))).run()
"""


def test_work_that_ends_before_its_signal_is_taken_has_not_failed(tmp_path):
    command = [sys.executable, "-c", PROMPT, str(tmp_path)]
    done = subprocess.run(command, check=False, stderr=subprocess.PIPE, timeout=PATIENCE_SECONDS)
    assert (done.returncode, done.stderr) == (0, b"")


def test_reload_serves_the_new_address(daemon, tmp_path, free_port):
    running = daemon("metrics")
    running.hear("READY=1")
    running.configure(free_port)
    running.process.send_signal(signal.SIGHUP)
    assert "MONOTONIC_USEC=" in running.hear("RELOADING=1")
    assert "last reload: ok" in running.hear("READY=1")
    assert 'sentinel_reloads_total{component="metrics",result="ok"} 1.0' in running.scrape()


def test_a_bad_reload_changes_nothing(daemon, tmp_path, free_port):
    running = daemon("metrics", port=free_port)
    running.hear("READY=1")
    running.path.write_text("metrics: {lisen: 1}\nnetwork: 7\n")
    running.process.send_signal(signal.SIGHUP)
    assert "last reload: refused" in running.hear("READY=1")
    assert 'result="refused"} 1.0' in running.scrape()
    assert "sentinel.yml:1: unknown key 'metrics.lisen'" in running.output()


def test_a_component_that_cannot_start_says_why(daemon, tmp_path, free_port):
    first = daemon("metrics", port=free_port)
    first.hear("READY=1")
    second = daemon("metrics", port=free_port, folder=tmp_path / "other")
    assert second.wait() == 1
    assert (
        f"sentinel: metrics: cannot listen on 127.0.0.1:{free_port}: Address already in use"
        in second.output()
    )
    assert "Traceback" not in second.output()


def test_usage(sentinel, tmp_path):
    (tmp_path / "c.yml").write_text("host: x\n")
    for arguments, message in (
        (["run", "--config", tmp_path / "c.yml"], "no section for any component"),
        (
            ["run", "nonsense", "--config", tmp_path / "c.yml"],
            "no component 'nonsense'; there are: network, logs",
        ),
        (["run", "logs", "--config", tmp_path / "c.yml"], "component 'logs' has no section"),
        (["run", "--config", tmp_path / "none.yml"], "none.yml: No such file"),
    ):
        done = sentinel(*arguments, check=2)
        assert message in done.stderr
        assert "Traceback" not in done.stderr
