"""What sentinel.yml may say about detection: rule paths and rule variables."""

from __future__ import annotations

from sentinel.yamlfile import Settings


class DetectSettings(Settings):
    """`rules` are files or folders; `vars` override Suricata's address and port variables."""

    rules: list[str] = []
    vars: dict[str, list[str] | str] = {}
