"""IPv4 headers and options -> the packet's addresses, protocol and the range of its payload.

In: a range of a packet's data. Out: fields set and the transport decoded, or an event. Fragments stop here; defrag.py
takes them. RFC 791, RFC 1108 (security), RFC 2113 (router alert), RFC 4782 (quick start), FIPS 188 (CIPSO).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.protocol.events import invalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.model import Packet
    from sentinel.protocol.decode import Decoder

END, NO_OPERATION = 0, 1
RECORD_ROUTE, QUICK_START, TIMESTAMP, SECURITY, LOOSE_ROUTE = 7, 25, 68, 130, 131
EXTENDED_SECURITY, CIPSO, STREAM_ID, STRICT_ROUTE, ROUTER_ALERT = 133, 134, 136, 137, 148
CIPSO_TAGS = frozenset({1, 2, 5, 6, 7})


def decode(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    data = packet.data
    size = end - start
    if size < 20:
        return invalid(packet, "ipv4.pkt_too_small")
    first = data[start]
    if first >> 4 != 4:
        return invalid(packet, "ipv4.wrong_ip_version")
    header = (first & 15) * 4
    if header < 20:
        return invalid(packet, "ipv4.hlen_too_small")
    total = (data[start + 2] << 8) | data[start + 3]
    if total < header:
        return invalid(packet, "ipv4.iplen_smaller_than_hlen")
    if size < total:
        return invalid(packet, "ipv4.trunc_pkt")
    if header > 20 and not options(packet, start + 20, start + header):
        return invalid(packet, "ipv4.opt_invalid_len")
    packet.version = 4
    packet.l3 = start
    packet.l3_end = start + total
    packet.src = data[start + 12 : start + 16]
    packet.dst = data[start + 16 : start + 20]
    packet.proto = protocol = data[start + 9]
    packet.payload_start = start + header
    packet.payload_end = packet.l3_end
    if data[start + 6] & 0x3F or data[start + 7]:  # more fragments, or an offset
        packet.fragment = True
        return None
    decoder.ip_protocol(packet, protocol, start + header, packet.l3_end)
    return None


def with_icmpv6(decoder: Decoder, packet: Packet, start: int, end: int) -> None:
    invalid(packet, "ipv4.icmpv6")


def options(packet: Packet, position: int, end: int) -> bool:
    """Check the options as Suricata does: False when they do not hold together, which ends the decoding.

    An option that is wrong in itself ends the check and leaves the packet alone.
    """
    if (end - position) % 8:
        packet.events.append("ipv4.opt_pad_required")
    data = packet.data
    seen: set[int] = set()
    while position < end:
        kind = data[position]
        if kind == END:
            break
        if kind == NO_OPERATION:
            position += 1
            continue
        if end - position < 2:
            packet.events.append("ipv4.opt_eol_required")
            break
        size = data[position + 1]
        if size > end - position or size < 2:
            return False
        check = OPTIONS.get(kind)
        if check is None:
            packet.events.append("ipv4.opt_invalid")
        elif kind in seen:
            packet.events.append("ipv4.opt_duplicate")
        else:
            problem = check(kind, data[position + 2 : position + size], size)
            if problem:
                packet.events.append(problem)
                break
            seen.add(kind)
        position += size
    return True


def _route(kind: int, body: bytes, size: int) -> str:
    """RFC 791: the pointer is 1-based, at least 4, and steps over whole addresses."""
    if size < 3:
        return "ipv4.opt_invalid_len"
    pointer = body[0]
    return "ipv4.opt_malformed" if pointer < 4 or pointer % 4 or pointer > size + 1 else ""


def _timestamp(kind: int, body: bytes, size: int) -> str:
    if size < 5:
        return "ipv4.opt_invalid_len"
    pointer = body[0]
    if pointer < 5:
        return "ipv4.opt_malformed"
    # Suricata looks one byte further than RFC 791's flag field; kept, so that events agree.
    flag = body[3] if len(body) > 3 else 0
    record = 8 if flag in {1, 3} else 4
    return "ipv4.opt_malformed" if (pointer - 5) % record or pointer > size + 1 else ""


def _cipso(kind: int, body: bytes, size: int) -> str:
    if size < 10:
        return "ipv4.opt_invalid_len"
    tags = body[4:]
    while tags:
        if len(tags) < 2 or tags[1] > len(tags) or tags[0] not in CIPSO_TAGS or tags[1] < 4:
            return "ipv4.opt_malformed"
        if tags[0] != 7 and tags[2] != 0:  # the alignment octet, which free-form tags do not have
            return "ipv4.opt_malformed"
        tags = tags[tags[1] :]
    return ""


def _between(least: int, most: int) -> Callable[[int, bytes, int], str]:
    def check(kind: int, body: bytes, size: int) -> str:
        return "" if least <= size <= most else "ipv4.opt_invalid_len"

    return check


OPTIONS: dict[int, Callable[[int, bytes, int], str]] = {
    TIMESTAMP: _timestamp,
    RECORD_ROUTE: _route,
    LOOSE_ROUTE: _route,
    STRICT_ROUTE: _route,
    QUICK_START: _between(8, 255),
    SECURITY: _between(11, 11),
    STREAM_ID: _between(4, 4),
    ROUTER_ALERT: _between(4, 4),
    EXTENDED_SECURITY: _between(3, 255),
    CIPSO: _cipso,
}
