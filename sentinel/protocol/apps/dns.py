"""DNS over UDP and TCP (RFC 1035, 6891): one transaction a message, as Suricata 7 makes them.

In: datagrams, or length-prefixed messages of a stream. Out: "dns.query" (one value a question), "dns.answer.name",
"dns.query.name", "dns.opcode", "dns.rcode", "dns.rrtype" and the EVE object. Invariant: names are cut at 1025 bytes
and compression pointers are followed a bounded number of times.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentinel.model import Transaction
    from sentinel.protocol.apps.session import Session

_HEADER = struct.Struct(">6H")
_RECORD = struct.Struct(">HHIH")
_SOA = struct.Struct(">5I")
_SRV = struct.Struct(">3H")
# Suricata: DNS_MAX_SIZE of a name, and more jumps than any honest message needs.
_MAX_NAME, _MAX_JUMPS, _MAX_LABELS = 1025, 255, 256
_MAX_RECORDS = 1024
_RESPONSE, _ZERO = 0x8000, 0x0040

TYPES = {
    1: "A", 2: "NS", 3: "MD", 4: "MF", 5: "CNAME", 6: "SOA", 7: "MB", 8: "MG", 9: "MR", 10: "NULL", 11: "WKS",
    12: "PTR", 13: "HINFO", 14: "MINFO", 15: "MX", 16: "TXT", 17: "RP", 18: "AFSDB", 25: "KEY", 28: "AAAA",
    29: "LOC", 33: "SRV", 35: "NAPTR", 36: "KX", 37: "CERT", 39: "DNAME", 41: "OPT", 42: "APL", 43: "DS",
    44: "SSHFP", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 49: "DHCID", 50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA",
    64: "SVCB", 65: "HTTPS", 99: "SPF", 249: "TKEY", 250: "TSIG", 251: "IXFR", 252: "AXFR", 253: "MAILB",
    254: "MAILA", 255: "ANY", 256: "URI",
}  # fmt: skip
CODES = {
    0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN",
    7: "YXRRSET", 8: "NXRRSET", 9: "NOTAUTH", 10: "NOTZONE", 16: "BADVERS", 17: "BADKEY", 18: "BADTIME",
    19: "BADMODE", 20: "BADNAME", 21: "BADALG", 22: "BADTRUNC",
}  # fmt: skip
_HOSTS = frozenset({2, 5, 12, 39})


class _BadMessageError(Exception):
    """Internal: the message ends early or loops; becomes an event, never leaves this module."""


class _CutMessageError(_BadMessageError):
    """What there is of it is well formed."""


@dataclass(slots=True)
class Record:
    name: bytes
    type: int
    seconds: int
    data: bytes
    text: Any


@dataclass(slots=True)
class Message:
    id: int
    flags: int
    questions: list[tuple[bytes, int]]
    answers: list[Record]
    authorities: list[Record]

    @property
    def is_response(self) -> bool:
        return bool(self.flags & _RESPONSE)

    @property
    def opcode(self) -> int:
        return self.flags >> 11 & 0xF

    @property
    def rcode(self) -> int:
        return self.flags & 0xF


def read_name(data: bytes, pos: int) -> tuple[bytes, int]:
    """The name at `pos`, dotted, and the position behind it."""
    labels: list[bytes] = []
    end = -1
    jumps = size = 0
    while pos < len(data):
        length = data[pos]
        if length == 0:
            return b".".join(labels)[:_MAX_NAME], pos + 1 if end < 0 else end
        if length & 0xC0 == 0xC0:
            if pos + 1 >= len(data):
                raise _CutMessageError
            if end < 0:
                end = pos + 2
            pos = (length & 0x3F) << 8 | data[pos + 1]
            jumps += 1
            if jumps > _MAX_JUMPS:
                raise _BadMessageError
            continue
        if length & 0xC0 or len(labels) > _MAX_LABELS:
            raise _BadMessageError
        if pos + 1 + length > len(data):
            raise _CutMessageError
        if size <= _MAX_NAME:
            labels.append(data[pos + 1 : pos + 1 + length])
            size += length + 1
        pos += length + 1
    raise _CutMessageError


def _host(data: bytes, pos: int) -> str:
    return printable(read_name(data, pos)[0])


def printable(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _rdata(data: bytes, pos: int, kind: int, rdata: bytes) -> Any:
    """The value as EVE prints it, None where it prints none."""
    if kind == 1 and len(rdata) == 4:
        return str(ipaddress.IPv4Address(rdata))
    if kind == 28 and len(rdata) == 16:
        return str(ipaddress.IPv6Address(rdata))
    if kind in _HOSTS:
        return _host(data, pos)
    if kind == 15 and len(rdata) > 2:
        return _host(data, pos + 2)
    if kind == 16:
        return printable(rdata[1 : 1 + rdata[0]]) if rdata else ""
    if kind == 6:
        mname, after = read_name(data, pos)
        rname, after = read_name(data, after)
        if after + _SOA.size > len(data):
            raise _BadMessageError
        serial, refresh, retry, expire, minimum = _SOA.unpack_from(data, after)
        return {
            "mname": printable(mname), "rname": printable(rname), "serial": serial, "refresh": refresh,
            "retry": retry, "expire": expire, "minimum": minimum,
        }  # fmt: skip
    if kind == 33 and len(rdata) > 6:
        priority, weight, port = _SRV.unpack_from(rdata)
        return {"priority": priority, "weight": weight, "port": port, "name": _host(data, pos + 6)}
    return None


def _records(data: bytes, pos: int, count: int) -> tuple[list[Record], int]:
    records: list[Record] = []
    for _ in range(min(count, _MAX_RECORDS)):
        if pos >= len(data):
            raise _BadMessageError
        name, pos = read_name(data, pos)
        if pos + _RECORD.size > len(data):
            raise _BadMessageError
        kind, _, seconds, length = _RECORD.unpack_from(data, pos)
        pos += _RECORD.size
        if pos + length > len(data):
            raise _BadMessageError
        rdata = data[pos : pos + length]
        records.append(Record(name, kind, seconds, rdata, _rdata(data, pos, kind, rdata)))
        pos += length
    return records, pos


def _parse(data: bytes, *, query: bool) -> Message:
    ident, flags, questions, answers, authorities, _ = _HEADER.unpack_from(data)
    pos = _HEADER.size
    asked: list[tuple[bytes, int]] = []
    for _ in range(min(questions, _MAX_RECORDS)):
        name, pos = read_name(data, pos)
        if pos + 4 > len(data):
            raise _BadMessageError
        asked.append((name, int.from_bytes(data[pos : pos + 2], "big")))
        pos += 4
    if query:  # of a query nothing else is read
        return Message(ident, flags, asked, [], [])
    answered, pos = _records(data, pos, answers)
    try:
        delegated, pos = _records(data, pos, authorities)
    except _BadMessageError:
        delegated = []
    return Message(ident, flags, asked, answered, delegated)


def parse(data: bytes, *, query: bool = False) -> Message | None:
    """A whole message, or None when it is not one."""
    if len(data) < _HEADER.size:
        return None
    try:
        return _parse(data, query=query)
    except _BadMessageError:
        return None


def _plausible(data: bytes) -> bool:
    """A header whose counts fit the message."""
    if len(data) < _HEADER.size:
        return False
    _, _, *counts = _HEADER.unpack_from(data)
    return 2 * sum(map(int, counts)) <= len(data)


def looks_like_dns(data: bytes) -> bool:
    """Suricata's probe: a plausible header, and a first question where the message is whole."""
    if len(data) < _HEADER.size:
        return False
    _, flags, questions, answers, authorities, extras = _HEADER.unpack_from(data)
    if flags & _ZERO and questions == 0:
        return False
    if 2 * (extras + answers + authorities + questions) + _HEADER.size > len(data):
        return False
    try:
        if questions:
            read_name(data, _HEADER.size)
    except _BadMessageError as error:
        return isinstance(error, _CutMessageError)
    return True


