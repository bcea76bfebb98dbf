"""Protocols of which rules read one or two fields of a single message: TFTP, NTP, SNMP, DHCP, telnet.

In: a datagram. Out: one complete transaction with those fields. Each reader takes the payload and returns the buffers
and EVE fields, or None when it is not that protocol after all. Nothing is kept between datagrams.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sentinel.protocol.apps import der

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.model import Transaction
    from sentinel.protocol.apps.session import Session

Fields = tuple[dict[str, Any], dict[str, Any]]

_ONE_WAY = frozenset({"snmp", "ntp"})
_TFTP = {1: "read", 2: "write", 3: "data", 4: "ack", 5: "error"}
_DHCP_TYPES = [
    "unknown",
    "discover",
    "offer",
    "request",
    "decline",
    "ack",
    "nak",
    "release",
    "inform",
    "force_renew",
    "lease_query",
    "lease_unassigned",
    "lease_unknown",
    "lease_active",
]
SILENT: Fields = ({}, {})  # understood, and no transaction
_NO_PDU = 0xFFFFFFFF  # what Suricata compares when the PDU is encrypted
_SNMP_PDUS = [
    "get_request", "get_next_request", "response", "set_request", "trap_v1", "get_bulk_request", "inform_request",
    "trap_v2", "report",
]  # fmt: skip
_KINDS = {1: range(5), 2: range(9), 3: range(9)}
_TRAP_V1, _USM, _PRIVATE = 4, 3, 2
# Tags of a PDU's members: request, error, index, variables; of a trap: enterprise, agent, two kinds, time, variables.
_PLAIN, _TRAP = [2, 2, 2, 0x30], [6, 0x40, 2, 2, 0x43, 0x30]


def tftp(data: bytes) -> Fields | None:
    code = int.from_bytes(data[:2], "big")
    if code not in {1, 2}:
        return ({}, {"packet": _TFTP[code]}) if code in _TFTP else None
    name, _, rest = data[2:].partition(b"\0")
    mode = rest.partition(b"\0")[0]
    words = {
        "packet": _TFTP[code],
        "file": name.decode("utf-8", "replace"),
        "mode": mode.decode("latin-1").lower(),
    }
    return {}, words


def ntp(data: bytes) -> Fields | None:
    """RFC 5905: only what a client or an active peer sends is a transaction."""
    if len(data) < 48 or data[0] >> 3 & 7 not in {3, 4}:
        return None
    return ({}, {"version": data[0] >> 3 & 7}) if data[0] & 7 in {1, 3} else SILENT


def _pdu(node: der.Node, version: int) -> int:
    """The type of a PDU that can be read."""
    kind = node.tag & 0x1F
    members = [member.tag for member in node.list()]
    wanted = _TRAP if kind == _TRAP_V1 else _PLAIN
    if kind not in _KINDS[version] or members[: len(wanted)] != wanted:
        raise der.BadDerError
    return kind


def _text(node: der.Node) -> bytes:
    if node.tag != 4:
        raise der.BadDerError
    node.content.decode("utf-8")
    return node.content


def _snmp_v3(parts: list[der.Node]) -> Fields:
    head = parts[1].list()
    if [member.tag for member in head[:4]] != [2, 2, 4, 2] or len(head[2].content) != 1 or parts[2].tag != 4:
        raise der.BadDerError
    buffers: dict[str, Any] = {"snmp.version": 3, "snmp.pdu_type": _NO_PDU}
    words: dict[str, Any] = {"version": 3}
    if head[3].integer == _USM:
        security = der.read(parts[2].content).list()
        if [member.tag for member in security[:6]] != [4, 2, 2, 4, 4, 4]:
            raise der.BadDerError
        user = buffers["snmp.usm"] = _text(security[3])
        words["usm"] = user.decode()
    else:
        buffers["event"] = "unknown_security_model"
    if head[2].content[0] & _PRIVATE:
        if parts[3].tag != 4:
            raise der.BadDerError
        words["encrypted"] = True
        return buffers, words
    engine, name, pdu = parts[3].list()[:3]
    if (parts[3].tag, engine.tag, name.tag) != (0x30, 4, 4):
        raise der.BadDerError
    kind = buffers["snmp.pdu_type"] = _pdu(pdu, 3)
    words["pdu_type"] = _SNMP_PDUS[kind]
    return buffers, words


def snmp(data: bytes) -> Fields | None:
    """RFC 1157, 3416, 3412: version, then a community or the user's name."""
    try:
        parts = der.read(data).list()
        version = parts[0].integer + 1
        if version == 4:
            return _snmp_v3(parts)
        if data[0] != 0x30 or version not in {1, 2}:
            return None
        community, kind = _text(parts[1]), _pdu(parts[2], version)
    except (der.BadDerError, IndexError, ValueError):
        return None
    words = {"version": version, "pdu_type": _SNMP_PDUS[kind], "community": community.decode()}
    return {"snmp.version": version, "snmp.community": community, "snmp.pdu_type": kind}, words


