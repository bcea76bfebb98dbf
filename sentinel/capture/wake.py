"""Wakes a reader when something changes in a directory: inotify through watchdog, else a shorter poll.

The only importer of watchdog. Events only say "look now": correctness never depends on them, because the reader also
looks every POLL_SECONDS. Where inotify cannot work (no watches left, no such directory) that becomes FAST_POLL_SECONDS.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from watchdog.events import FileSystemEventHandler
from watchdog.observers import Observer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

POLL_SECONDS = 1.0  # a network file system sends no events for what other hosts write
FAST_POLL_SECONDS = 0.2


class _Setter(FileSystemEventHandler):  # type: ignore[misc]  # watchdog has no types we follow
    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def on_any_event(self, event: Any) -> None:
        if event.event_type not in {"opened", "closed_no_write"}:  # our own reading causes these
            self._event.set()


class Wake:
    """`wait` returns when something changed, when `poke` was called, or after the poll interval."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._observer: Any = None
        # It reports, as an error, every event that arrives while it is being stopped.
        logging.getLogger("watchdog.observers").setLevel(logging.CRITICAL)
        self._watched: set[Path] = set()
        self.failed: set[Path] = set()

    def watch(self, directories: Iterable[Path]) -> None:
        for directory in directories:
            if directory in self._watched or directory in self.failed:
                continue
            try:
                if self._observer is None:
                    self._observer = Observer()
                    self._observer.start()
                self._observer.schedule(_Setter(self._event), str(directory))
                self._watched.add(directory)
            except OSError:
                self.failed.add(directory)

    def wait(self) -> None:
        interval = FAST_POLL_SECONDS if self.failed or not self._watched else POLL_SECONDS
        if self._event.wait(interval):
            self._event.clear()

    def poke(self) -> None:
        self._event.set()

    def close(self) -> None:
        if self._observer is not None:
            self._observer.unschedule_all()
            self._observer.stop()
            self._observer.join()
            self._observer = None
