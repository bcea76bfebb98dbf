"""Addresses as numbers: text -> (family, first, last); lists of them -> disjoint, sorted intervals.

The kernel's interval sets refuse overlaps, so everything is merged here. An entry may end (`until`, nanoseconds):
where entries overlap the one that lasts longest wins, and no `until` lasts for ever.
"""

from __future__ import annotations

import heapq
import socket
from operator import itemgetter
from typing import TypeAlias

Interval: TypeAlias = "tuple[int, int, int | None]"  # first, last, until

BITS = {4: 32, 6: 128}
SOCKET_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
SIZES = {family: {str(n): 1 << (bits - n) for n in range(bits + 1)} for family, bits in BITS.items()}
FOR_EVER = 1 << 127


def parse_address(text: str) -> tuple[int, int]:
    """(family, number) of one address."""
    family = 6 if ":" in text else 4
    try:
        packed = socket.inet_pton(SOCKET_FAMILY[family], text)
    except (OSError, ValueError):
        raise ValueError(f"{text!r} is not an IP address") from None
    return family, int.from_bytes(packed, "big")


def parse(text: str) -> tuple[int, int, int]:
    """(family, first, last) of an address, a network in CIDR notation or a range `first-last`."""
    if "/" in text:
        return _network(text)
    if "-" in text:
        return _range(text)
    family, number = parse_address(text)
    return family, number, number


def _network(text: str) -> tuple[int, int, int]:
    address, _, length = text.partition("/")
    family, first = parse_address(address)
    size = SIZES[family].get(length)
    if size is None:
        raise ValueError(f"{text!r}: the prefix length is not 0 to {BITS[family]}")
    if first % size:
        network = format_address(family, first - first % size)
        raise ValueError(f"{text!r} has host bits set; the network is {network}/{length}")
    return family, first, first + size - 1


def _range(text: str) -> tuple[int, int, int]:
    low, _, high = text.partition("-")
    family, first = parse_address(low.strip())
    other, last = parse_address(high.strip())
    if family != other:
        raise ValueError(f"{text!r} mixes IPv4 and IPv6")
    if last < first:
        raise ValueError(f"{text!r} ends before it starts")
    return family, first, last


def format_address(family: int, number: int) -> str:
    return socket.inet_ntop(SOCKET_FAMILY[family], number.to_bytes(BITS[family] // 8, "big"))


def format_interval(family: int, first: int, last: int) -> str:
    """As nft writes it: an address, a network or a range."""
    if first == last:
        return format_address(family, first)
    size = last - first + 1
    if size & (size - 1) == 0 and first % size == 0:
        return f"{format_address(family, first)}/{BITS[family] - size.bit_length() + 1}"
    return f"{format_address(family, first)}-{format_address(family, last)}"


def merge(entries: list[Interval]) -> tuple[Interval, ...]:
    """Disjoint and sorted; neighbours with the same end become one."""
    if any(until is not None for _, _, until in entries):
        return _joined(_segments(entries))
    return _joined(sorted(entries, key=itemgetter(0)))


def _joined(entries: list[Interval]) -> tuple[Interval, ...]:
    merged: list[Interval] = []
    for first, last, until in entries:
        if merged and until == merged[-1][2] and first <= merged[-1][1] + 1:
            if last > merged[-1][1]:
                merged[-1] = (merged[-1][0], last, until)
        else:
            merged.append((first, last, until))
    return tuple(merged)


def _segments(entries: list[Interval]) -> list[Interval]:
    """Cut at every boundary; each piece gets the latest end of the entries that cover it (a sweep with a heap)."""
    starts = sorted((first, last, FOR_EVER if until is None else until) for first, last, until in entries)
    points = sorted({point for first, last, _ in starts for point in (first, last + 1)})
    covering: list[tuple[int, int]] = []  # (-until, last)
    pieces: list[Interval] = []
    waiting = iter(starts)
    upcoming = next(waiting, None)
    for position, point in enumerate(points[:-1]):
        while upcoming is not None and upcoming[0] <= point:
            heapq.heappush(covering, (-upcoming[2], upcoming[1]))
            upcoming = next(waiting, None)
        while covering and covering[0][1] < point:
            heapq.heappop(covering)
        if covering:
            until = -covering[0][0]
            pieces.append((point, points[position + 1] - 1, None if until == FOR_EVER else until))
    return pieces


def contains(intervals: tuple[Interval, ...], number: int, now: int) -> bool:
    """Is the address in a list that `merge` made, at this time?"""
    low, high = 0, len(intervals)
    while low < high:
        middle = (low + high) // 2
        if intervals[middle][1] < number:
            low = middle + 1
        else:
            high = middle
    if low == len(intervals):
        return False
    first, _, until = intervals[low]
    return first <= number and (until is None or until > now)
