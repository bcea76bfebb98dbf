"""One batch sorted by flow and direction: what the columnar path loops over.

In: a Batch and its Headers. Out: per flow the rows in order, and per direction of a flow the payload pieces, the
sequence number they begin with and the one that follows. All checks that concern neighbouring rows are done here, for
the whole batch at once; nothing here keeps state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sentinel.protocol.reorder import FIN, MASK, SYN, Segment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sentinel.model import Batch
    from sentinel.protocol.headers import Headers

RST, ACK, URG = 0x04, 0x10, 0x20
TCP = 6


@dataclass(slots=True)
class Run:
    """The rows of one direction of a flow that carry something: payload pieces, or SYN or FIN (empty pieces)."""

    forward: bool
    row: int  # the first of them
    seq: int
    follows: int
    flags: int  # of all of them together
    data: bytes  # of the batch
    spans: list[tuple[int, int]]
    each: list[tuple[int, int]] | None = None  # number and flags, where they do not simply follow each other

    @property
    def pieces(self) -> list[bytes]:
        """Cut out when somebody asks: of a long stream nobody may."""
        data = self.data
        return [data[low:high] for low, high in self.spans]

    def parts(self) -> list[Segment]:
        if self.each is not None:
            return [
                Segment(seq, piece, flags) for (seq, flags), piece in zip(self.each, self.pieces, strict=True)
            ]
        opening = self.flags & SYN
        data = Segment((self.seq + (opening >> 1)) & MASK, b"".join(self.pieces), self.flags & FIN)
        return [Segment(self.seq, b"", SYN), data] if opening else [data]


@dataclass(slots=True)
class Group:
    """One session in one batch. `odd`: something that an ordinary conversation does not show, or a wanted row."""

    key: int
    rows: list[int]
    odd: bool
    flags: int  # TCP flags of all rows together
    runs: list[Run]
    lone: bool  # the first row is the session's first packet, and to be looked at by itself


def groups(
    batch: Batch, found: Headers, wanted: NDArray[np.bool_], lone: NDArray[np.bool_]
) -> Iterator[Group]:
    """Sessions of the batch's plain rows: those of one flow one after the other, each beginning with its SYN.

    A row of `lone` that is not a SYN at a session's beginning counts as wanted.
    """
    rows = np.flatnonzero(found.plain)
    if not len(rows):
        return
    rows = rows[np.argsort(found.key[rows], kind="stable")]
    keys, flags = found.key[rows], found.tcp_flags[rows]
    edges = _edges((keys[1:] != keys[:-1]) | _opens(flags))
    alone = lone[rows]
    first = alone[edges[:-1]] & ((flags[edges[:-1]] & (SYN | ACK)) == SYN)
    alone[edges[:-1]] &= ~first
    odd = wanted[rows] | alone | _odd_flags(found, rows)
    numbers = np.repeat(np.arange(len(edges) - 1), np.diff(edges))
    odd_list = np.logical_or.reduceat(odd, edges[:-1]).tolist()
    flag_list = np.bitwise_or.reduceat(flags, edges[:-1]).tolist()
    runs = _runs(batch, found, rows, numbers)
    bounds, ordered, lone_list = edges.tolist(), rows.tolist(), first.tolist()
    for number, key in enumerate(keys[edges[:-1]].tolist()):
        members = ordered[bounds[number] : bounds[number + 1]]
        yield Group(
            key, members, odd_list[number], flag_list[number], runs.get(number, []), lone_list[number]
        )


def _opens(flags: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Per row but the first: a SYN that does not only repeat the row before."""
    opening = (flags & (SYN | ACK)) == SYN
    opens: NDArray[np.bool_] = opening[1:] & ~opening[:-1]
    return opens


def _edges(changes: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.flatnonzero(np.concatenate(([True], changes, [True])))


def _carrying(
    found: Headers, rows: NDArray[np.int64], numbers: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows that carry bytes, SYN or FIN, sorted by session and direction; and how far each moves the sequence."""
    flags = found.tcp_flags[rows]
    moves = found.payload_end[rows] - found.payload_start[rows] + ((flags & SYN) >> 1) + (flags & FIN)
    at = np.flatnonzero(moves > 0)
    order = np.lexsort((found.forward[rows[at]], numbers[at]))
    at = at[order]
    return at, moves[at]


def _runs(
    batch: Batch, found: Headers, rows: NDArray[np.int64], numbers: NDArray[np.int64]
) -> dict[int, list[Run]]:
    at, moves = _carrying(found, rows, numbers)
    result: dict[int, list[Run]] = {}
    if not len(at):
        return result
    rows, numbers = rows[at], numbers[at]
    forward = found.forward[rows]
    bounds = _edges((numbers[1:] != numbers[:-1]) | (forward[1:] != forward[:-1])).tolist()
    data, starts, ends = batch.data, found.payload_start[rows].tolist(), found.payload_end[rows].tolist()
    follows = ((found.seq[rows] + moves) & MASK).tolist()
    seq, owners, row_list, sides = found.seq[rows].tolist(), numbers.tolist(), rows.tolist(), forward.tolist()
    breaks = _breaks(found, rows, moves, bounds)
    flags = found.tcp_flags[rows]
    flag_list = np.bitwise_or.reduceat(flags, bounds[:-1]).tolist()
    for number in range(len(bounds) - 1):
        low, high = bounds[number], bounds[number + 1]
        spans = list(zip(starts[low:high], ends[low:high], strict=True))
        run = Run(sides[low], row_list[low], seq[low], follows[high - 1], flag_list[number], data, spans)
        if breaks[number]:
            run.each = list(zip(seq[low:high], flags[low:high].tolist(), strict=True))
        result.setdefault(owners[low], []).append(run)
    return result


def _odd_flags(found: Headers, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """TCP flags that an ordinary conversation does not show."""
    flags = found.tcp_flags[rows]
    data = found.payload_end[rows] > found.payload_start[rows]
    syn, rst = (flags & SYN) != 0, (flags & RST) != 0
    odd: NDArray[np.bool_] = (flags & URG) != 0
    odd |= syn & (data | ((flags & (FIN | RST)) != 0))
    odd |= rst & data
    odd |= (found.proto[rows] == TCP) & ((flags & (SYN | ACK | RST)) == 0)
    return odd


def _breaks(
    found: Headers, rows: NDArray[np.int64], moves: NDArray[np.int64], bounds: list[int]
) -> list[bool]:
    """Per run: whether some segment does not begin where the one before it ended."""
    bad = np.zeros(len(rows), np.bool_)
    seq = found.seq[rows]
    bad[1:] = seq[1:] != ((seq + moves) & MASK)[:-1]
    bad[bounds[:-1]] = False
    bad &= found.proto[rows] == TCP
    broken: list[bool] = np.logical_or.reduceat(bad, bounds[:-1]).tolist()
    return broken
