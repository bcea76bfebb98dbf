"""What sentinel.yml may say about capture: interfaces under `network`, followed files under `logs`."""

from __future__ import annotations

from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from sentinel.yamlfile import Settings


class InterfaceSettings(Settings):
    """Live capture. `ring_megabytes` is the kernel ring of each worker; a full ring is where drops begin."""

    interfaces: list[str] = []
    workers: int = Field(1, ge=1, le=64)
    promiscuous: bool = False
    bpf: str = ""
    ring_megabytes: int = Field(32, ge=1, le=4096)


class LogFile(Settings):
    """One followed log: a path or a glob, and the name of its format ("auto" looks at the first lines).

    `path: journald` follows the systemd journal. `read_from` counts only when Sentinel sees the log for the first
    time; `timezone` is that of times written without one (an IANA name, or "local").
    """

    path: str
    format: str = "auto"
    read_from: Literal["end", "beginning"] = "end"
    timezone: str = "local"

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in {"local", "UTC"}:
            try:
                ZoneInfo(value)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise ValueError(f"{value!r} is no IANA time zone") from None
        return value
