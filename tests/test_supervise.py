"""Several components: ready together, restarted when they die, reloaded and stopped together."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import until

from sentinel.state import State


def child_pid(folder):
    return State(folder / "state").read("SELECT pid FROM component WHERE name = 'metrics'")[0]["pid"]


@pytest.fixture
def running(daemon, tmp_path, free_port):
    started = daemon(port=free_port)
    started.hear("READY=1")
    return started


def test_a_killed_component_comes_back(running, tmp_path):
    first = child_pid(tmp_path)
    os.kill(first, signal.SIGKILL)
    running.hear("READY=1")
    assert child_pid(tmp_path) != first
    assert 'sentinel_component_restarts_total{component="metrics"} 1.0' in running.scrape()


def test_a_good_reload_reaches_the_children(running, tmp_path):
    running.process.send_signal(signal.SIGHUP)
    running.hear("RELOADING=1")
    running.hear("READY=1")
    assert 'result="ok"} 1.0' in running.scrape()


def test_a_bad_reload_is_refused_before_any_child_hears_of_it(running):
    running.path.write_text("hots: x\n")
    running.process.send_signal(signal.SIGHUP)
    until(lambda: "reload refused" in running.output())
    assert "unknown key 'hots'" in running.output()
    assert 'component="supervisor",result="refused"} 1.0' in running.scrape()


def test_children_end_with_the_supervisor_even_when_it_is_killed(running, tmp_path):
    pid = child_pid(tmp_path)
    running.process.kill()
    running.process.wait()
    until(lambda: not Path(f"/proc/{pid}").exists(), "an orphan is left")


def test_interrupt_drains(running):
    running.process.send_signal(signal.SIGINT)
    assert running.wait() == 0
    assert "stopped" in running.output()


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        ("sentinel.supervise", {"pydantic", "yaml", "numpy", "prometheus_client", "ssl"}),
        ("sentinel.firewall.component, sentinel.respond.responder, sentinel.respond.blast", {"numpy", "ssl"}),
        ("sentinel.webhook.component", {"numpy"}),
    ],
    ids=["supervisor", "firewall", "webhook"],
)
def test_a_process_that_waits_holds_no_library_that_it_does_not_need(modules, unwanted):
    """`make bench-idle` measures what each of them costs."""
    code = f"import sys, {modules}; print(*({unwanted!r} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"\n"
