"""Capture files -> Batch: classic pcap (both byte orders, micro- and nanoseconds) and, through pcapng.py, pcapng.

In: a path. Out: batches of a few thousand packets with times in nanoseconds and the link type as a LINKTYPE number.
A file that is no capture at all raises SentinelError. A torn or hostile file gives every whole record before the
damage, then stops; `CaptureFile.damage` says what was wrong and where (a dump of a killed tcpdump is still evidence).

Format: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng, https://www.tcpdump.org/linktypes.html
"""

from __future__ import annotations

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
        record = struct.Struct(order + "IIII")
        while True:
            block = file.read(READ_BYTES)
            buffer = buffer[position:] + block
            position = 0
            while not self.damage:
                rows = Rows()
                position = self._walk(rows, record, buffer, position)
                if not rows.rows:
                    break
                yield rows.batch(str(self.path), self.packets + 1, link_type, unit)
                self.packets += len(rows.rows)
            if self.damage or not block:
                break
        if not self.damage and position < len(buffer):
            self.damage = f"{self.path}: the last record (packet {self.packets + 1}) is cut off"

    def _walk(self, rows: Rows, record: struct.Struct, buffer: bytes, position: int) -> int:
        """Collect whole records from `position` on; return where the first not collected one starts."""
        unpack = record.unpack_from
        add_row, add_second = rows.rows.append, rows.seconds.append
        add_fraction, add_length = rows.fractions.append, rows.lengths.append
        end = len(buffer)
        for _ in range(self.rows):
            start = position + RECORD_HEADER_BYTES
            if start > end:
                break
            second, fraction, captured, length = unpack(buffer, position)
            if captured > MAXIMUM_RECORD_BYTES:
                number = self.packets + len(rows.rows) + 1
                self.damage = f"{self.path}: packet {number} claims {captured} bytes; stopped there"
                break
            if start + captured > end:
                break
            position = start + captured
            add_row(buffer[start:position])
            add_second(second)
            add_fraction(fraction)
            add_length(length)
        return position

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
