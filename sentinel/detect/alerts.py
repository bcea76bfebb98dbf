"""A rule that matched a packet -> Alert, with Suricata's EVE fields."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sentinel.model import Alert

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sentinel.detect.rule import Rule
    from sentinel.model import Flow, Packet, Transaction

_NAMES = {1: "ICMP", 2: "IGMP", 6: "TCP", 17: "UDP", 47: "GRE", 50: "ESP", 58: "IPv6-ICMP", 132: "SCTP"}
ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
ANSWERS = {0, 8, 13, 14, 15, 16, 17, 18, 9, 10, 128, 129, 130, 131, 133, 134, 135, 136, 139, 140, 144, 145}
PAYLOAD_LIMIT = 4096  # Suricata's payload-buffer-size
RAW = 12  # DLT_RAW, as Suricata writes it for packets out of tunnels
_PRINTABLE = bytes(c if 32 <= c < 127 or c in b"\r\n" else 0x2E for c in range(256))
_OPTION = re.compile(
    r"outputs\.\d+\.eve-log\.(?:types\.\d+\.alert\.)?(payload|payload-printable|packet|community-id|community-id-seed)"
)
BLOCKING = {"drop", "reject", "rejectsrc", "rejectdst", "rejectboth"}


def address_text(packed: bytes) -> str:
    return str(ipaddress.ip_address(packed)) if packed else ""


@dataclass(frozen=True, slots=True)
class AlertFields:
    """What an alert carries besides its header; names and encodings are those of Suricata's EVE.

    `stream` gives the reassembled bytes of the packet's direction that are still held: they, and not the packet that
    happened to complete them, are the payload of an alert about a stream or a transaction.
    """

    payload: bool = False
    payload_printable: bool = False
    packet: bool = False
    community_id: bool = True
    community_id_seed: int = 0
    stream: Callable[[Packet], bytes] = lambda _: b""


def fields_of(
    options: Mapping[str, str], fields: AlertFields, stream: Callable[[Packet], bytes]
) -> AlertFields:
    """Suricata's names, as outputs.1.eve-log.types.0.alert.payload=yes or outputs.1.eve-log.community-id-seed=7."""
    found: dict[str, Any] = {}
    for key, text in options.items():
        named = _OPTION.fullmatch(key)
        if named:
            name = named[1].replace("-", "_")
            found[name] = int(text) if name.endswith("seed") else text.lower() in {"yes", "true", "on", "1"}
    return replace(fields, stream=stream, **found)


def community_id(flow: Flow, seed: int = 0) -> str:
    """Version 1: base64 of the SHA-1 of the ordered 5-tuple. https://github.com/corelight/community-id-spec

    A flow of ICMP has the types of query and answer for ports; a type without an answer has one direction only.
    """
    sport, dport = flow.sport, flow.dport
    one_way = flow.proto in {ICMP, ICMPV6} and not dport and flow.sport not in ANSWERS
    src, dst = flow.src, flow.dst
    if not one_way and (src, sport) > (dst, dport):
        src, dst, sport, dport = dst, src, dport, sport
    data = struct.pack(">H", seed) + src + dst + struct.pack(">BB", flow.proto, 0)
    if flow.proto in {TCP, UDP, ICMP, ICMPV6, SCTP}:
        data += struct.pack(">HH", sport, dport)
    return "1:" + base64.b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()


def evidence(packet: Packet, fields: AlertFields, *, stream: bool) -> dict[str, Any]:
    """payload, payload_printable, stream, packet and packet_info, as far as they are wanted."""
    found: dict[str, Any] = {}
    if fields.payload or fields.payload_printable:
        own = (
            b"" if packet.tunnel else packet.payload
        )  # what a tunnel carries is the payload of another packet
        data = ((fields.stream(packet) if stream else b"") or own)[:PAYLOAD_LIMIT]
        if fields.payload and data:
            found["payload"] = base64.b64encode(data).decode()
        if fields.payload_printable:
            found["payload_printable"] = data.translate(_PRINTABLE).decode("ascii")
        found["stream"] = int(stream)
    if fields.packet and packet.data:
        inner = packet.tunnel_depth > 0 or packet.reassembled
        frame = packet.data[packet.l3 : packet.l3_end or None] if inner else packet.data
        found["packet"] = base64.b64encode(frame).decode()
        found["packet_info"] = {"linktype": RAW if inner else packet.link_type}
    return found


def make_alert(
    rule: Rule,
    packet: Packet,
    tx: Transaction | None,
    host: str = "",
    fields: AlertFields | None = None,
    *,
    stream: bool = False,
) -> Alert:
    fields = fields or AlertFields()
    flow = packet.flow
    ported = packet.proto in {6, 17, 132} and bool(packet.version)
    alert = Alert(
        timestamp=packet.time,
        source="network",
        rule_id=str(rule.sid),
        signature=rule.msg,
        signature_id=rule.sid,
        gid=rule.gid,
        rev=rule.rev,
        action="allowed",
        category=rule.category,
        severity=rule.severity,
        level=rule.level,
        metadata={key: list(values) for key, values in rule.metadata},
        host=host,
        src_ip=address_text(packet.src),
        dest_ip=address_text(packet.dst),
        src_port=packet.sport if ported else None,
        dest_port=packet.dport if ported else None,
        proto=_NAMES.get(packet.proto, str(packet.proto)) if packet.version else "",
        app_proto=(flow.app_proto if flow else "") or "",
        flow_id=flow.id if flow else None,
    )
    alert.extra["pcap_cnt"] = packet.number
    alert.extra |= _circumstances(packet)
    if flow is not None and fields.community_id:
        alert.extra["community_id"] = community_id(flow, fields.community_id_seed)
    alert.extra |= evidence(packet, fields, stream=packet.proto == TCP and (stream or tx is not None))
    if tx is not None:
        alert.extra["tx_id"] = tx.index
        details = tx.eve or (tx.derive(tx, packet.direction, "eve") if tx.derive else None)
        if details:
            alert.extra.update(details)
    return alert


def _circumstances(packet: Packet) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if packet.flow is not None:
        found["direction"] = "to_server" if packet.to_server else "to_client"
    if packet.vlan:
        found["vlan"] = list(packet.vlan)
    if packet.icmp_type >= 0:
        found |= {"icmp_type": packet.icmp_type, "icmp_code": packet.icmp_code}
    return found
