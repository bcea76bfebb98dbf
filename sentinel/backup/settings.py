"""What sentinel.yml may say about repositories and jobs."""

from __future__ import annotations

from sentinel.yamlfile import Settings


class BackupSettings(Settings):
    repositories: dict[str, dict[str, object]] = {}
    jobs: dict[str, dict[str, object]] = {}
