"""Published container ports that the policy's inbound rules do not govern, told from the kernel's own NAT rules.

Docker (and podman) rewrite the destination before routing, so such traffic is forwarded: `inbound` never sees it.
Bans hold there as well; allowlists only where the policy has forward rules and `default.forward` is not accept.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sentinel.firewall import kernel
from sentinel.firewall.policy import Action, Direction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentinel.firewall.policy import Policy


@dataclass(frozen=True, slots=True, order=True)
class Published:
    protocol: str
    port: str
    target: str
    table: str

    def __str__(self) -> str:
        return f"{self.protocol}/{self.port} -> {self.target} (table {self.table}) bypasses the inbound rules"


def bypassing(policy: Policy) -> list[Published]:
    """Nothing to report when forwarded traffic needs a rule of the policy too."""
    if policy.default[Direction.FORWARD] is not Action.ACCEPT:
        return []
    return sorted(set(_published(kernel.foreign_rules())))


def _published(listing: bytes) -> Iterator[Published]:
    for item in json.loads(listing)["nftables"]:
        rule = item.get("rule")
        if rule is None:
            continue
        target = next((_target(e["dnat"]) for e in rule["expr"] if isinstance(e.get("dnat"), dict)), "")
        match = next(filter(None, (_port(e.get("match")) for e in rule["expr"])), None)
        if target and match:
            yield Published(match[0], match[1], target, f"{rule['family']} {rule['table']}")


def _port(match: Any) -> tuple[str, str] | None:
    left = match.get("left") if isinstance(match, dict) else None
    payload = left.get("payload") if isinstance(left, dict) else None
    if isinstance(payload, dict) and payload.get("field") == "dport":
        return payload["protocol"], str(match["right"])
    return None


def _target(dnat: dict[str, Any]) -> str:
    port = f" port {dnat['port']}" if "port" in dnat else ""
    return f"{dnat.get('addr', '')}{port}"
