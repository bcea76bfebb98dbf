"""Alert -> EVE JSON: the journal file each detection component owns.

The journal is the bus (DESIGN decision 6): one writer a file, one JSON object a line, appended with one write and
flushed to the disk by `sync`. The log plane keeps the length next to its checkpoint in state and truncates the
journal to it at start, so that a batch cut by kill -9 is written exactly once.
"""

from __future__ import annotations

import json
import os
from typing import IO, TYPE_CHECKING, Any

from sentinel import metrics
from sentinel.alert_exceptions import EVENT_TYPE, Exceptions
from sentinel.errors import SentinelError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sentinel.alert_exceptions import AlertException
    from sentinel.model import Alert

ROTATE_BYTES = (
    256 * 1024 * 1024
)  # one old journal is kept beside the live one: at most half a gigabyte a component


def encode(
    alerts: Sequence[Alert], host: str = "", hiding: Sequence[AlertException | None] | None = None
) -> bytes:
    """EVE JSON lines. Bytes that are not UTF-8 were already replaced by the parsers. `hiding` says which are excepted."""
    lines = []
    for alert, exception in zip(alerts, hiding or [None] * len(alerts), strict=True):
        if host and not alert.host:
            alert.host = host
        eve = alert.to_eve()
        if exception is not None:
            eve["event_type"] = EVENT_TYPE
            eve["exception"] = {"until": exception.until.isoformat(), "reason": exception.reason}
        lines.append(json.dumps(eve, ensure_ascii=False, separators=(",", ":"), default=_plain))
    return ("\n".join(lines) + "\n").encode("utf-8", "replace") if lines else b""


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if hasattr(value, "item"):  # numpy scalars
        return value.item()
    raise TypeError(f"{type(value).__name__} in an alert")


class Journal:
    """Append-only EVE file. A torn last line (kill -9 in a write) is cut off when it is opened again."""

    def __init__(self, path: Path, *, host: str = "", exceptions: Exceptions | None = None) -> None:
        self.path = path
        self.host = host
        self.exceptions = exceptions or Exceptions()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            self._file = self._open()
        except OSError as error:
            raise SentinelError(f"{path}: the journal cannot be opened: {error.strerror}") from error

    def append(self, alerts: Sequence[Alert]) -> int:
        """Write all alerts with one write; the length of the file after it, in bytes."""
        hiding = [self.exceptions.covering(alert) for alert in alerts]
        data = encode(alerts, self.host, hiding)
        if data:
            self._file.write(data)
            self._file.flush()
            for alert, exception in zip(alerts, hiding, strict=True):
                if exception is None:
                    metrics.alerts.inc(source=alert.source, level=alert.level)
                else:
                    metrics.alerts_excepted.inc(source=alert.source)
        return self._file.tell()

    def length(self) -> int:
        return self._file.tell()

    def truncate(self, length: int) -> None:
        """Forget what was written after `length`: alerts of a batch that was never checkpointed."""
        if length < self._file.tell():
            self._file.truncate(length)
            self._file.seek(0, os.SEEK_END)

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def rotate(self) -> bool:
        """Start a new file when this one is full; followers see an ordinary rename. True if it happened."""
        if self._file.tell() < ROTATE_BYTES:
            return False
        self.sync()
        self._file.close()
        self.path.rename(self.path.with_name(self.path.name + ".1"))
        self._file = self._open()
        return True

    def close(self) -> None:
        self._file.close()

    def _open(self) -> IO[bytes]:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        file = os.fdopen(descriptor, "r+b")
        file.truncate(_complete_length(file))
        file.seek(0, os.SEEK_END)
        return file


def _complete_length(file: IO[bytes]) -> int:
    """Length up to and including the last newline."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - 65_536)
        file.seek(start)
        cut = file.read(end - start).rfind(b"\n")
        if cut >= 0:
            return start + cut + 1
        end = start
    return 0
