"""Spans of a buffer -> the different values, and which of them each span is. Logs repeat themselves: clients, agents,
referrers and many targets are worth looking at once a batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

HANDFUL = 16  # different values up to which looking for one after the other beats sorting
SHORT = 7  # bytes of a value that fit beside its length in one machine word


def told_apart(data: bytes, starts: Ints, ends: Ints) -> tuple[list[bytes], Ints]:
    """The values in the order in which they come, but where all are short, or are a few texts that were written once."""
    lengths = ends - starts
    shared = len(data) < len(starts)
    if len(starts) and (shared or int(lengths.max()) <= SHORT):
        firsts, codes = _numbered(starts << 32 | lengths if shared else _words(data, starts, lengths))
        spans = zip(starts[firsts].tolist(), ends[firsts].tolist(), strict=True)
        return [data[a:b] for a, b in spans], codes
    values = [data[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
    index = dict.fromkeys(values, 0)
    for code, value in enumerate(index):
        index[value] = code
    return list(index), np.fromiter(map(index.__getitem__, values), np.int64, len(values))


def _words(data: bytes, starts: Ints, lengths: Ints) -> Ints:
    """Status, method and their like: a value is a number of eight bytes, its length in the first."""
    view = np.frombuffer(data or b"\0", np.uint8)
    key = lengths.copy()
    for i in range(int(lengths.max())):
        place = np.minimum(starts + i, len(view) - 1)
        key |= np.where(i < lengths, view[place], 0).astype(np.int64) << (8 * (i + 1))
    return key


def _numbered(key: Ints) -> tuple[Ints, Ints]:
    """Where each different number stands first, and which of them each is. Mostly there is a handful."""
    codes = np.zeros(len(key), np.int64)
    firsts: list[int] = []
    left = np.arange(len(key))
    while len(left):
        if len(firsts) == HANDFUL:
            _, places, codes = np.unique(key, return_index=True, return_inverse=True)
            return places, codes
        same = key[left] == key[left[0]]
        codes[left[same]] = len(firsts)
        firsts.append(int(left[0]))
        left = left[~same]
    return np.array(firsts, np.int64), codes