def envelope(data: bytes) -> int:
    """The version that the outer sequence speaks of, 0 when it does not look like SNMP's."""
    try:
        parts = der.read(data).list()
        version = parts[0].integer
    except (der.BadDerError, IndexError):
        return 0
    return {(3, 0): 1, (3, 1): 2, (4, 3): 3}.get((len(parts), version), 0)


def dhcp(data: bytes) -> Fields | None:
    """RFC 2131 section 2 and RFC 2132."""
    if len(data) < 240:
        return None
    buffers: dict[str, Any] = {}
    words: dict[str, Any] = {
        "type": "request" if data[0] == 1 else "reply",
        "id": int.from_bytes(data[4:8], "big"),
        "client_mac": ":".join(f"{byte:02x}" for byte in data[28:34]),
    }
    times = {51: "dhcp.leasetime", 58: "dhcp.renewal_time", 59: "dhcp.rebinding_time"}
    pos = 240
    while pos + 1 < len(data) and data[pos] != 255:
        kind, length = data[pos], data[pos + 1]
        if kind in times:
            length = 4  # whatever it says
        value = data[pos + 2 : pos + 2 + length]
        if len(value) < length or (kind == 61 and length < 2):
            break
        if kind in times:
            buffers.setdefault(times[kind], int.from_bytes(value, "big"))
        elif kind == 53 and length == 1:
            words["dhcp_type"] = _DHCP_TYPES[value[0]] if value[0] < len(_DHCP_TYPES) else "unknown"
        elif kind == 12:
            words["hostname"] = value.decode("utf-8", "replace")
        pos += 2 + length
    if data[pos : pos + 1] != b"\xff":
        buffers["truncated"] = 1
    return buffers, words


READERS: dict[str, tuple[Callable[[bytes], Fields | None], str]] = {
    "tftp": (tftp, ""),
    "ntp": (ntp, "malformed_data"),
    "snmp": (snmp, "malformed_data"),
    "dhcp": (dhcp, ""),
}


class Small:
    """The parser of one flow of protocol `name`."""

    def __init__(self, session: Session, name: str) -> None:
        self.session = session
        self.name = name
        self.read, self.malformed = READERS[name]
        self.last: Transaction | None = None
        self.version = 0

    def feed(self, direction: int, data: bytes, *, gap: int = 0, eof: bool = False) -> bool:
        if not data:
            return True
        if self.name == "snmp" and not self.version:
            self.version = envelope(data)
        fields = self.read(data)
        if fields is None:
            if self.malformed and self.last is not None:  # said of the message before
                self.session.flag(self.last, self.malformed)
            return False
        if fields is SILENT:
            return True
        transaction = self.last = self.session.begin(self.name)
        transaction.derive = derive
        if self.name in _ONE_WAY:
            self.session.one_way(transaction, direction)
        else:
            self.session.finish(transaction)
        buffers, transaction.parser_state = fields
        if self.name == "snmp":
            self._agree(transaction, buffers)
        if buffers.pop("truncated", None):
            self.session.flag(transaction, "truncated_options")
        # Suricata 7 shows these to rules of either direction.
        for side in transaction.buffers:
            side.update({name: value for name, value in buffers.items() if value != b""})
        return True

    def _agree(self, transaction: Transaction, buffers: dict[str, Any]) -> None:
        """The version of a flow is its first message's; another one is an event."""
        if event := buffers.pop("event", ""):
            self.session.flag(transaction, event)
        if buffers["snmp.version"] != self.version:
            self.session.flag(transaction, "version_mismatch")
            buffers["snmp.version"] = self.version


def derive(transaction: Transaction, direction: int, name: str) -> Any:
    if name != "eve" or transaction.parser_state is None:
        return None
    return {transaction.protocol: transaction.parser_state}