def derive(transaction: Transaction, direction: int, name: str) -> Any:
    if name != "eve":
        return None
    message: Message = transaction.parser_state
    if not message.is_response:
        queries = [
            {
                "type": "query",
                "id": message.id,
                "rrname": printable(query),
                "rrtype": TYPES.get(kind, str(kind)),
                "tx_id": transaction.index,
                "opcode": message.opcode,
            }
            for query, kind in message.questions
        ]
        return {"dns": {"query": queries}}
    return {"dns": {"answer": _eve_answer(message)}}


def _eve_answer(message: Message) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "version": 2,
        "type": "answer",
        "id": message.id,
        "flags": f"{message.flags:x}",
        "qr": True,
        "opcode": message.opcode,
        "rcode": CODES.get(message.rcode, str(message.rcode)),
    }
    for bit, word in ((0x0400, "aa"), (0x0200, "tc"), (0x0100, "rd"), (0x0080, "ra")):
        if message.flags & bit:
            answer[word] = True
    if message.questions:
        answer["rrname"] = printable(message.questions[0][0])
        answer["rrtype"] = TYPES.get(message.questions[0][1], str(message.questions[0][1]))
    answer["answers"] = [
        {
            "rrname": printable(r.name),
            "rrtype": TYPES.get(r.type, str(r.type)),
            "ttl": r.seconds,
            "rdata": r.text,
        }
        for r in message.answers
    ]
    return answer


