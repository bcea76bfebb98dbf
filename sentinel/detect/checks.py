"""Header keywords: does this packet (or its flow) satisfy them? One function per keyword, found by name in `CHECKS`.

In: (packet, flow state, engine, arguments). Out: yes or no. A packet that lacks the header a keyword is about never
satisfies it, not even negated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sentinel.detect.arguments import Comparison, compare
from sentinel.detect.checksum import verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.detect.state import Memory
    from sentinel.model import Packet

TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
_OPENING, _UNUSUAL = 0x07, 0xE0  # SYN, FIN, RST; URG, ECE, CWR


def _flags(packet: Packet, memory: Memory, modifier: str, wanted: int, kept: int) -> bool:
    if packet.proto != TCP or not packet.l4 or packet.pseudo:
        return False
    # Suricata looks at a rule about such flags only for packets that have one of them, be the rule negated.
    if wanted & _OPENING and not packet.tcp_flags & _OPENING:
        return False
    if wanted & _UNUSUAL and not packet.tcp_flags & _UNUSUAL:
        return False
    flags = packet.tcp_flags & kept
    if not wanted and flags:
        return modifier == "!"
    return {
        "": flags == wanted,
        "*": bool(flags & wanted),
        "+": flags & wanted == wanted,
        "!": flags & wanted != wanted,
    }[modifier]


def _tcp(field: str) -> Callable[..., bool]:
    def check(packet: Packet, memory: Memory, wanted: Comparison) -> bool:
        return packet.proto == TCP and not packet.pseudo and compare(getattr(packet, field), wanted)

    return check


def _mss(packet: Packet, memory: Memory, wanted: Comparison) -> bool:
    if packet.proto != TCP or packet.pseudo:
        return False
    end = packet.l4 + (packet.data[packet.l4 + 12] >> 4) * 4 if packet.l4 + 12 < len(packet.data) else 0
    at = packet.l4 + 20
    while at + 1 < min(end, len(packet.data)):
        kind = packet.data[at]
        if kind == 0:
            return False
        if kind == 1:
            at += 1
            continue
        length = packet.data[at + 1]
        if kind == 2 and length == 4 and at + 4 <= len(packet.data):
            return compare(int.from_bytes(packet.data[at + 2 : at + 4], "big"), wanted)
        at += max(2, length)
    return False


def _ttl(packet: Packet, memory: Memory, wanted: Comparison) -> bool:
    if packet.pseudo or not packet.version:
        return False
    return compare(packet.data[packet.l3 + (8 if packet.version == 4 else 7)], wanted)


def _word4(at: int, mask: int = 0xFFFF) -> Callable[..., bool]:
    """A 16-bit field of the IPv4 header."""

    def check(packet: Packet, memory: Memory, wanted: Comparison) -> bool:
        if packet.version != 4 or packet.pseudo:
            return False
        place = packet.l3 + at
        return compare(int.from_bytes(packet.data[place : place + 2], "big") & mask, wanted)

    return check


def _tos(packet: Packet, memory: Memory, wanted: Comparison) -> bool:
    return packet.version == 4 and not packet.pseudo and compare(packet.data[packet.l3 + 1], wanted)


def _fragbits(packet: Packet, memory: Memory, modifier: str, wanted: int) -> bool:
    if packet.version != 4 or packet.pseudo:
        return False
    bits = int.from_bytes(packet.data[packet.l3 + 6 : packet.l3 + 8], "big") & 0xE000
    return {
        "": bits == wanted,
        "*": bool(bits & wanted),
        "+": bits & wanted == wanted,
        "!": bits & wanted != wanted,
    }[modifier]


def _fragoffset(packet: Packet, memory: Memory, wanted: Comparison) -> bool:
    if packet.version == 4 and not packet.pseudo:
        return compare(int.from_bytes(packet.data[packet.l3 + 6 : packet.l3 + 8], "big") & 0x1FFF, wanted)
    return False


def _ipopts(packet: Packet, memory: Memory, wanted: int) -> bool:
    if packet.version != 4 or packet.pseudo:
        return False
    end = packet.l3 + (packet.data[packet.l3] & 0x0F) * 4
    at = packet.l3 + 20
    while at < min(end, len(packet.data)):
        kind = packet.data[at]
        if wanted in {kind, -1}:
            return True
        if kind == 0 or (kind != 1 and at + 1 >= len(packet.data)):
            return False
        at += 1 if kind == 1 else max(2, packet.data[at + 1])
    return False


def _ip_proto(packet: Packet, memory: Memory, wanted: Comparison) -> bool:
    return bool(packet.version) and not packet.pseudo and compare(packet.proto, wanted)


def _sameip(packet: Packet, memory: Memory) -> bool:
    return bool(packet.version) and packet.src == packet.dst


def _icmp(field: str) -> Callable[..., bool]:
    def check(packet: Packet, memory: Memory, wanted: Comparison) -> bool:
        if packet.proto not in {ICMP, ICMP6} or packet.pseudo or packet.icmp_type < 0:
            return False
        return compare(getattr(packet, field), wanted)

    return check


# Types whose header carries an identifier and a sequence number: echo, timestamp, information, address mask.
_WITH_ID = {ICMP: {0, 8, 13, 14, 15, 16, 17, 18}, ICMP6: {128, 129}}


def _icmp_word(at: int) -> Callable[..., bool]:
    def check(packet: Packet, memory: Memory, wanted: Comparison) -> bool:
        if packet.pseudo or packet.icmp_type not in _WITH_ID.get(packet.proto, ()):
            return False
        place = packet.l4 + at
        return place + 2 <= len(packet.data) and compare(
            int.from_bytes(packet.data[place : place + 2], "big"), wanted
        )

    return check


def _mtu(packet: Packet, memory: Memory, wanted: Comparison) -> bool:
    if packet.proto != ICMP6 or packet.icmp_type != 2 or packet.pseudo:
        return False
    return compare(int.from_bytes(packet.data[packet.l4 + 4 : packet.l4 + 8], "big"), wanted)


def _dsize(packet: Packet, memory: Memory, wanted: Comparison) -> bool:
    return not packet.pseudo and compare(packet.payload_end - packet.payload_start, wanted)


def _l3(packet: Packet, memory: Memory, version: int) -> bool:
    return packet.version == version


def _checksum(packet: Packet, memory: Memory, protocol: str, valid: bool) -> bool:
    found = None if packet.pseudo else verdict(packet, protocol)
    return found is not None and found is valid


def _event(packet: Packet, memory: Memory, name: str) -> bool:
    return name in packet.events


def _flow(packet: Packet, memory: Memory, *states: str) -> bool:
    return packet.flow is not None and all(_FLOW_STATES[state](packet) for state in states)


_FLOW_STATES: dict[str, Callable[[Packet], bool]] = {
    "established": lambda packet: packet.established,
    "not_established": lambda packet: packet.flow is not None and not packet.established,
    "only_frag": lambda packet: packet.reassembled,
    "no_frag": lambda packet: not packet.reassembled,
}


def _stream_size(packet: Packet, memory: Memory, side: str, wanted: Comparison) -> bool:
    if packet.proto != TCP or packet.flow is None:
        return False
    client, server = (compare(size, wanted) for size in packet.flow.stream_size)
    return {"client": client, "server": server, "both": client and server, "either": client or server}[side]


def _age(packet: Packet, memory: Memory, wanted: Comparison) -> bool:
    flow = packet.flow
    return flow is not None and compare((flow.last - flow.start) // 1_000_000_000, wanted)


def _application(packet: Packet, memory: Memory, name: str, negated: bool) -> bool:
    """Until recognition is over nothing is certain, so neither form holds."""
    found = packet.flow.app_protos[packet.direction] if packet.flow is not None else ""
    if not found:
        return False
    names = {"http": {"http", "http2"}, "http1": {"http"}}.get(name, {name})
    return (found in names) is not negated


def _rpc(
    packet: Packet, memory: Memory, program: int | None, version: int | None, procedure: int | None
) -> bool:
    payload = packet.payload
    if packet.proto == TCP:
        payload = payload[4:]  # record mark
    if len(payload) < 24 or payload[4:8] != b"\0\0\0\0":
        return False
    found = (int.from_bytes(payload[at : at + 4], "big") for at in (12, 16, 20))
    return all(
        wanted in {None, value} for wanted, value in zip((program, version, procedure), found, strict=True)
    )


def _memory(method: str) -> Callable[..., bool]:
    def check(packet: Packet, memory: Memory, *args: Any) -> bool:
        return bool(getattr(memory, method)(packet, *args))

    return check


CHECKS: dict[str, Callable[..., bool]] = {
    "tcp.flags": _flags,
    "tcp.seq": _tcp("seq"),
    "tcp.ack": _tcp("ack"),
    "tcp.window": _tcp("window"),
    "tcp.mss": _mss,
    "ttl": _ttl,
    "id": _word4(4),
    "tos": _tos,
    "fragbits": _fragbits,
    "fragoffset": _fragoffset,
    "ipopts": _ipopts,
    "ip_proto": _ip_proto,
    "sameip": _sameip,
    "itype": _icmp("icmp_type"),
    "icode": _icmp("icmp_code"),
    "icmp_id": _icmp_word(4),
    "icmp_seq": _icmp_word(6),
    "icmpv6.mtu": _mtu,
    "dsize": _dsize,
    "l3_proto": _l3,
    "checksum": _checksum,
    "event": _event,
    "flow": _flow,
    "stream_size": _stream_size,
    "flow.age": _age,
    "app-layer-protocol": _application,
    "rpc": _rpc,
    "flowbits": _memory("has_bits"),
    "hostbits": _memory("has_bits"),
    "xbits": _memory("has_bits"),
    "flowint": _memory("has_integer"),
    "flowvar": _memory("has_variable"),
    "geoip": _memory("in_country"),
    "iprep": _memory("has_reputation"),
}
