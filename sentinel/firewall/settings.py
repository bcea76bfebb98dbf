"""What sentinel.yml may say about the firewall."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from sentinel.yamlfile import Settings


class FirewallSettings(Settings):
    """`enforce: false` (the default) observes: plans and drift are reported, the kernel is left alone."""

    policy: Path = Path("/etc/sentinel/policy.yml")
    enforce: bool = False
    compare_seconds: float = Field(30.0, ge=1, description="periodic compare beside netlink events")
