"""sentinel doctor: what is wrong on this host and how to mend it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from sentinel.operate.doctor import Finding


def doctor(
    config: Path = typer.Option(Path("/etc/sentinel/sentinel.yml"), "--config", metavar="FILE"),
    as_json: bool = typer.Option(False, "--json"),
    bundle: Path | None = typer.Option(
        None, "--bundle", metavar="FILE", help="Write a report without secrets."
    ),
) -> None:
    """Check this host. Every finding has a stable id, a sentence and a remedy. Exit code 1 when one failed."""
    from sentinel import config as configuration
    from sentinel.operate import doctor as examination

    loaded = configuration.load(config)
    findings = examination.examine(loaded, config)
    if bundle is not None:
        bundle.touch(0o600)
        bundle.write_bytes(examination.bundle(findings, loaded, config))
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    else:
        _table(findings)
    if any(finding.level == "failed" for finding in findings):
        raise typer.Exit(1)


def _table(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table

    colours = {"ok": "green", "warning": "yellow", "failed": "red"}
    table = Table("check", "", "finding", "remedy")
    for finding in findings:
        colour = colours[finding.level]
        table.add_row(finding.check, f"[{colour}]{finding.level}[/]", finding.message, finding.remedy)
    Console().print(table)
