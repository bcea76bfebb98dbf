"""Headers of a whole batch at once, as a structure of arrays: the columnar side of decode.py.

In: a Batch of frames. Out: Headers; `plain` marks rows that are whole, unfragmented TCP or UDP directly over IPv4
(without options) or IPv6 (without extension headers), untagged or behind one or two VLAN tags; for these every column
says what decode.py says (property-tested). `fragment` marks pieces of IP datagrams: for these `key` names the datagram
and `part` says whether it is its first or last piece. All other rows have only zeros: decode them one by one.

No row is touched by Python: each field is one NumPy gather over the batch's bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sentinel.model import Batch

    Ints = NDArray[np.int64]
    Words = NDArray[np.uint64]
    Flags = NDArray[np.bool_]

ETHERNET, RAW = 1, 101
IPV4, IPV6, VLANS = 0x0800, 0x86DD, (0x8100, 0x88A8, 0x9100)
TCP, UDP = 6, 17
PADDING = b"\0" * 80  # so that a gather behind the last row stays inside the buffer
MIX_1, MIX_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
SHIFT = np.uint64(29)
FRAGMENT, PASSED_OVER = 44, (0, 60)  # IPv6: the fragment header, and options that may stand before it
FIRST, LAST = 1, 2
DATAGRAM = 1 << 40  # in place of a protocol: keys of datagrams are not keys of flows


@dataclass(slots=True)
class Headers:
    """One entry per row of the batch. Offsets are into `Batch.data`. `key` is the same for both directions."""

    plain: Flags
    proto: Ints
    version: Ints
    sport: Ints
    dport: Ints
    src4: Ints
    dst4: Ints
    ttl: Ints
    tcp_flags: Ints
    seq: Ints
    ack: Ints
    payload_start: Ints
    payload_end: Ints
    key: Words
    forward: Flags  # the row's source is the lower endpoint of the pair; both directions differ in it
    fragment: Flags
    part: Ints  # FIRST | LAST

    @property
    def payload_length(self) -> Ints:
        return self.payload_end - self.payload_start


class _Bytes:
    """Gathers of big-endian numbers at one offset per row."""

    def __init__(self, batch: Batch) -> None:
        self.bytes = np.frombuffer(batch.data + PADDING, np.uint8)

    def u8(self, at: Ints) -> Ints:
        return self.bytes[at].astype(np.int64)

    def u16(self, at: Ints) -> Ints:
        return (self.u8(at) << 8) | self.u8(at + 1)

    def u32(self, at: Ints) -> Ints:
        return (self.u16(at) << 16) | self.u16(at + 2)


def decode(
    batch: Batch, *, seed: int = 0, tunnels: frozenset[int] = frozenset(), use_vlan: bool = True
) -> Headers:
    """`seed` makes flow keys unpredictable; UDP to or from a port of `tunnels` is not plain.

    Without `use_vlan` flows of different VLANs are one, as Suricata's vlan.use-for-tracking.
    """
    data = _Bytes(batch)
    starts, ends = batch.offsets[:-1], batch.offsets[1:]
    l3, kind, vlan = _link(batch, data, starts, ends)
    four = (kind == IPV4) & (ends - l3 >= 20)
    six = (kind == IPV6) & (ends - l3 >= 40)
    l3 = np.where(four | six, l3, starts)
    four &= data.u8(l3) == 0x45
    six &= data.u8(l3) >> 4 == 6
    offset = np.where(four, data.u16(l3 + 6) & 0x3FFF, 0)
    length = np.where(four, data.u16(l3 + 2), data.u16(l3 + 4) + 40)
    l3_end = l3 + length
    l4 = l3 + np.where(four, 20, 40)
    proto = np.where(four, data.u8(l3 + 9), np.where(six, data.u8(l3 + 6), 0))
    complete = (four | six) & (l3_end <= ends)
    whole = complete & (offset == 0)
    tcp = whole & (proto == TCP) & (l3_end - l4 >= 20)
    udp = whole & (proto == UDP) & (l3_end - l4 >= 8)
    l4 = np.where(tcp | udp, l4, starts)
    size = (data.u8(l4 + 12) >> 4) * 4
    tcp &= (size >= 20) & (size <= l3_end - l4)
    datagram = data.u16(l4 + 4)
    udp &= (datagram >= 8) & (datagram <= l3_end - l4)
    plain = tcp | udp
    sport, dport = data.u16(l4), data.u16(l4 + 2)
    for port in tunnels:
        plain &= ~udp | ((sport != port) & (dport != port))
    zero = np.zeros(len(starts), np.int64)
    tcp &= plain
    payload_start = np.where(tcp, l4 + size, l4 + 8)
    payload_end = np.where(tcp, l3_end, l4 + datagram)
    key, forward = _flow_key(data, l3, six, (proto, sport, dport, vlan if use_vlan else zero), seed)
    found = Headers(
        plain=plain,
        proto=np.where(plain, proto, zero),
        version=np.where(plain, np.where(six, 6, 4), zero),
        sport=np.where(plain, sport, zero),
        dport=np.where(plain, dport, zero),
        src4=np.where(plain & four, data.u32(l3 + 12), zero),
        dst4=np.where(plain & four, data.u32(l3 + 16), zero),
        ttl=np.where(plain, np.where(four, data.u8(l3 + 8), data.u8(l3 + 7)), zero),
        tcp_flags=np.where(tcp, data.u8(l4 + 13), zero),
        seq=np.where(tcp, data.u32(l4 + 4), zero),
        ack=np.where(tcp, data.u32(l4 + 8), zero),
        payload_start=np.where(plain, payload_start, zero),
        payload_end=np.where(plain, payload_end, zero),
        key=key,
        forward=forward,
        fragment=np.zeros(len(starts), np.bool_),
        part=zero.copy(),
    )
    _fragments_4(data, found, np.flatnonzero(complete & (offset != 0)), (l3, vlan), seed)
    _fragments_6(data, found, np.flatnonzero(complete & six & ~plain), (l3, l3_end, vlan), seed)
    return found


def _fragments_4(data: _Bytes, found: Headers, rows: Ints, columns: tuple[Ints, Ints], seed: int) -> None:
    if not len(rows):
        return
    l3, vlan = (column[rows] for column in columns)
    word = data.u16(l3 + 6)
    found.version[rows], found.proto[rows], found.ttl[rows] = 4, data.u8(l3 + 9), data.u8(l3 + 8)
    found.src4[rows], found.dst4[rows] = data.u32(l3 + 12), data.u32(l3 + 16)
    part = np.where(word & 0x1FFF, 0, FIRST) | np.where(word & 0x2000, 0, LAST)
    names = (found.proto[rows] | DATAGRAM, data.u16(l3 + 4), np.zeros_like(l3), vlan)
    _mark(found, rows, part, _flow_key(data, l3, np.zeros(len(rows), np.bool_), names, seed)[0])


def _fragments_6(
    data: _Bytes, found: Headers, rows: Ints, columns: tuple[Ints, Ints, Ints], seed: int
) -> None:
    """Behind at most two headers of options. A fragment header without effect is left to decode.py."""
    if not len(rows):
        return
    l3, end, vlan = (column[rows] for column in columns)
    kind, at = data.u8(l3 + 6), l3 + 40
    for _ in PASSED_OVER:
        over = np.isin(kind, PASSED_OVER) & (end - at >= 8)
        kind, at = (
            np.where(over, data.u8(at), kind),
            np.where(over, np.minimum(at + (data.u8(at + 1) + 1) * 8, end), at),
        )
    word = data.u16(at + 2)
    chosen = np.flatnonzero((kind == FRAGMENT) & (end - at >= 8) & ((word & 0xFFF9) != 0))
    rows, l3, at, vlan, word = rows[chosen], l3[chosen], at[chosen], vlan[chosen], word[chosen]
    found.version[rows], found.proto[rows], found.ttl[rows] = 6, FRAGMENT, data.u8(l3 + 7)
    part = np.where(word & 0xFFF8, 0, FIRST) | np.where(word & 1, 0, LAST)
    names = (np.full_like(l3, FRAGMENT | DATAGRAM), data.u16(at + 4), data.u16(at + 6), vlan)
    _mark(found, rows, part, _flow_key(data, l3, np.ones(len(rows), np.bool_), names, seed)[0])


def _mark(found: Headers, rows: Ints, part: Any, key: Words) -> None:
    found.fragment[rows], found.part[rows], found.key[rows] = True, part, key


def _link(batch: Batch, data: _Bytes, starts: Ints, ends: Ints) -> tuple[Ints, Ints, Ints]:
    """Where the network header begins, its ethertype (0: not for us), and the VLAN tags in one number."""
    vlan = np.zeros(len(starts), np.int64)
    if batch.vlan is not None:
        vlan = batch.vlan.astype(np.int64) & 0xFFF
    if batch.link_type == RAW:
        version = np.where(ends > starts, data.u8(starts) >> 4, 0)
        return starts, np.where(version == 4, IPV4, np.where(version == 6, IPV6, 0)), vlan
    if batch.link_type != ETHERNET:
        return starts, np.zeros(len(starts), np.int64), vlan
    l3 = starts + 14
    kind = np.where(ends >= l3, data.u16(starts + 12), 0)
    for _ in range(2):
        tagged = np.isin(kind, VLANS) & (ends - l3 >= 4) & (vlan < 0x1000)
        if not tagged.any():
            break
        at = np.where(tagged, l3, starts)
        vlan = np.where(tagged, (vlan << 12) | (data.u16(at) & 0xFFF) | 0, vlan)
        kind = np.where(tagged, data.u16(at + 2), kind)
        l3 = np.where(tagged, l3 + 4, l3)
    return l3, kind, vlan


def _flow_key(
    data: _Bytes, l3: Ints, six: Flags, fields: tuple[Ints, Ints, Ints, Ints], seed: int
) -> tuple[Words, Flags]:
    """64 bits that both directions share. Two flows that collide only lose the fast path, never a packet."""
    proto, sport, dport, vlan = fields
    first = np.where(six, data.u32(l3 + 8), data.u32(l3 + 12)).astype(np.uint64)
    second = np.where(six, data.u32(l3 + 24), data.u32(l3 + 16)).astype(np.uint64)
    if six.any():
        first, second = _fold(data, l3, six, first, 8), _fold(data, l3, six, second, 24)
    source = _mix((first << np.uint64(16)) ^ sport.astype(np.uint64) ^ (first >> np.uint64(48)), seed)
    target = _mix((second << np.uint64(16)) ^ dport.astype(np.uint64) ^ (second >> np.uint64(48)), seed)
    rest = (proto | (vlan << 8)).astype(np.uint64)
    return _mix(source + target + rest * MIX_2, seed), source <= target


def _fold(data: _Bytes, l3: Ints, six: Flags, start: Words, at: int) -> Words:
    folded = start
    for word in (4, 8, 12):
        folded = _mix(folded, word) ^ data.u32(l3 + at + word).astype(np.uint64)
    return np.where(six, folded, start)


def _mix(value: Words, seed: int) -> Words:
    value = (value ^ np.uint64(seed)) * MIX_1
    value ^= value >> SHIFT
    value *= MIX_2
    return value ^ (value >> SHIFT)
