"""One batch sorted by flow and direction: what the columnar path loops over.

In: a Batch and its Headers. Out: per flow the rows in order, and per direction of a flow the payload pieces, the
sequence number they begin with and the one that follows. All checks that concern neighbouring rows are done here, for
the whole batch at once; nothing here keeps state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sentinel.model import Batch
    from sentinel.protocol.headers import Headers

MASK = 0xFFFFFFFF
FIN, SYN, RST, ACK, URG = 0x01, 0x02, 0x04, 0x10, 0x20
TCP = 6


@dataclass(slots=True)
class Run:
    """The rows of one direction of a flow that carry something: payload pieces, or SYN or FIN (empty pieces)."""

    forward: bool
    row: int  # the first of them
    seq: int
    follows: int
    pieces: list[bytes]
    torn: bool = False  # segments do not follow each other, and not only because the same bytes came twice


@dataclass(slots=True)
class Group:
    """One flow in one batch. `odd`: something that an ordinary conversation does not show, or a wanted row."""

    key: int
    rows: list[int]
    odd: bool
    closing: bool
    runs: list[Run]


def groups(batch: Batch, found: Headers, wanted: NDArray[np.bool_]) -> Iterator[Group]:
    """Flows of the batch's plain rows, each once."""
    rows = np.flatnonzero(found.plain)
    if not len(rows):
        return
    rows = rows[np.argsort(found.key[rows], kind="stable")]
    keys, flags = found.key[rows], found.tcp_flags[rows]
    odd = wanted[rows] | _odd_flags(found, rows)
    edges = _edges(keys[1:] != keys[:-1])
    odd_list = np.logical_or.reduceat(odd, edges[:-1]).tolist()
    closing_list = np.logical_or.reduceat((flags & (FIN | RST)) != 0, edges[:-1]).tolist()
    runs = _runs(batch, found, rows)
    bounds, ordered = edges.tolist(), rows.tolist()
    for number, key in enumerate(keys[edges[:-1]].tolist()):
        members = ordered[bounds[number] : bounds[number + 1]]
        mine = runs.get(key, [])
        strange = odd_list[number] or any(run.torn for run in mine)
        yield Group(key, members, strange, closing_list[number], mine)


def _edges(changes: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.flatnonzero(np.concatenate(([True], changes, [True])))


def _carrying(found: Headers, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows that carry bytes, SYN or FIN, sorted by flow and direction; and how far each moves the sequence."""
    flags = found.tcp_flags[rows]
    moves = found.payload_end[rows] - found.payload_start[rows] + ((flags & SYN) >> 1) + (flags & FIN)
    at = np.flatnonzero(moves > 0)
    order = np.lexsort((found.forward[rows[at]], found.key[rows[at]]))
    at = at[order]
    return at, moves[at]


def _runs(batch: Batch, found: Headers, rows: NDArray[np.int64]) -> dict[int, list[Run]]:
    at, moves = _carrying(found, rows)
    result: dict[int, list[Run]] = {}
    if not len(at):
        return result
    rows = rows[at]
    keys, forward = found.key[rows], found.forward[rows]
    bounds = _edges((keys[1:] != keys[:-1]) | (forward[1:] != forward[:-1])).tolist()
    data, starts, ends = batch.data, found.payload_start[rows].tolist(), found.payload_end[rows].tolist()
    follows = ((found.seq[rows] + moves) & MASK).tolist()
    seq, key_list, row_list, sides = found.seq[rows].tolist(), keys.tolist(), rows.tolist(), forward.tolist()
    breaks = _breaks(found, rows, moves, bounds)
    for number in range(len(bounds) - 1):
        low, high = bounds[number], bounds[number + 1]
        pieces = [data[a:b] for a, b in zip(starts[low:high], ends[low:high], strict=True)]
        run = Run(sides[low], row_list[low], seq[low], follows[high - 1], pieces)
        if breaks[number]:
            _mend(run, seq[low:high], moves[low:high].tolist())
        result.setdefault(key_list[low], []).append(run)
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


def _mend(run: Run, seqs: list[int], moves: list[int]) -> None:
    """Leave out segments that only repeat bytes of this run; anything else tears it."""
    expected, whole = seqs[0], bytearray()
    for seq, move, piece in zip(seqs, moves, run.pieces, strict=True):
        back = (expected - seq) & MASK
        if back == 0:
            whole += piece
            expected = (expected + move) & MASK
        elif not (move == len(piece) <= back <= len(whole) and whole.startswith(piece, len(whole) - back)):
            run.torn = True
            return
    run.pieces, run.follows = [bytes(whole)], expected
