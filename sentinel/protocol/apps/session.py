"""The state of one flow that parsers share: its transactions, what changed, and events that belong to the packet.

In: parsers open and touch transactions. Out: `take()` gives the touched ones. Invariant: at most MAX_LIVE transactions
live in a flow; the oldest gives way (Suricata: max-tx of HTTP/1 and of every Rust parser is of this order).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from sentinel import metrics
from sentinel.model import File, Transaction

if TYPE_CHECKING:
    from sentinel.model import Flow
    from sentinel.protocol.apps.options import AppOptions

TO_SERVER, TO_CLIENT = 0, 1

# More than any client pipelines; Suricata's max-tx is 512 as well.
MAX_LIVE = 512
# Kept bytes of a file: Suricata's stream depth, beyond which it inspects nothing either.
MAX_FILE_BYTES = 1024 * 1024
# One transaction cannot grow without bound through events or attachments.
MAX_EVENTS, MAX_FILES = 64, 256


class Parser(Protocol):
    """One protocol on one flow. `feed` returns False when the traffic is not that protocol after all."""

    def feed(self, direction: int, data: bytes, *, gap: int = 0, eof: bool = False) -> bool: ...


class Session:
    """What `Flow.app_state` holds."""

    __slots__ = (
        "blind",
        "change",
        "changed_from",
        "counter",
        "detected",
        "exhausted",
        "first",
        "flow",
        "options",
        "packet_events",
        "parser",
        "pending",
        "reversed",
        "sealed",
        "stopped",
        "time",
        "touched",
        "upgraded",
        "wanted",
    )

    def __init__(self, flow: Flow, options: AppOptions) -> None:
        self.flow = flow
        self.options = options
        self.parser: Parser | None = None
        self.pending = [b"", b""]  # not yet recognised, per direction
        self.detected: list[str | None] = [None, None]  # "" = gave up in that direction
        self.reversed = False  # to be told to the caller
        self.blind = [False, False]  # bytes were lost before the protocol was known
        self.exhausted = [False, False]  # no pattern or probe left to try
        self.first = -1  # direction of the first byte
        self.changed_from = ""  # protocol before STARTTLS, CONNECT or Upgrade
        self.wanted = ""  # what should follow it
        self.upgraded: Any = None  # the HTTP/1 exchange that HTTP/2 goes on with
        self.stopped = False
        self.sealed = False  # encrypted from here on
        self.change: str | None = None  # protocol the parser asks for ("" = whatever comes)
        self.touched: list[Transaction] = []
        self.packet_events: list[str] = []
        self.counter = 0
        self.time = 0

    def begin(self, protocol: str) -> Transaction:
        transaction = Transaction(protocol, self.counter)
        self.counter += 1
        live = self.flow.transactions
        if len(live) >= MAX_LIVE:
            del live[0]
            metrics.app_transactions_evicted.inc()
        live.append(transaction)
        self.touched.append(transaction)
        return transaction

    def touch(self, transaction: Transaction, direction: int | None = None) -> None:
        """Something of the transaction changed, in one direction or in both."""
        for each in (0, 1) if direction is None else (direction,):
            transaction.changes[each] += 1
        self._report(transaction)

    def _report(self, transaction: Transaction) -> None:
        # The last one is the usual one; an identity scan over a handful is cheaper than hashing.
        if not self.touched or self.touched[-1] is not transaction:
            for known in self.touched:
                if known is transaction:
                    return
            self.touched.append(transaction)

    def flag(self, transaction: Transaction, event: str) -> None:
        if event not in transaction.events and len(transaction.events) < MAX_EVENTS:
            transaction.events.append(event)
            self._report(transaction)

    def trigger_raw(self, direction: int) -> None:
        """Ask the stream engine to show its bytes to stream rules now, together with this message."""
        stream = self.flow.stream_state
        if stream is not None:
            stream.trigger_raw(direction == TO_SERVER)

    def seal(self) -> None:
        """What follows is encrypted: no rule looks at its bytes."""
        stream = self.flow.stream_state
        if stream is not None and not self.sealed:
            stream.client.stop_raw = stream.server.stop_raw = True
        self.sealed = True

    def one_way(self, transaction: Transaction, direction: int) -> None:
        """A message that is complete by itself: only rules of its own direction look at it (Suricata 7)."""
        self.finish(transaction)
        transaction.inspected[1 - direction] = True

    def finish(self, transaction: Transaction) -> None:
        """Both directions are complete (protocols whose messages are one transaction each)."""
        transaction.progress[:] = [1, 1]
        transaction.done[:] = [True, True]
        self.touch(transaction)

    def take(self) -> list[Transaction]:
        touched, self.touched = self.touched, []
        return touched


def open_file(transaction: Transaction, name: bytes, direction: int) -> File | None:
    """A new file of this transaction, or None when it has too many already."""
    if len(transaction.files) >= MAX_FILES:
        return None
    file = File(name=name, direction=direction)
    transaction.files.append(file)
    return file


def append_file(file: File | None, data: bytes) -> None:
    if file is None or file.closed:
        return
    file.size += len(data)
    room = MAX_FILE_BYTES - len(file.data)
    if room > 0:
        file.data += data[:room]


def close_file(file: File | None, *, truncated: bool = False) -> None:
    if file is not None and not file.closed:
        file.closed = True
        file.truncated = truncated or file.size > len(file.data)
