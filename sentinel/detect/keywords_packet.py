"""Keywords about the headers of one packet: flags, ttl, itype ... (rule manual, "Header Keywords")."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sentinel.detect.arguments import comparison, integer, negatable, nothing, required, unquoted, words
from sentinel.detect.rule import Check

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.detect.draft import Draft

TCP_FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32, "E": 64, "C": 128, "2": 64, "1": 128, "0": 0}
IP_OPTIONS = {
    "rr": 7, "lsrr": 131, "lsrre": 131, "eol": 0, "nop": 1, "ts": 68, "sec": 130, "ssrr": 137, "satid": 136,
    "esec": 133, "any": -1,
}  # fmt: skip
IP_PROTOCOLS = {
    "icmp": 1, "igmp": 2, "ipencap": 4, "tcp": 6, "udp": 17, "ipv6": 41, "gre": 47, "esp": 50, "ah": 51,
    "ipv6-icmp": 58, "icmp6": 58, "ospf": 89, "pim": 103, "sctp": 132, "udplite": 136,
}  # fmt: skip


def _compared(name: str, key: str = "") -> Callable[[Draft, str | None], None]:
    def parse(draft: Draft, value: str | None) -> None:
        draft.checks.append(Check(key or name, (comparison(unquoted(value)),)))

    return parse


def _flags(draft: Draft, value: str | None) -> None:
    found = re.fullmatch(
        r"([+*!]?)\s*([FSRPAUEC012]+)\s*([+*!]?)\s*(?:,\s*([FSRPAUEC012]+))?", unquoted(value)
    )
    if not found or (found[1] and found[3]):
        raise ValueError("is not [modifier]flags[,ignored]")
    wanted = sum({TCP_FLAGS[letter] for letter in found[2]})
    ignored = sum({TCP_FLAGS[letter] for letter in found[4] or ""})
    draft.checks.append(Check("tcp.flags", (found[1] or found[3], wanted, 0xFF & ~ignored)))


def _fragbits(draft: Draft, value: str | None) -> None:
    found = re.fullmatch(r"([+*!]?)\s*([MDR]+)\s*([+*!]?)", unquoted(value).replace(" ", ""))
    if not found or (found[1] and found[3]):
        raise ValueError("is not [modifier]bits")
    bits = sum({"M": 0x2000, "D": 0x4000, "R": 0x8000}[letter] for letter in set(found[2]))
    draft.checks.append(Check("fragbits", (found[1] or found[3], bits)))


def _number(name: str) -> Callable[[Draft, str | None], None]:
    def parse(draft: Draft, value: str | None) -> None:
        negated, text = negatable(unquoted(value))
        draft.checks.append(Check(name, (("!=" if negated else "=", integer(text), 0),)))

    return parse


def _plain(name: str) -> Callable[[Draft, str | None], None]:
    """A number that cannot be negated."""

    def parse(draft: Draft, value: str | None) -> None:
        draft.checks.append(Check(name, (("=", integer(unquoted(value)), 0),)))

    return parse


def _fragoffset(draft: Draft, value: str | None) -> None:
    wanted = comparison(unquoted(value))
    if wanted[0] not in {"=", "<", ">"}:
        raise ValueError("takes a number, <number or >number")
    draft.checks.append(Check("fragoffset", (wanted,)))


def _tos(draft: Draft, value: str | None) -> None:
    negated, text = negatable(value)
    number = int(text[1:], 16) if text.startswith("x") else integer(text)
    if not 0 <= number <= 255:
        raise ValueError("is not in 0-255")
    draft.checks.append(Check("tos", (("!=" if negated else "=", number, 0),)))


def _ipopts(draft: Draft, value: str | None) -> None:
    name = unquoted(value).lower()
    if name not in IP_OPTIONS:
        raise ValueError(f"unknown option {name}")
    draft.checks.append(Check("ipopts", (IP_OPTIONS[name],)))


def _ip_proto(draft: Draft, value: str | None) -> None:
    found = re.fullmatch(r"([!<>]?)\s*([\w-]+)", unquoted(value))
    if not found:
        raise ValueError("is not a protocol")
    name = found[2].lower()
    number = IP_PROTOCOLS[name] if name in IP_PROTOCOLS else integer(name)
    operator = {"!": "!=", "": "="}.get(found[1], found[1])
    draft.checks.append(Check("ip_proto", ((operator, number, 0),)))


def _sameip(draft: Draft, value: str | None) -> None:
    nothing(value)
    draft.checks.append(Check("sameip"))


def _checksum(protocol: str) -> Callable[[Draft, str | None], None]:
    def parse(draft: Draft, value: str | None) -> None:
        word = unquoted(value).lower()
        if word not in {"valid", "invalid"}:
            raise ValueError("is valid or invalid")
        draft.checks.append(Check("checksum", (protocol, word == "valid")))

    return parse


def _event(prefix: str) -> Callable[[Draft, str | None], None]:
    def parse(draft: Draft, value: str | None) -> None:
        name = unquoted(value)
        if prefix and name.startswith(prefix):
            name = name.removeprefix(prefix)
        draft.checks.append(Check("event", (prefix + name,)))

    return parse


def _l3_proto(draft: Draft, value: str | None) -> None:
    name = required(value).lower()
    version = {"ipv4": 4, "ip4": 4, "ip_v4": 4, "ipv6": 6, "ip6": 6, "ip_v6": 6}.get(name)
    if version is None:
        raise ValueError(f"unknown protocol {name}")
    draft.checks.append(Check("l3_proto", (version,)))


def _geoip(draft: Draft, value: str | None) -> None:
    arguments = words(value)
    side = "any"
    if arguments[0].lower() in {"src", "dst", "both", "any"}:
        side = arguments.pop(0).lower()
    if not arguments:
        raise ValueError("names no country")
    negated = arguments[0].startswith("!")
    countries = tuple(word.lstrip("!").upper() for word in arguments)
    draft.checks.append(Check("geoip", (side, negated, countries)))


def _iprep(draft: Draft, value: str | None) -> None:
    arguments = words(value)
    if len(arguments) == 3:  # the form iprep:any,CnC,>,30 without operator means isset
        arguments.append("0")
    if len(arguments) != 4 or arguments[0] not in {"any", "src", "dst", "both"}:
        raise ValueError("needs: side, category, operator, value")
    if arguments[2] not in {"<", ">", "=", ">=", "<=", "isset", "isnotset"}:
        raise ValueError(f"unknown operator {arguments[2]}")
    draft.checks.append(Check("iprep", (arguments[0], arguments[1], arguments[2], integer(arguments[3]))))


def _rpc(draft: Draft, value: str | None) -> None:
    arguments = [*words(value), "*", "*"][:3]
    numbers = tuple(None if word == "*" else integer(word) for word in arguments)
    draft.checks.append(Check("rpc", numbers))


PACKET: dict[str, Callable[[Draft, str | None], None]] = {
    "tcp.flags": _flags,
    "flags": _flags,
    "tcp.seq": _number("tcp.seq"),
    "seq": _number("tcp.seq"),
    "tcp.ack": _number("tcp.ack"),
    "ack": _number("tcp.ack"),
    "tcp.window": _number("tcp.window"),
    "window": _number("tcp.window"),
    "tcp.mss": _compared("tcp.mss"),
    "ttl": _compared("ttl"),
    "id": _plain("id"),
    "tos": _tos,
    "fragbits": _fragbits,
    "fragoffset": _fragoffset,
    "ipopts": _ipopts,
    "ip_proto": _ip_proto,
    "sameip": _sameip,
    "itype": _compared("itype"),
    "icode": _compared("icode"),
    "icmp_id": _number("icmp_id"),
    "icmp_seq": _number("icmp_seq"),
    "icmpv6.mtu": _compared("icmpv6.mtu"),
    "dsize": _compared("dsize"),
    "l3_proto": _l3_proto,
    "geoip": _geoip,
    "iprep": _iprep,
    "rpc": _rpc,
    "decode-event": _event(""),
    "engine-event": _event(""),
    "stream-event": _event("stream."),
    **{
        f"{name}-csum": _checksum(name)
        for name in ("ipv4", "tcpv4", "tcpv6", "udpv4", "udpv6", "icmpv4", "icmpv6")
    },
}
