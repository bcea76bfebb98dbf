"""`sentinel run` with several components: one child process each, restarted with backoff, watched, told signals.

The children speak sd_notify to a socket of ours, as they would to systemd: READY when they work, WATCHDOG while
they do. So one code path serves both ways of running, and a child that hangs is found here as systemd finds it.
"""

from __future__ import annotations

import ctypes
import logging
import queue
import selectors
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel import metrics, notify, process
from sentinel.errors import ProgramError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BACKOFF_SECONDS = (
    1,
    2,
    5,
    10,
    30,
    60,
)  # a component that keeps failing is tried once a minute, never given up
HEALTHY_SECONDS = 60.0  # having run this long, a component starts again from the shortest pause
WATCHDOG_SECONDS = 60.0  # a ready child that says nothing for so long is hanging
DRAIN_SECONDS = 30.0
CHECK_SECONDS = 60.0
LISTEN_SECONDS = 0.2
PR_SET_PDEATHSIG = 1

log = logging.getLogger("sentinel.supervise")


@dataclass(slots=True)
class Child:
    name: str
    link: socket.socket
    address: str
    process: process.Child | None = None
    ready: bool = False
    failures: int = 0
    started: float = 0.0
    heard: float = 0.0
    restart_at: float = field(default=0.0)


class Family:
    """Child processes that are kept alive: `arguments` are what `sentinel` is started with, by child's name."""

    def __init__(self, arguments: Mapping[str, Sequence[str]]) -> None:
        self._arguments = arguments
        self._selector = selectors.DefaultSelector()
        self._directory = tempfile.TemporaryDirectory(prefix="sentinel-notify-")
        self.children = [self._child(name) for name in arguments]
        for name in arguments:
            metrics.component_restarts.begin(component=name)

    def look_after(self, seconds: float) -> None:
        """Start who is due, listen for so long, and deal with who ended or hangs."""
        self._start_due()
        self._hear(seconds)
        self._reap()
        self._kill_silent()

    @property
    def ready(self) -> bool:
        return all(child.ready for child in self.children)

    def reload(self) -> None:
        for child in self.children:
            if child.process:
                child.ready = False
                child.process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        running = [child for child in self.children if child.process]
        for child in running:
            assert child.process is not None
            child.process.terminate()  # all of them first: they drain side by side
        deadline = time.monotonic() + DRAIN_SECONDS
        for child in running:
            assert child.process is not None
            process.stop(child.process, grace_seconds=max(0.1, deadline - time.monotonic()))
            child.link.close()
        self._selector.close()
        self._directory.cleanup()

    def _child(self, name: str) -> Child:
        address = str(Path(self._directory.name) / name)
        link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        link.bind(address)
        child = Child(name, link, address)
        self._selector.register(link, selectors.EVENT_READ, child)
        return child

    def _start_due(self) -> None:
        now = time.monotonic()
        for child in self.children:
            if child.process is None and now >= child.restart_at:
                child.process = process.start(
                    [sys.executable, "-m", "sentinel", *self._arguments[child.name]],
                    env={
                        "NOTIFY_SOCKET": child.address,
                        "WATCHDOG_USEC": str(int(WATCHDOG_SECONDS * 1e6 / 3)),
                    },
                    new_session=True,  # Ctrl-C reaches us alone; we pass it on once
                    preexec=_die_with_parent,
                )
                child.started = child.heard = now
                log.info("started", extra={"component": child.name, "pid": child.process.pid})

    def _hear(self, timeout_seconds: float) -> None:
        for key, _ in self._selector.select(timeout_seconds):
            child: Child = key.data
            message = child.link.recv(4096)
            child.heard = time.monotonic()
            if b"RELOADING=1" in message:
                child.ready = False
            elif b"READY=1" in message:
                child.ready = True

    def _reap(self) -> None:
        now = time.monotonic()
        for child in self.children:
            status = child.process.poll() if child.process else None
            if status is None:
                continue
            child.process, child.ready = None, False
            child.failures = 1 if now - child.started > HEALTHY_SECONDS else child.failures + 1
            pause = BACKOFF_SECONDS[min(child.failures, len(BACKOFF_SECONDS)) - 1]
            child.restart_at = now + pause
            metrics.component_restarts.inc(component=child.name)
            log.error(
                "ended; starting again", extra={"component": child.name, "status": status, "seconds": pause}
            )

    def _kill_silent(self) -> None:
        now = time.monotonic()
        for child in self.children:
            if child.process and child.ready and now - child.heard > WATCHDOG_SECONDS:
                log.error(
                    "no sign of life; killed", extra={"component": child.name, "pid": child.process.pid}
                )
                child.process.kill()
                child.heard = now


class Supervisor:
    """Runs until SIGTERM or SIGINT. Reads no configuration itself: a process of its own checks it before a reload."""

    def __init__(self, names: Sequence[str], config: Path) -> None:
        self._config = config
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.family = Family({name: ["run", name, "--config", str(config)] for name in names})
        self._announced = False

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _frame: self._signals.put(number))
        interval = notify.watchdog_seconds()
        try:
            while True:
                self.family.look_after(LISTEN_SECONDS)
                self._announce()
                if interval:
                    notify.watchdog()
                if not self._handle_signals():
                    return
        finally:
            notify.stopping()
            self.family.stop()
            log.info("stopped")

    def _announce(self) -> None:
        everybody = self.family.ready
        if everybody and not self._announced:
            notify.ready("all components are running")
            log.info("all components are running")
        self._announced = everybody

    def _handle_signals(self) -> bool:
        """False when it is time to stop."""
        while not self._signals.empty():
            if self._signals.get() != signal.SIGHUP:
                return False
            self._reload()
        return True

    def _reload(self) -> None:
        check = [sys.executable, "-m", "sentinel.config", str(self._config)]
        try:
            process.run(check, timeout_seconds=CHECK_SECONDS)
        except ProgramError as error:
            metrics.reloads.inc(component="supervisor", result="refused")
            log.error("reload refused, everything keeps running as it was: %s", error.stderr or error)  # noqa: TRY400
            return
        notify.reloading()
        self._announced = False
        self.family.reload()


def _die_with_parent() -> None:
    """A supervisor killed with -9 must not leave orphans that hold sockets and locks."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
