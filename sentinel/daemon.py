"""config -> components -> start, reload, stop: the only wiring of the planes.

Each component runs in a process of its own (`sentinel run NAME`, one systemd unit); `sentinel run` alone supervises
one such child for each section of the configuration.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import math
import os
import queue
import signal
import threading
import time
from typing import TYPE_CHECKING

from sentinel import config as configuration
from sentinel import metrics, notify
from sentinel.components import BUILDERS, Component, Context, Network
from sentinel.errors import SentinelError, UsageError
from sentinel.heartbeat import Heartbeat
from sentinel.ledger import Ledger
from sentinel.state import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sentinel.config import Config

REPORT_SECONDS = 5.0  # how often a component says in state what it is doing
TRIM_SECONDS = 60.0  # how often memory that a burst of work left behind goes back to the system
M_ARENA_MAX = -8  # malloc.h; one thread works, and a heap for each of the others keeps what it once had
DRAIN_SECONDS = 25.0  # below systemd's default stop time-out and the supervisor's

log = logging.getLogger("sentinel.daemon")


def configured(config: Config) -> list[str]:
    """Components that the configuration has a section for."""
    return [name for name in BUILDERS if getattr(config, name) is not None]


def select(names: list[str], config: Config) -> list[str]:
    present = configured(config)
    for name in names:
        if name not in BUILDERS:
            raise UsageError(f"no component {name!r}; there are: {', '.join(BUILDERS)}")
        if name not in present:
            raise UsageError(f"component {name!r} has no section in the configuration")
    if not (names or present):
        raise UsageError("the configuration has no section for any component: nothing to run")
    return names or present


def run(name: str, path: Path, worker: int = 0) -> None:
    """Run one component in this process. Returns after SIGTERM or SIGINT.

    `worker` is the number of one of several processes of the network component, which starts them itself.
    """
    config = configuration.load(path)
    select([name], config)
    if worker:
        _run_here(f"network-{worker}", path, config, lambda context: Network(context, worker))
    else:
        _run_here(name, path, config, BUILDERS[name])


class Lifecycle:
    """One component in this process: thread for its work, this thread for signals, watchdog and status."""

    def __init__(self, name: str, component: Component, path: Path, state: State) -> None:
        self.name = name
        self.component = component
        self.path = path
        self.state = state
        self.since = time.time_ns()
        self.stop = Heartbeat()
        self.failure: BaseException | None = None
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._told_to_stop = False

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        worker = threading.Thread(target=self._work, name=self.name)
        worker.start()
        self._report("running")
        metrics.component_up.set(1, component=self.name)
        for result in ("ok", "refused"):
            metrics.reloads.begin(component=self.name, result=result)
        metrics.reload_timestamp.set(time.time(), component=self.name)
        notify.ready(f"{self.name} is running")
        self._watch(worker)
        notify.stopping()
        self.stop.set()
        worker.join(DRAIN_SECONDS)
        metrics.component_up.set(0, component=self.name)
        self._report("failed" if self.failure else "stopped")
        if self.failure is not None:
            raise self.failure
        if worker.is_alive():
            log.error("did not drain in time", extra={"component": self.name})
            os._exit(1)

    def _work(self) -> None:
        self.stop.begin()
        try:
            self.component.run(self.stop)
        except BaseException as error:  # noqa: BLE001 - carried to the main thread, which raises it
            self.failure = error

    def _watch(self, worker: threading.Thread) -> None:
        """Until a stop signal comes or the work ends by itself."""
        patience = 2 * (notify.watchdog_seconds() or math.inf)
        interval = min(patience / 2, REPORT_SECONDS)
        next_report = time.monotonic() + interval
        next_trim = time.monotonic() + TRIM_SECONDS
        while worker.is_alive():
            try:
                number = self._signals.get(timeout=max(0.05, min(1.0, next_report - time.monotonic())))
            except queue.Empty:
                number = 0
            if number == signal.SIGHUP:
                self._reload()
            elif number:
                return
            if time.monotonic() >= next_report:
                self._beat(patience)
                next_report = time.monotonic() + interval
            if time.monotonic() >= next_trim:
                _trim()
                next_trim = time.monotonic() + TRIM_SECONDS
        if (
            self.failure is None and not self._told_to_stop
        ):  # the work may end before its signal is taken here
            self.failure = SentinelError(f"{self.name}: ended by itself")

    def _beat(self, patience_seconds: float) -> None:
        """Say that all is well, unless the work hangs: then systemd, or the supervisor, starts the component anew."""
        silent = self.stop.silent_seconds()
        if silent <= patience_seconds:
            self._report("running")
            notify.watchdog()
        else:
            self._report("hanging")
            log.error("no progress", extra={"component": self.name, "seconds": round(silent)})

    def _on_signal(self, number: int, _frame: object) -> None:
        if number == signal.SIGINT and self.stop.is_set():
            os._exit(
                128 + number
            )  # somebody presses Ctrl-C again. SIGTERM does come twice: from systemd and our parent
        if number != signal.SIGHUP:
            self._told_to_stop = True
            self.stop.set()
        self._signals.put(number)

    def _reload(self) -> None:
        notify.reloading()
        result = "ok"
        try:
            self.component.reload(configuration.load(self.path))
            _settle()
            metrics.reload_timestamp.set(time.time(), component=self.name)
            log.info("reloaded", extra={"component": self.name})
        except SentinelError as error:
            result = "refused"
            log.error("reload refused, the old configuration stays: %s", error)  # noqa: TRY400 - no traceback
        metrics.reloads.inc(component=self.name, result=result)
        notify.ready(f"{self.name} is running (last reload: {result})")

    def _report(self, word: str) -> None:
        detail = self.component.status()
        if self.failure is not None:
            detail = {**detail, "error": str(self.failure)}
        self.state.report(self.name, word, pid=os.getpid(), since=self.since, detail=detail)


def _run_here(name: str, path: Path, config: Config, build: Callable[[Context], Component]) -> None:
    with contextlib.suppress(AttributeError):  # not glibc
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
    metrics.use_directory(config.state / "metrics", name)
    metrics.begin_counters()
    state = State(config.state)
    context = Context(config, path, state, Ledger(config.state, actor=name))
    component = build(context)
    _settle()
    Lifecycle(name, component, path, state).run()


def _settle() -> None:
    """What building left behind (compiling rules allocates several times what it keeps) goes back to the system."""
    gc.collect()
    _trim()


def _trim() -> None:
    with contextlib.suppress(AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
