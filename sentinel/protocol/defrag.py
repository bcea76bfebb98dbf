"""IP fragments -> whole datagrams, put together as the receiving host's operating system would.

In: packets that decode.py marked as fragments. Out: a new Packet with the reassembled datagram (its data begin at the
IP header), or None while parts are missing. Overlaps go by target policy (Novak, "Target-based fragmentation
reassembly", 2005; RFC 5722 asks hosts to drop them, which attackers count on). Bounded in datagrams and time; both
kinds of loss are counted. RFC 791, RFC 8200 section 4.5.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sentinel.model import Packet
from sentinel.protocol.oldest import Oldest
from sentinel.protocol.reassembly import Reassembly

if TYPE_CHECKING:
    from collections.abc import Callable

    Wins = Callable[[int, int, int, int], bool]
    Key = tuple[bytes, bytes, int, int, tuple[int, ...], int]

SECOND = 1_000_000_000
TIMEOUT_SECONDS = 60  # defrag.timeout of suricata.yaml
MAXIMUM_DATAGRAM = 65_535
FRAGMENTS_PER_DATAGRAM = 8_192  # 65,535 bytes in the smallest legal pieces of 8

# Does a new fragment [start, end) replace the bytes of an older one [old_start, old_end)?
POLICIES: dict[str, Wins] = {
    "first": lambda _start, _end, _old_start, _old_end: False,
    "last": lambda _start, _end, _old_start, _old_end: True,
    "bsd": lambda start, _end, old_start, _old_end: start < old_start,
    "bsd-right": lambda start, _end, old_start, _old_end: start >= old_start,
    "linux": lambda start, _end, old_start, _old_end: start <= old_start,
    "windows": lambda start, end, old_start, old_end: start < old_start and end > old_end,
    "solaris": lambda start, end, old_start, old_end: start < old_start and end >= old_end,
}
HOST_POLICIES = {
    "hpux10": "bsd",
    "irix": "bsd",
    "old-linux": "linux",
    "old-solaris": "first",
    "hpux11": "first",
    "macos": "first",
    "vista": "windows",
    "windows2k3": "windows",
}


@dataclass(slots=True)
class Datagram:
    """What arrived of one datagram so far."""

    wins: Wins
    started: int
    data: Reassembly = field(default_factory=Reassembly)
    header: bytes = b""
    total: int = -1  # where the last fragment ends, once seen
    fragments: int = 0


class Defragmenter:
    """At most `bound` unfinished datagrams; the oldest makes room."""

    def __init__(self, bound: int, policy: Callable[[bytes], str]) -> None:
        self.bound = bound
        self.policy = policy
        self.datagrams: dict[Key, Datagram] = {}
        self._oldest = Oldest(self.datagrams)
        self.evicted = 0
        self.timed_out = 0

    def add(self, packet: Packet) -> Packet | None:
        family = "ipv4" if packet.version == 4 else "ipv6"
        found = _read_4(packet) if packet.version == 4 else _read_6(packet)
        identifier, start, more, header, payload = found
        overhead = 20 if packet.version == 4 else 0
        if overhead + start + len(payload) > MAXIMUM_DATAGRAM:
            packet.events.append(f"{family}.frag_pkt_too_large")
            return None
        key = (packet.src, packet.dst, identifier, packet.proto, packet.vlan, packet.tunnel_depth)
        datagram = self._datagram(key, packet)
        data = datagram.data
        if data.overlaps(start, start + len(payload)):
            packet.events.append(f"{family}.frag_overlap")
        datagram.fragments += 1
        if payload and datagram.fragments <= FRAGMENTS_PER_DATAGRAM:
            data.insert(start, payload, "", datagram.wins)
        if start == 0:
            datagram.header = header
        if not more:
            datagram.total = start + len(payload)
        if datagram.total < 0 or not datagram.header or not data.blocks:
            return None
        first, whole = data.blocks[0]
        if first != 0 or len(whole) < datagram.total:
            return None
        del self.datagrams[key]
        return _joined(packet, datagram.header, bytes(whole))

    def _datagram(self, key: Key, packet: Packet) -> Datagram:
        datagram = self.datagrams.get(key)
        if datagram is not None:
            if packet.time - datagram.started < TIMEOUT_SECONDS * SECOND:
                return datagram
            del self.datagrams[key]
            self.timed_out += 1
        elif len(self.datagrams) >= self.bound:
            del self.datagrams[self._oldest.pop()]
            self.evicted += 1
        name = self.policy(packet.dst)
        wins = POLICIES.get(HOST_POLICIES.get(name, name), POLICIES["windows"])
        datagram = self.datagrams[key] = Datagram(wins, packet.time)
        return datagram


def _read_4(packet: Packet) -> tuple[int, int, bool, bytes, bytes]:
    """(identifier, offset, more fragments follow, header, payload)"""
    data, start = packet.data, packet.l3
    word = (data[start + 6] << 8) | data[start + 7]
    identifier = (data[start + 4] << 8) | data[start + 5]
    body = start + (data[start] & 15) * 4
    return identifier, (word & 0x1FFF) * 8, bool(word & 0x2000), data[start:body], data[body : packet.l3_end]


def _read_6(packet: Packet) -> tuple[int, int, bool, bytes, bytes]:
    """The header is what stands before the fragment header, with that taken out of the chain."""
    data, position = packet.data, packet.l4
    word = (data[position + 2] << 8) | data[position + 3]
    identifier = int.from_bytes(data[position + 4 : position + 8], "big")
    header = bytearray(data[packet.l3 : position])
    header[packet.fragment_parent - packet.l3] = data[position]
    return identifier, word & 0xFFF8, bool(word & 1), bytes(header), data[position + 8 : packet.l3_end]


def _joined(packet: Packet, header: bytes, payload: bytes) -> Packet:
    whole = bytearray(header + payload)
    if packet.version == 4:
        whole[2:4] = len(whole).to_bytes(2, "big")
        whole[6:8] = b"\0\0"
    else:
        whole[4:6] = (len(whole) - 40).to_bytes(2, "big")
    joined = Packet(packet.number, packet.time, bytes(whole), tunnel_depth=packet.tunnel_depth)
    joined.vlan = packet.vlan
    joined.reassembled = True
    joined.wire_length = len(whole)
    return joined
