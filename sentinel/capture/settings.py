"""What sentinel.yml may say about capture: interfaces under `network`, followed files under `logs`."""

from __future__ import annotations

from pydantic import Field

from sentinel.yamlfile import Settings


class InterfaceSettings(Settings):
    """Live capture. `ring_megabytes` is the kernel ring of each worker; a full ring is where drops begin."""

    interfaces: list[str] = []
    workers: int = Field(1, ge=1, le=64)
    promiscuous: bool = False
    bpf: str = ""
    ring_megabytes: int = Field(32, ge=1, le=4096)


class LogFile(Settings):
    """One followed log: a path or a glob, and the name of its format ("auto" looks at the first lines)."""

    path: str
    format: str = "auto"
