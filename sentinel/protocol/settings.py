"""What sentinel.yml may say about parsing: bounds of tables and reassembly."""

from __future__ import annotations

from pydantic import Field

from sentinel.yamlfile import Settings


class ProtocolSettings(Settings):
    """Bounds; each table evicts its oldest entry at the bound and counts it."""

    flows: int = Field(100_000, ge=1_000)
    stream_memory_megabytes: int = Field(128, ge=8)
    fragments: int = Field(10_000, ge=100)
