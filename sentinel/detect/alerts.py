"""A rule that matched a packet -> Alert, with Suricata's EVE fields."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
from typing import TYPE_CHECKING

from sentinel.model import Alert

if TYPE_CHECKING:
    from sentinel.detect.rule import Rule
    from sentinel.model import Packet, Transaction

_NAMES = {1: "ICMP", 2: "IGMP", 6: "TCP", 17: "UDP", 47: "GRE", 50: "ESP", 58: "IPv6-ICMP", 132: "SCTP"}
BLOCKING = {"drop", "reject", "rejectsrc", "rejectdst", "rejectboth"}


def address_text(packed: bytes) -> str:
    return str(ipaddress.ip_address(packed)) if packed else ""


def community_id(packet: Packet, seed: int = 0) -> str:
    """Community ID version 1 of a flow with ports; empty for others."""
    if packet.proto not in {6, 17, 132} or not packet.version:
        return ""
    ends = sorted([(packet.src, packet.sport), (packet.dst, packet.dport)])
    raw = seed.to_bytes(2, "big") + ends[0][0] + ends[1][0] + bytes((packet.proto, 0))
    raw += b"".join(port.to_bytes(2, "big") for _, port in ends)
    return "1:" + base64.b64encode(hashlib.sha1(raw, usedforsecurity=False).digest()).decode()


def make_alert(rule: Rule, packet: Packet, tx: Transaction | None, host: str = "") -> Alert:
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
    identity = community_id(packet)
    if identity:
        alert.extra["community_id"] = identity
    if tx is not None:
        alert.extra["tx_id"] = tx.index
        details = tx.eve or (tx.derive(tx, packet.direction, "eve") if tx.derive else None)
        if details:
            alert.extra.update(details)
    return alert
