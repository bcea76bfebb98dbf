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
_SNMP_PDUS = {
    0xA0: "get_request", 0xA1: "get_next_request", 0xA2: "response", 0xA3: "set_request", 0xA4: "trap_v1",
    0xA5: "get_bulk_request", 0xA6: "inform_request", 0xA7: "trap_v2", 0xA8: "report",
}  # fmt: skip


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
    return ({}, {"version": data[0] >> 3 & 7}) if len(data) >= 48 else None


def _snmp_v3(parts: list[der.Node]) -> Fields:
    security = der.read(parts[2].content).list()
    user = security[3].content
    return {"snmp.version": 3, "snmp.usm": user}, {"version": 3, "usm": user.decode("utf-8", "replace")}


def snmp(data: bytes) -> Fields | None:
    """RFC 1157, 3416, 3412: version, then a community or the user's name."""
    try:
        parts = der.read(data).list()
        version = parts[0].integer
        if version == 3:
            return _snmp_v3(parts)
        community, pdu = parts[1].content, parts[2]
    except (der.BadDerError, IndexError):
        return None
    kind = pdu.tag - 0xA0
    words = {
        "version": version + 1,
        "pdu_type": _SNMP_PDUS.get(pdu.tag, "unknown"),
        "community": community.decode("utf-8", "replace"),
    }
    return {"snmp.version": version + 1, "snmp.community": community, "snmp.pdu_type": kind}, words


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
        if data[pos] == 0:
            pos += 1
            continue
        kind, length = data[pos], data[pos + 1]
        value = data[pos + 2 : pos + 2 + length]
        if len(value) < length:
            buffers["truncated"] = 1
            break
        if kind in times and length == 4:
            buffers[times[kind]] = int.from_bytes(value, "big")
        elif kind == 53 and length == 1:
            words["dhcp_type"] = _DHCP_TYPES[value[0]] if value[0] < len(_DHCP_TYPES) else "unknown"
        elif kind == 12:
            words["hostname"] = value.decode("utf-8", "replace")
        pos += 2 + length
    return buffers, words


READERS: dict[str, tuple[Callable[[bytes], Fields | None], str]] = {
    "tftp": (tftp, ""),
    "ntp": (ntp, "malformed_data"),
    "snmp": (snmp, "malformed_data"),
    "dhcp": (dhcp, "malformed_options"),
}


class Small:
    """The parser of one flow of protocol `name`."""

    def __init__(self, session: Session, name: str) -> None:
        self.session = session
        self.name = name
        self.read, self.malformed = READERS[name]

    def feed(self, direction: int, data: bytes, *, gap: int = 0, eof: bool = False) -> bool:
        if not data:
            return True
        fields = self.read(data)
        transaction = self.session.begin(self.name)
        transaction.derive = derive
        if self.name in _ONE_WAY:
            self.session.one_way(transaction, direction)
        else:
            self.session.finish(transaction)
        if fields is None:
            if self.malformed:
                self.session.flag(transaction, self.malformed)
            return True
        buffers, transaction.parser_state = fields
        if buffers.pop("truncated", None):
            self.session.flag(transaction, "truncated_options")
        # Suricata 7 shows these to rules of either direction.
        for side in transaction.buffers:
            side.update(buffers)
        return True


def derive(transaction: Transaction, direction: int, name: str) -> Any:
    if name != "eve" or transaction.parser_state is None:
        return None
    return {transaction.protocol: transaction.parser_state}
