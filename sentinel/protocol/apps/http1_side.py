"""What both halves of an HTTP/1 connection share: the input cursor, counted bodies, and the loop over states.

In: bytes of one direction. Out: calls into the connection. Invariant: `run` ends, because each NEXT either consumes or
changes to a later state, and at most MAX_LINE unread bytes stay behind.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from sentinel.protocol.apps.http1_message import MAX_LINE, Exchange, Message, Progress, chomp, clean_fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.protocol.apps.http1 import Http1


class Step(Enum):
    NEXT = auto()  # go on with self.state
    NEED = auto()  # more bytes of this direction
    WAIT = auto()  # the other direction has to speak first
    FAIL = auto()  # this direction is over


# A loop that neither consumes nor ends is our bug; traffic must not be able to hang a worker through it.
_MAX_IDLE_STEPS = 64


class Side:
    """One direction; subclasses are the state machines."""

    side = ""
    direction = 0

    def __init__(self, connection: Http1) -> None:
        self.connection = connection
        self.data = b""
        self.pos = 0
        self.closed = False
        self.over = False
        self.failed = False
        self.left = 0
        self.held: bytes | None = None  # a header line that may still be folded
        self.exchange: Exchange | None = None
        self.state: Callable[[], Step] = self.start

    def start(self) -> Step:
        raise NotImplementedError

    def read_headers(self) -> Step:
        raise NotImplementedError

    def finalize(self) -> Step:
        raise NotImplementedError

    def complete(self) -> Step:
        raise NotImplementedError

    @property
    def current(self) -> Exchange:
        assert self.exchange is not None
        return self.exchange

    @property
    def message(self) -> Message:
        return self.current.message(self.direction)

    def run(self, data: bytes) -> None:
        if self.over:
            return
        self.data = self.data[self.pos :] + data if self.pos < len(self.data) else data
        self.pos = 0
        idle = 0
        while True:
            before, state = self.pos, self.state
            step = self.state()
            if step is Step.FAIL:
                self.over = True
                self.data = b""
                self.pos = 0
                return
            if step is not Step.NEXT:
                break
            idle = 0 if self.pos != before else idle + 1
            if idle > _MAX_IDLE_STEPS and self.state == state:
                self.over = True
                return
        self.data = self.data[self.pos :]
        self.pos = 0
        if self.exchange is not None and self.state == self.read_headers:
            self.connection.headers_so_far(self.exchange, self.direction)

    def skip_gap(self, size: int) -> None:
        """Lost bytes count within a body; elsewhere libhtp reads on as if there had been none."""
        if self.left >= size > 0 and self.exchange is not None and self.in_body():
            self.left -= size
            if self.left == 0:
                self.run(b"")
        elif self.state == self.finalize:
            self.complete()

    def in_body(self) -> bool:
        return self.message.coding == "identity" and self.connection.progress(
            self.current, self.direction
        ) == (Progress.BODY)

    def flag(self, event: str) -> None:
        self.connection.flag(self.current, event)

    def advance(self, progress: Progress) -> None:
        self.connection.advance(self.current, self.direction, progress)

    def take_line(self, *, whole: bool = False) -> bytes | None:
        """The next line with its LF; None when it is not all there. The rest counts as a line once closed."""
        end = self.data.find(b"\n", self.pos)
        if end < 0:
            if len(self.data) - self.pos > MAX_LINE:
                self.flag(f"{self.side}_field_too_long")
                self.failed = True
                return None
            if self.closed and not whole:
                line = self.data[self.pos :]
                self.pos = len(self.data)
                return line
            return None
        if end - self.pos > MAX_LINE:
            self.flag(f"{self.side}_field_too_long")
            self.failed = True
            return None
        line = self.data[self.pos : end + 1]
        self.pos = end + 1
        return line

    def read_clean_headers(self, message: Message) -> bool:
        """Take a whole and plain header block in one step; most are."""
        end = self.data.find(b"\r\n\r\n", self.pos)
        if end < 0 or self.held is not None or message.raw_headers:
            return False
        fields = clean_fields(self.data[self.pos : end + 2])
        if fields is None:
            return False
        add = message.headers.add
        for name, value in fields:
            if not add(name, value, self.flag, self.side):
                self.failed = True
                return False
        message.raw_headers += self.data[self.pos : end + 4]
        self.pos = end + 4
        return True

    def skip_line(self) -> bool:
        """Libhtp drops everything up to the LF behind a chunk."""
        end = self.data.find(b"\n", self.pos)
        if end < 0:
            self.pos = len(self.data)
            return False
        self.pos = end + 1
        return True

    def take_counted(self) -> bool:
        """Hand on up to `left` body bytes; True when all of them were seen."""
        if self.left == 0:
            return True
        piece = self.data[self.pos : self.pos + self.left]
        if piece:
            self.pos += len(piece)
            self.left -= len(piece)
            self.connection.body_data(self.current, self.direction, piece)
        return self.left == 0


__all__ = ["Side", "Step", "chomp"]
