"""The stop signal of a component, which also tells whether the component still comes by to look at it.

A component's `run(stop)` asks `stop.is_set()` or waits on it all the time; a thread that hangs in a deadlock, on a dead
disk or in an endless loop no longer does. So the watchdog (sd_notify(3)) is fed from what the working thread does, not
from the thread beside it that only knows that the process exists.
"""

from __future__ import annotations

import threading
import time

BEAT_SECONDS = 1.0  # a wait is cut into waits of at most this


class Heartbeat(threading.Event):
    """An Event; `silent_seconds` is how long ago the thread that called `begin` last asked for it."""

    def __init__(self) -> None:
        super().__init__()
        self._worker: int | None = None
        self._asked = time.monotonic()

    def begin(self) -> None:
        """Called by the thread that works; others may ask too, without being taken for it."""
        self._worker = threading.get_ident()
        self._beat()

    def is_set(self) -> bool:
        self._beat()
        return super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            self._beat()
            left = BEAT_SECONDS if end is None else min(BEAT_SECONDS, end - time.monotonic())
            if super().wait(max(0.0, left)):
                return True
            if end is not None and time.monotonic() >= end:
                return False

    def silent_seconds(self) -> float:
        return time.monotonic() - self._asked

    def _beat(self) -> None:
        if threading.get_ident() == self._worker:
            self._asked = time.monotonic()
