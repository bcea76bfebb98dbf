import os
import socket
import time

import pytest

from sentinel import notify


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.bind(str(tmp_path / "notify"))
        link.settimeout(2)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield link


def test_ready_carries_a_status(systemd):
    notify.ready("three interfaces")
    assert systemd.recv(1000) == b"READY=1\nSTATUS=three interfaces"


def test_reloading_has_the_monotonic_time(systemd):
    before = time.monotonic_ns() // 1000
    notify.reloading()
    word, usec = systemd.recv(1000).decode().split("\n")
    assert word == "RELOADING=1"
    assert before <= int(usec.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_watchdog_and_stopping(systemd):
    notify.watchdog()
    notify.stopping()
    assert (systemd.recv(100), systemd.recv(100)) == (b"WATCHDOG=1", b"STOPPING=1")


def test_abstract_socket(monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.bind(f"\0sentinel-test-{os.getpid()}")
        link.settimeout(2)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@sentinel-test-{os.getpid()}")
        notify.send("X=1")
        assert link.recv(100) == b"X=1"


def test_nobody_listens(monkeypatch, tmp_path):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify.ready()
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify.ready()


def test_watchdog_interval_is_half(monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    assert notify.watchdog_seconds() == 15.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert notify.watchdog_seconds() is None
    monkeypatch.delenv("WATCHDOG_USEC")
    assert notify.watchdog_seconds() is None


@pytest.mark.usefixtures("systemd")
def test_a_listener_that_hangs_does_not_hold_us_up(monkeypatch):
    monkeypatch.setattr(notify, "PATIENCE_SECONDS", 0.001)
    for _ in range(1000):  # far more than its queue takes
        notify.watchdog()
