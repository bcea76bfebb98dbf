"""Capture files -> Batch: classic pcap (both byte orders, micro- and nanoseconds) and, through pcapng.py, pcapng.

In: a path. Out: batches of a few thousand packets with times in nanoseconds and the link type as a LINKTYPE number.
A file that is no capture at all raises SentinelError. A torn or hostile file gives every whole record before the
damage, then stops; `CaptureFile.damage` says what was wrong and where (a dump of a killed tcpdump is still evidence).

Format: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng, https://www.tcpdump.org/linktypes.html
"""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from sentinel.capture import pcapng
from sentinel.errors import SentinelError
from sentinel.model import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator

# magic -> (byte order, nanoseconds per unit of the fraction)
MAGICS = {
    b"\xd4\xc3\xb2\xa1": ("<", 1_000),
    b"\xa1\xb2\xc3\xd4": (">", 1_000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
# The same link under the numbers that older tools and other systems write (DLT_RAW is 12 or 14 by system).
LINK_TYPE_ALIASES = {12: 101, 14: 101, 228: 101, 229: 101, 108: 0}
SUPPORTED_LINK_TYPES = frozenset({0, 1, 9, 101, 113, 276})
MAXIMUM_RECORD_BYTES = 262_144  # libpcap's own bound (MAXIMUM_SNAPLEN); more is damage, not a packet
READ_BYTES = 4 << 20
FILE_HEADER_BYTES = 24
RECORD_HEADER_BYTES = 16


@dataclass(slots=True)
class Rows:
    """Packets collected for one batch."""

    rows: list[bytes] = field(default_factory=list)
    seconds: list[int] = field(default_factory=list)
    fractions: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)

    def batch(self, source: str, first: int, link_type: int, unit: int) -> Batch:
        offsets = np.zeros(len(self.rows) + 1, np.int64)
        np.cumsum([len(row) for row in self.rows], out=offsets[1:])
        times = np.array(self.seconds, np.int64) * 1_000_000_000 + np.array(self.fractions, np.int64) * unit
        return Batch(
            data=b"".join(self.rows),
            offsets=offsets,
            source=source,
            first=first,
            times=times,
            link_type=link_type,
            original=np.array(self.lengths, np.int64),
        )


class CaptureFile:
    """Iterate once over the batches of a capture file."""

    def __init__(self, path: Path | str, *, rows: int = 4096) -> None:
        self.path = Path(path)
        self.rows = rows
        self.damage = ""
        self.packets = 0

    def __iter__(self) -> Iterator[Batch]:
        try:
            with self.path.open("rb") as file:
                magic = file.read(4)
                file.seek(0)
                if magic == pcapng.SECTION_MAGIC:
                    yield from self._pcapng(file)
                elif magic in MAGICS:
                    yield from self._pcap(file, *MAGICS[magic])
                else:
                    raise SentinelError(f"{self.path}: not a capture file (neither pcap nor pcapng)")
        except OSError as error:
            raise SentinelError(f"{self.path}: {error.strerror}") from None

    def _pcap(self, file: IO[bytes], order: str, unit: int) -> Iterator[Batch]:
        header = file.read(FILE_HEADER_BYTES)
        if len(header) < FILE_HEADER_BYTES:
            raise SentinelError(f"{self.path}: the pcap file header is cut off")
        # The upper bits of the link type field hold the FCS length, not the type.
        link_type = self._link_type(struct.unpack_from(order + "I", header, 20)[0] & 0x0FFF_FFFF)
        buffer, position = b"", 0
        length = struct.Struct(order + "I")
        while True:
            block = file.read(READ_BYTES)
            buffer = buffer[position:] + block
            position = 0
            while not self.damage:
                starts, position = self._walk(length, buffer, position)
                if not starts:
                    break
                yield self._batch(buffer, starts, position, (order, unit, link_type))
                self.packets += len(starts)
            if self.damage or not block:
                break
        if not self.damage and position < len(buffer):
            self.damage = f"{self.path}: the last record (packet {self.packets + 1}) is cut off"

    def _walk(self, length: struct.Struct, buffer: bytes, position: int) -> tuple[list[int], int]:
        """Where whole records begin from `position` on, and where the first one that is not whole does."""
        starts: list[int] = []
        unpack, end = length.unpack_from, len(buffer) - RECORD_HEADER_BYTES
        for _ in range(self.rows):
            if position > end:
                break
            (captured,) = unpack(buffer, position + 8)
            if captured > MAXIMUM_RECORD_BYTES:
                number = self.packets + len(starts) + 1
                self.damage = f"{self.path}: packet {number} claims {captured} bytes; stopped there"
                break
            if position + captured > end:
                break
            starts.append(position)
            position += captured + RECORD_HEADER_BYTES
        return starts, position

    def _batch(self, buffer: bytes, starts: list[int], end: int, form: tuple[str, int, int]) -> Batch:
        """The records that begin at `starts`; their headers are read by NumPy, not one by one."""
        order, unit, link_type = form
        at = np.array([*starts, end], np.int64)
        words = np.frombuffer(buffer, np.uint8)[at[:-1, None] + np.arange(RECORD_HEADER_BYTES)]
        head = words.view(order + "u4").astype(np.int64)
        bodies = [buffer[a + RECORD_HEADER_BYTES : b] for a, b in itertools.pairwise([*starts, end])]
        return Batch(
            data=b"".join(bodies),
            offsets=at - at[0] - RECORD_HEADER_BYTES * np.arange(len(at)),
            source=str(self.path),
            first=self.packets + 1,
            times=head[:, 0] * 1_000_000_000 + head[:, 1] * unit,
            link_type=link_type,
            original=head[:, 3],
        )

    def _pcapng(self, file: IO[bytes]) -> Iterator[Batch]:
        reader = pcapng.Reader(file, str(self.path))
        rows, link_type = Rows(), -1
        for packet in reader:
            if rows.rows and (packet.link_type != link_type or len(rows.rows) >= self.rows):
                yield self._flush(rows, link_type)
                rows = Rows()
            if packet.link_type != link_type:
                link_type = packet.link_type
                self._link_type(link_type)
            rows.rows.append(packet.data)
            rows.seconds.append(0)
            rows.fractions.append(packet.time)
            rows.lengths.append(packet.length)
        if rows.rows:
            yield self._flush(rows, link_type)
        self.damage = reader.damage

    def _flush(self, rows: Rows, link_type: int) -> Batch:
        batch = rows.batch(str(self.path), self.packets + 1, self._link_type(link_type), 1)
        self.packets += len(rows.rows)
        return batch

    def _link_type(self, number: int) -> int:
        number = LINK_TYPE_ALIASES.get(number, number)
        if number not in SUPPORTED_LINK_TYPES:
            raise SentinelError(
                f"{self.path}: link type {number} is not supported (Ethernet, raw IP, cooked, loopback are)"
            )
        return number


def read(path: Path | str, *, rows: int = 4096) -> CaptureFile:
    """Batches of a capture file of any supported kind."""
    return CaptureFile(path, rows=rows)
