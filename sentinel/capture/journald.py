"""The systemd journal as a followed log: `journalctl -o json --follow`, resumed after a cursor.

In: a position, or nothing to begin with what is new. Out: Batches of JSON lines (format journald-json); `cookie` is
{"cursor": ...} of the last one, for the checkpoint. Until the first line came, the position is the time from which on
lines count ({"since": seconds}), so that a restart neither loses one nor reads the whole journal. journalctl ending,
for whatever reason, is not the end: it is started again at the position. The pipe's buffer is all that is ever in flight.
"""

from __future__ import annotations

import logging
import os
import re
import time
from typing import TYPE_CHECKING, Any

from sentinel import process
from sentinel.capture.logfile import CHUNK_BYTES, LineCutter
from sentinel.errors import ProgramError

if TYPE_CHECKING:
    from sentinel.model import Batch

NAME = "journald"
CURSOR = re.compile(rb'"__CURSOR"\s*:\s*"([^"]*)"')
RETRY_SECONDS = (
    5.0  # a journalctl that cannot start (journal being rotated, no permission) is not asked all the time
)

log = logging.getLogger("sentinel.capture")


class JournalReader:
    """Has the shape of a Follower: `read` never blocks."""

    def __init__(self, position: object = None, *, at_end: bool = True, program: str = "journalctl") -> None:
        self.position = _known(position)
        if self.position is None and at_end:
            self.position = {"since": time.time()}
        self._program = program
        self._child: process.Child | None = None
        self._pipe = -1
        self._cutter = LineCutter()
        self._retry_at = 0.0

    def begin(self) -> None:
        self._start()

    def read(self) -> Batch | None:
        if self._child is None and not self._start():
            return None
        try:
            data = os.read(self._pipe, CHUNK_BYTES)
        except BlockingIOError:
            return None
        if not data:
            log.warning("journalctl ended, it is started again", extra={"seconds": RETRY_SECONDS})
            self.close()
            return None
        batch = self._cutter.cut_lines(data, NAME)
        if batch is not None:
            cursors = CURSOR.findall(batch.data)
            if cursors:
                self.position = {"cursor": cursors[-1].decode("utf-8", "replace")}
            batch.cookie = self.position
        return batch

    def behind(self) -> int:
        """The journal keeps what waits; how much that is it does not tell."""
        return 0

    def close(self) -> None:
        if self._child is not None:
            process.stop(self._child)
            os.close(self._pipe)
            self._child = None
        self._retry_at = time.monotonic() + RETRY_SECONDS

    def _start(self) -> bool:
        if time.monotonic() < self._retry_at:
            return False
        argv = [self._program, "--output=json", "--follow", "--no-pager", "--lines=all"]
        position = self.position or {}
        if "cursor" in position:
            argv.append(f"--after-cursor={position['cursor']}")
        elif "since" in position:
            argv.append(f"--since=@{position['since']:.6f}")
        reader, writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(reader, False)
        try:
            with os.fdopen(writer, "wb") as output:
                self._child = process.start(argv, output=output)
        except ProgramError:
            os.close(reader)
            self._retry_at = time.monotonic() + RETRY_SECONDS
            return False
        self._pipe = reader
        self._cutter = LineCutter()
        return True


def _known(position: object) -> dict[str, Any] | None:
    """None for what no reader ever wrote."""
    if not isinstance(position, dict):
        return None
    if isinstance(position.get("cursor"), str):
        return {"cursor": position["cursor"]}
    return {"since": position["since"]} if isinstance(position.get("since"), float) else None
