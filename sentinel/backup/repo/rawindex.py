"""Index files as bytes: which data blobs there are, without decoding where each of them lies.

A backup that finds nothing new asks of a hundred thousand data blobs only whether they are there, so packs of data
stay text until somebody wants a place in one. That works on restic's own encoding of the JSON; anything else, and
packs that hold trees, is for the caller to decode at once. Bounded: text beyond MOST_BYTES is decoded as it comes.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

MOST_BYTES = (
    64 * 1024 * 1024
)  # about 400,000 blobs; decoded rows take a third more than text and ids together
_BEGIN = b'{"packs":[{"id":"'
_NEXT = b']},{"id":"'
_END = b"]}]}"
_BLOBS = b'","blobs":['
_HEX = 64
_FIRST_BLOB = _HEX + len(_BLOBS)
_DATA = re.compile(rb'\{"id":"(.{64})","type":"data","offset":')
_LENGTH = re.compile(rb',"offset":[0-9]+,"length":([0-9]+)[,}]')
_RAW_LENGTH = b',"uncompressed_length":'


class RawPack(NamedTuple):
    id: bytes
    blobs: bytes  # the JSON between the brackets


class Sizes(NamedTuple):
    """Of a pack: its blobs, how many of them are compressed, and the bytes of all."""

    blobs: int
    compressed: int
    bytes: int


def split_packs(document: bytes) -> list[RawPack] | None:
    """The packs of an index file; None when it is written in another way."""
    text = document.rstrip(b"\n")
    if not (text.startswith(_BEGIN) and text.endswith(_END)):
        return None
    packs = []
    for piece in text[len(_BEGIN) : -len(_END)].split(_NEXT):
        if piece[_HEX:_FIRST_BLOB] != _BLOBS:
            return None
        try:
            packs.append(RawPack(bytes.fromhex(piece[:_HEX].decode()), piece[_FIRST_BLOB:]))
        except ValueError:
            return None
    return packs


def data_ids(blobs: bytes) -> list[bytes] | None:
    """Ids of a pack's blobs when all of them are data; None when some are not, or are written in another way."""
    found = _DATA.findall(blobs)
    if len(found) != blobs.count(b"}"):
        return None
    try:
        joined = bytes.fromhex(b"".join(found).decode())
    except ValueError:
        return None
    if len(joined) != 32 * len(found):
        return None
    return list(struct.unpack("32s" * len(found), joined))


def sizes_of(blobs: bytes) -> Sizes | None:
    """None when a single blob is not written as restic does."""
    found = _LENGTH.findall(blobs)
    if len(found) != blobs.count(b"}"):
        return None
    return Sizes(len(found), blobs.count(_RAW_LENGTH), sum(map(int, found)))
