"""What sentinel.yml may say about the firewall: `firewall:` and the bans under `response:`."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from sentinel.durations import seconds
from sentinel.yamlfile import Settings

Duration = Annotated[float, BeforeValidator(seconds), Field(gt=0)]


class FirewallSettings(Settings):
    """`enforce: false` (the default) observes: plans and drift are reported, the kernel is left alone."""

    policy: Path = Path("/etc/sentinel/policy.yml")
    enforce: bool = False
    confirm_seconds: Duration = 60.0  # an apply nobody confirms is rolled back after this
    compare_seconds: float = Field(30.0, ge=1, description="periodic compare beside netlink events")
    resolver: str = ""  # DNS server for names in groups; default: the first one of /etc/resolv.conf


class BanMode(enum.Enum):
    OBSERVE = "observe"
    ACTIVE = "active"


class BanSettings(Settings):
    """Repeat offenders climb `escalate`; `budget_per_minute` caps what one bad rule can do to customers."""

    mode: BanMode = BanMode.OBSERVE
    duration: Duration = 3_600.0
    escalate: list[Duration] = [3_600.0, 86_400.0, 604_800.0]
    budget_per_minute: int = Field(default=60, ge=1)
    aggregate_after: int = Field(
        default=8, ge=0, le=256
    )  # banned neighbours in a /24 (IPv6 /48) before all of it; 0 = never
    remember: Duration = 2_592_000.0  # offences older than this no longer escalate
