"""The types that cross folders: bytes in (Batch), fields out (Columns), findings (Alert).

    capture  -> Batch    packets or log lines alike: one bytes object and row offsets
    protocol -> Columns  field name -> bytes and row offsets, all columns of one batch with the same rows
    detect   -> Alert    one EVE JSON line

Network detection also looks at rows one at a time where a batch has a candidate: Packet, Flow, Transaction.

One clock everywhere: integer nanoseconds since the epoch, UTC. Time is event time (of the packet or the
line), never the wall clock, so a replay gives exactly the alerts of the live run.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray


@dataclass(slots=True)
class Batch:
    """Rows of bytes as they were captured: row i is `data[offsets[i]:offsets[i + 1]]`.

    `times` holds one event time per row (packets), or is None where the row itself tells the time (log lines).
    `first` is the 1-based number of row 0 in its source: packet number in a pcap, line number in a file.
    `link_type` is the DLT of packet rows (LINKTYPE_ numbers), -1 for log lines. `original` holds the lengths on
    the wire where rows were cut by a snap length. `vlan` holds tags the kernel stripped (TCI), 0 for none.
    `cookie` belongs to the producer: `tail` puts there what a checkpoint needs once all rows were handled.
    """

    data: bytes
    offsets: NDArray[np.int64]
    source: str
    first: int = 1
    times: NDArray[np.int64] | None = None
    link_type: int = -1
    original: NDArray[np.int64] | None = None
    vlan: NDArray[np.uint32] | None = None
    cookie: Any = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def row(self, i: int) -> bytes:
        return self.data[self.offsets[i] : self.offsets[i + 1]]

    def rows(self) -> Iterator[bytes]:
        ends = self.offsets.tolist()
        for start, end in itertools.pairwise(ends):
            yield self.data[start:end]


@dataclass(slots=True)
class Column:
    """One field of all rows; `present[i]` tells absent from empty.

    Value i is `data[offsets[i]:offsets[i + 1]]`, or `data[offsets[i]:ends[i]]` where `ends` is given: then the
    values are spans of a larger buffer (a log line's fields inside the batch), and nothing was copied.
    """

    data: bytes
    offsets: NDArray[np.int64]
    present: NDArray[np.bool_] | None = None
    ends: NDArray[np.int64] | None = None
    _distinct: tuple[list[bytes], NDArray[np.int64]] | None = field(default=None, repr=False, compare=False)

    def get(self, i: int) -> bytes | None:
        if self.present is not None and not self.present[i]:
            return None
        return self.data[self.offsets[i] : self.offsets[i + 1] if self.ends is None else self.ends[i]]

    def values(self) -> list[bytes | None]:
        starts = self.offsets.tolist()
        ends = starts[1:] if self.ends is None else self.ends.tolist()
        if self.present is None:
            return [self.data[a:b] for a, b in zip(starts, ends, strict=False)]
        present = self.present.tolist()
        return [self.data[a:b] if here else None for a, b, here in zip(starts, ends, present, strict=False)]

    def packed(self) -> Column:
        """The same values in a contiguous buffer of their own."""
        import numpy as np

        if self.ends is None:
            return self
        starts, ends = self.offsets, self.ends
        if self.present is not None:
            ends = np.where(self.present, ends, starts)
        offsets = np.zeros(len(starts) + 1, np.int64)
        np.cumsum(ends - starts, out=offsets[1:])
        data = b"".join([self.data[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)])
        return Column(data, offsets, self.present)

    def spans(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where each value begins and ends."""
        if self.ends is None:
            return self.offsets[:-1], self.offsets[1:]
        return self.offsets, self.ends

    def distinct(self) -> tuple[list[bytes], NDArray[np.int64]]:
        """The different values, and which of them each row has (-1: none); worked out once."""
        if self._distinct is None:
            import numpy as np

            from sentinel.distinct import told_apart

            starts, ends = self.spans()
            if self.present is None:
                self._distinct = told_apart(self.data, starts, ends)
            else:
                rows = np.flatnonzero(self.present)
                codes = np.full(len(starts), -1, np.int64)
                values, codes[rows] = told_apart(self.data, starts[rows], ends[rows])
                self._distinct = values, codes
        return self._distinct

    def take(self, rows: NDArray[np.int64]) -> Column:
        """The same values of these rows alone, as spans."""
        starts, ends = self.spans()
        present = None if self.present is None else self.present[rows]
        return Column(self.data, starts[rows], present, ends[rows])

    @classmethod
    def of(cls, values: Sequence[bytes | None]) -> Column:
        """A contiguous column of these values; None is absent."""
        import numpy as np

        lengths = [len(value) if value else 0 for value in values]
        offsets = np.zeros(len(values) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        present = None
        if None in values:
            present = np.fromiter((value is not None for value in values), np.bool_, len(values))
        return cls(b"".join(value for value in values if value), offsets, present)


@dataclass(slots=True)
class Columns:
    """One batch after parsing. `times` are event times; `numbers` the 1-based row numbers in the source.

    A column may be computed when it is first asked for: ask through `column`. `parsed[i]` is False where the
    format did not match row i (None: every row did).
    """

    rows: int
    source: str
    times: NDArray[np.int64]
    numbers: NDArray[np.int64]
    columns: dict[str, Column] = field(default_factory=dict)
    kind: str = ""  # "packets", or the log format's name
    derive: Callable[[Columns, str], Column | None] | None = None  # makes a column when a rule first asks
    absent: set[str] = field(default_factory=set)  # names that `derive` could not make
    parsed: NDArray[np.bool_] | None = None
    mask: Callable[[bytes], bytes] | None = None  # hides personal data in a value before it is shown
    # Names of the logged columns that a column is computed from; None: nobody knows.
    basis: Callable[[Columns, str], frozenset[str]] | None = None
    whole: tuple[Columns, NDArray[np.int64]] | None = (
        None  # the batch of which these are some rows, and which
    )

    def take(self, rows: NDArray[np.int64]) -> Columns:
        """Some rows of this batch. Their columns are made when asked for, as here, of these rows alone."""
        return replace(
            self,
            rows=len(rows),
            times=self.times[rows],
            numbers=self.numbers[rows],
            columns={},
            absent=set(),
            parsed=None if self.parsed is None else self.parsed[rows],
            whole=(self, rows),
        )

    def column(self, name: str) -> Column | None:
        """The column of that name, computed at most once a batch; None where these rows have no such field."""
        found = self.columns.get(name)
        if found is None and name not in self.absent:
            found = self._made(name)
            if found is None:
                self.absent.add(name)
            else:
                self.columns[name] = found
        return found

    def _made(self, name: str) -> Column | None:
        if self.whole is not None:
            whole, rows = self.whole
            if name in whole.columns:
                return whole.columns[name].take(rows)
        return None if self.derive is None else self.derive(self, name)


@dataclass(slots=True, eq=False)
class File:
    """A file seen in a transaction. `data` is what was kept of it; `size` counts all bytes seen so far."""

    name: bytes = b""
    direction: int = 0
    data: bytearray = field(default_factory=bytearray)
    size: int = 0
    closed: bool = False
    truncated: bool = False
    magic: bytes | None = None  # belongs to detect: what the file is, once that was asked and could be told


@dataclass(slots=True, eq=False)
class Transaction:
    """One request and its answer in an application protocol, as rules see it.

    Directions are 0 (to server) and 1 (to client). `buffers[direction]` maps Suricata's buffer and keyword names to
    bytes, list[bytes] (buffers with many values), int or str; a name is absent while its part was not seen.
    `derive(tx, direction, name)` makes costly ones on demand. `progress` is a step of the protocol's own ladder
    (Suricata's numbers); `done` says that no more will come. `events` are app-layer-event names.
    """

    protocol: str
    index: int
    buffers: tuple[dict[str, Any], dict[str, Any]] = field(default_factory=lambda: ({}, {}))
    progress: list[int] = field(default_factory=lambda: [0, 0])
    done: list[bool] = field(default_factory=lambda: [False, False])
    inspected: list[bool] = field(default_factory=lambda: [False, False])  # set by detect, read by protocol
    changes: list[int] = field(
        default_factory=lambda: [0, 0]
    )  # counted by protocol: something new to look at
    events: list[str] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    eve: dict[str, Any] = field(default_factory=dict)
    derive: Callable[[Transaction, int, str], Any] | None = None
    detect_state: Any = None  # belongs to detect
    parser_state: Any = None  # belongs to protocol


@dataclass(slots=True, eq=False)
class Flow:
    """A conversation; source is the client (who sent the first packet). Pairs are [to_server, to_client]."""

    id: int
    proto: int
    src: bytes
    dst: bytes
    sport: int
    dport: int
    start: int
    last: int
    established: bool = False
    closed: bool = False
    app_proto: str = ""  # Suricata's short name; "failed" when recognition gave up, "" while unknown
    app_protos: list[str] = field(default_factory=lambda: ["", ""])
    recognised: list[bool] = field(
        default_factory=lambda: [False, False]
    )  # just now; the next packet of that direction takes it
    packets: list[int] = field(default_factory=lambda: [0, 0])
    bytes: list[int] = field(default_factory=lambda: [0, 0])
    stream_size: list[int] = field(default_factory=lambda: [0, 0])  # next_seq - isn of client and server
    vlan: tuple[int, ...] = ()
    transactions: list[Transaction] = field(default_factory=list)
    stream_state: Any = None  # belongs to protocol: TCP state machine and reassembly
    app_state: Any = None  # belongs to protocol: application parser
    detect_state: Any = None  # belongs to detect: flowbits, counters


@dataclass(slots=True, eq=False)
class Packet:
    """One decoded packet; offsets point into `data` (the frame, or the reassembled or inner packet).

    `events` holds decode events by their rule names, stream events as "stream.NAME" and packet-level application
    events as "applayer.NAME". `stream_data` is the reassembled data that stream rules look at with this packet, empty when its time
    has come before anything was acknowledged.
    """

    number: int  # 1-based in its source; EVE's pcap_cnt
    time: int
    data: bytes
    version: int = 0  # 4, 6, 0 = not IP
    src: bytes = b""
    dst: bytes = b""
    proto: int = 0
    sport: int = 0
    dport: int = 0
    l3: int = 0
    l4: int = 0
    payload_start: int = 0
    payload_end: int = 0
    tcp_flags: int = 0
    seq: int = 0
    ack: int = 0
    window: int = 0
    icmp_type: int = -1
    icmp_code: int = -1
    vlan: tuple[int, ...] = ()
    tunnel_depth: int = 0
    invalid: bool = False  # could not be decoded; only decode events apply
    pseudo: bool = False  # made by us: end of a flow, flushed stream
    reassembled: bool = False  # made of fragments
    fragment: bool = False  # is a fragment
    to_server: bool = True
    established: bool = False  # of the flow, as this packet saw it
    stream_established: bool = False  # the TCP session passed its handshake
    stream_added: bool = False  # its payload went to reassembly
    stream_data: bytes | None = None
    stream_offset: int = 0
    stream_more: list[tuple[int, bytes]] = field(default_factory=list)  # (offset, data) after lost bytes
    app_updated: bool = False  # the application layer got data with this packet
    recognised: bool = False  # the first of its direction since it is known what that speaks
    no_payload_inspect: bool = False  # encrypted from here on: content rules skip it
    no_packet_inspect: bool = False  # passed or bypassed as a whole
    l3_end: int = 0  # end of the IP datagram; what follows in `data` is link padding
    wire_length: int = 0  # on the wire, also where a snap length cut the data
    urgent: int = 0
    tcp_options: dict[int, bytes] = field(default_factory=dict)  # kind -> body, first of each kind
    flowable: bool = False  # belongs to a flow (belongs to protocol)
    tunnel: bool = False  # carries other packets that were yielded before it
    embedded: tuple[int, bytes, int, bytes, int] | None = (
        None  # ICMP error: proto, src, sport, dst, dport inside
    )
    fragment_parent: int = 0  # belongs to protocol: where the header before an IPv6 fragment header names it
    flow: Flow | None = None
    events: list[str] = field(default_factory=list)
    link_type: int = 1  # of the frame

    @property
    def payload(self) -> bytes:
        return self.data[self.payload_start : self.payload_end]

    @property
    def direction(self) -> int:
        return 0 if self.to_server else 1


def isoformat(nanoseconds: int) -> str:
    """EVE's time format, microseconds and offset: 2026-11-23T20:16:39.000001+0000."""
    whole, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}+0000"


@dataclass(slots=True)
class Alert:
    """One finding, from a packet or a log line. `to_eve` gives Suricata's field names (DESIGN, Contracts).

    `rule_id` is the sid as text, or the Sigma rule's id. `level` is Sigma's word (informational .. critical),
    `severity` Suricata's number (1 is worst). `extra` holds whole EVE objects: http, dns, tls, ssh, log, process,
    pcap_cnt, community_id, packet, payload ...
    """

    timestamp: int
    source: str  # "network" or "log"
    rule_id: str
    signature: str
    signature_id: int = 0
    gid: int = 1
    rev: int = 0
    action: str = "allowed"
    category: str = ""
    severity: int = 3
    level: str = "medium"
    metadata: dict[str, list[str]] = field(default_factory=dict)
    host: str = ""
    src_ip: str = ""
    src_port: int | None = None
    dest_ip: str = ""
    dest_port: int | None = None
    proto: str = ""
    app_proto: str = ""
    flow_id: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def to_eve(self) -> dict[str, Any]:
        eve: dict[str, Any] = {"timestamp": isoformat(self.timestamp), "event_type": "alert"}
        optional = ("host", "flow_id", "src_ip", "src_port", "dest_ip", "dest_port", "proto", "app_proto")
        for name in optional:
            value = getattr(self, name)
            if value not in {"", None}:
                eve[name] = value
        eve["alert"] = {
            "action": self.action,
            "gid": self.gid,
            "signature_id": self.signature_id,
            "rev": self.rev,
            "signature": self.signature,
            "category": self.category,
            "severity": self.severity,
            "rule_id": self.rule_id,
            "source": self.source,
            "level": self.level,
        }
        if self.metadata:
            eve["alert"]["metadata"] = self.metadata
        eve.update(self.extra)
        return eve