class Dns:
    """The parser of one flow; `framed` messages come with a length in front (TCP)."""

    def __init__(self, session: Session, *, framed: bool) -> None:
        self.session = session
        self.framed = framed
        self.rest = [b"", b""]

    def feed(self, direction: int, data: bytes, *, gap: int = 0, eof: bool = False) -> bool:
        if not self.framed:
            if _plausible(data):
                self._message(direction, data)
            return True
        if gap:
            self.rest[direction] = b""  # resynchronise at the next segment, as Suricata does
        data = self.rest[direction] + data
        pos = 0
        while pos + 2 <= len(data):
            length = int.from_bytes(data[pos : pos + 2], "big")
            if pos + 2 + length > len(data):
                break
            whole = data[pos + 2 : pos + 2 + length]
            if not _plausible(whole) or not self._message(direction, whole):
                return False
            pos += 2 + length
        self.rest[direction] = data[pos:]
        return True

    def _message(self, direction: int, data: bytes) -> bool:
        """False for what is no message."""
        message = parse(data, query=direction == 0)
        if message is None:
            self._flag_last("malformed_data")
            return False
        if direction == 0 and message.is_response:
            self._flag_last("not_a_request")
            return False
        if direction == 1 and not message.is_response:
            self._flag_last("not_a_response")
        transaction = self.session.begin("dns")
        # A transaction is one message: the other direction has nothing to wait for.
        self.session.one_way(transaction, direction)
        transaction.parser_state = message
        transaction.derive = derive
        if message.flags & _ZERO:
            self.session.flag(transaction, "z_flag_set")
        if message.opcode >= 7:
            self.session.flag(transaction, "invalid_opcode")
        _expose(transaction, direction, message)
        return True

    def _flag_last(self, event: str) -> None:
        """An event without a transaction of its own belongs to the newest one."""
        if self.session.flow.transactions:
            self.session.flag(self.session.flow.transactions[-1], event)


def _expose(transaction: Transaction, direction: int, message: Message) -> None:
    for side in transaction.buffers:
        side["dns.opcode"] = message.opcode
    buffers = transaction.buffers[direction]
    if message.is_response:
        buffers["dns.rcode"] = message.rcode
    names = [name for name, _ in message.questions if name]  # the root has no name to look at
    if names and not message.is_response:
        buffers["dns.query"] = names
    if names:
        buffers["dns.query.name"] = names
        buffers["dns.rrtype"] = [kind for _, kind in message.questions]
    if message.answers:
        buffers["dns.answer.name"] = [record.name for record in message.answers]
