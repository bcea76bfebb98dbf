"""pcapng blocks -> packets with absolute time and the link type of their interface.

In: an open binary file at its first byte. Out: NgPacket per enhanced, simple or (obsolete) packet block, in file order.
Several sections, byte orders and interfaces per file are followed; unknown blocks are skipped. Damage ends the
iteration and is told in `Reader.damage`; it never raises.

Format: draft-ietf-opsawg-pcapng-02, sections 3.1 (blocks), 3.5 (options), 4.1-4.4 (section, interface, packets).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SECTION_MAGIC = b"\x0a\x0d\x0d\x0a"
SECTION, INTERFACE, OLD_PACKET, SIMPLE, ENHANCED = 0x0A0D0D0A, 1, 2, 3, 6
BYTE_ORDERS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
MAXIMUM_BLOCK_BYTES = 16 << 20  # libpcap's own bound
OPTION_TIME_RESOLUTION, OPTION_TIME_OFFSET = 9, 14


@dataclass(frozen=True, slots=True)
class NgPacket:
    data: bytes
    time: int
    length: int
    link_type: int


@dataclass(frozen=True, slots=True)
class Interface:
    link_type: int
    snap_length: int
    units_per_second: int
    offset_seconds: int

    def time(self, high: int, low: int) -> int:
        units = (high << 32) | low
        time = units * 1_000_000_000 // self.units_per_second + self.offset_seconds * 1_000_000_000
        return min(max(time, 0), 2**63 - 1)


class Reader:
    def __init__(self, file: IO[bytes], name: str) -> None:
        self.file = file
        self.name = name
        self.damage = ""
        self.order = "<"
        self.interfaces: list[Interface] = []

    def __iter__(self) -> Iterator[NgPacket]:
        while not self.damage:
            block = self._block()
            if block is None:
                return
            kind, body = block
            if kind == INTERFACE:
                self._interface(body)
            elif kind in PACKET_BLOCKS:
                packet = PACKET_BLOCKS[kind](self, body)
                if packet is None:
                    self._damaged("a packet block that does not hold together")
                    return
                yield packet

    def _block(self) -> tuple[int, bytes] | None:
        head = self.file.read(8)
        if len(head) < 8:
            if head:
                self._damaged("a block header that is cut off")
            return None
        if head[:4] == SECTION_MAGIC:
            return self._section(head)
        kind, size = struct.unpack(self.order + "II", head)
        return self._body(kind, size, b"")

    def _section(self, head: bytes) -> tuple[int, bytes] | None:
        magic = self.file.read(4)
        if magic not in BYTE_ORDERS:
            self._damaged("a section header without a byte order")
            return None
        self.order = BYTE_ORDERS[magic]
        self.interfaces = []
        return self._body(SECTION, struct.unpack_from(self.order + "I", head, 4)[0], magic)

    def _body(self, kind: int, size: int, start: bytes) -> tuple[int, bytes] | None:
        """The rest of a block of `size` bytes of which the header and `start` were read."""
        if size < 12 + len(start) or size > MAXIMUM_BLOCK_BYTES or size % 4:
            self._damaged(f"a block that claims {size} bytes")
            return None
        wanted = size - 8 - len(start)
        rest = self.file.read(wanted)
        if len(rest) < wanted:
            self._damaged("a block that is cut off")
            return None
        return kind, start + rest[:-4]

    def _interface(self, body: bytes) -> None:
        if len(body) < 8:
            self._damaged("an interface block that is too short")
            return
        link_type, _, snap_length = struct.unpack_from(self.order + "HHI", body)
        units, offset = 1_000_000, 0
        for code, value in self._options(body[8:]):
            if code == OPTION_TIME_RESOLUTION and value:
                exponent = value[0] & 0x7F
                units = 1 << exponent if value[0] & 0x80 else 10 ** min(exponent, 18)
            elif code == OPTION_TIME_OFFSET and len(value) == 8:
                offset = struct.unpack(self.order + "q", value)[0]
        self.interfaces.append(Interface(link_type, snap_length, units, offset))

    def _options(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        position = 0
        while position + 4 <= len(data):
            code, size = struct.unpack_from(self.order + "HH", data, position)
            if code == 0:
                return
            yield code, data[position + 4 : position + 4 + size]
            position += 4 + (size + 3 & ~3)

    def _enhanced(self, body: bytes) -> NgPacket | None:
        if len(body) < 20:
            return None
        number, *fields = struct.unpack_from(self.order + "IIIII", body)
        return self._packet(number, fields, body)

    def _old_packet(self, body: bytes) -> NgPacket | None:
        if len(body) < 20:
            return None
        number, _, *fields = struct.unpack_from(self.order + "HHIIII", body)
        return self._packet(number, fields, body)

    def _packet(self, number: int, fields: list[int], body: bytes) -> NgPacket | None:
        high, low, captured, length = fields
        if number >= len(self.interfaces) or captured > len(body) - 20:
            return None
        interface = self.interfaces[number]
        return NgPacket(body[20 : 20 + captured], interface.time(high, low), length, interface.link_type)

    def _simple(self, body: bytes) -> NgPacket | None:
        if len(body) < 4 or not self.interfaces:
            return None
        interface = self.interfaces[0]
        length = struct.unpack_from(self.order + "I", body)[0]
        captured = min(length, interface.snap_length or length, len(body) - 4)
        return NgPacket(body[4 : 4 + captured], 0, length, interface.link_type)

    def _damaged(self, what: str) -> None:
        self.damage = f"{self.name}: {what}; stopped there"


PACKET_BLOCKS = {ENHANCED: Reader._enhanced, SIMPLE: Reader._simple, OLD_PACKET: Reader._old_packet}  # noqa: SLF001
