"""How far a backup, restore or check is; reported at most a few times a second, from whatever thread is at work."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

REPORT_EVERY_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Progress:
    """Totals are 0 while they are not known."""

    files_done: int = 0
    files_total: int = 0
    bytes_done: int = 0
    bytes_total: int = 0
    current: str = ""


class ProgressMeter:
    """Counts for the callback; without one it only counts."""

    def __init__(
        self, callback: Callable[[Progress], None] | None, *, files_total: int = 0, bytes_total: int = 0
    ) -> None:
        self._callback = callback
        self._files_total = files_total
        self._bytes_total = bytes_total
        self._lock = threading.Lock()
        self._next_report = 0.0
        self.files_done = 0
        self.bytes_done = 0

    def add(self, files: int, size: int, current: bytes | str = "") -> None:
        with self._lock:
            self.files_done += files
            self.bytes_done += size
            due = self._callback is not None and time.monotonic() >= self._next_report
            if due:
                self._next_report = time.monotonic() + REPORT_EVERY_SECONDS
        if due:
            self._report(current)

    def start_again(self) -> None:
        with self._lock:
            self.files_done = self.bytes_done = 0

    def finish(self) -> None:
        self._report("")

    def _report(self, current: bytes | str) -> None:
        if self._callback is not None:
            text = current.decode("utf-8", "replace") if isinstance(current, bytes) else current
            self._callback(
                Progress(self.files_done, self._files_total, self.bytes_done, self._bytes_total, text)
            )
