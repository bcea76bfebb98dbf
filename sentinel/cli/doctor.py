"""sentinel doctor: what is wrong on this host and how to mend it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from sentinel.cli.options import AS_JSON, CONFIG

if TYPE_CHECKING:
    from sentinel.operate.doctor import Finding


def doctor(
    config: Path = CONFIG,
    as_json: bool = AS_JSON,
    bundle: Path | None = typer.Option(
        None, "--bundle", metavar="FILE", help="Write a report without secrets."
    ),
) -> None:
    """Check this host. Every finding has a stable id, a sentence and a remedy. Exit code 1 when one failed."""
    from sentinel.operate import doctor as examination

    findings = examination.examine(config)
    if bundle is not None:
        bundle.touch(0o600)
        bundle.write_bytes(examination.bundle(findings, config))
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    else:
        _lines(findings)
    if any(finding.level == "failed" for finding in findings):
        raise typer.Exit(1)


def _lines(findings: list[Finding]) -> None:
    """One finding a line, whatever the terminal's width: places are copied and lines are searched for."""
    colours = {"ok": "green", "warning": "yellow", "failed": "red"}
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        level = typer.style(f"{finding.level:7}", fg=colours[finding.level])
        typer.echo(f"{level}  {finding.check:{width}}  {finding.message}")
        if finding.remedy:
            typer.echo(f"{'':7}  {'':{width}}  -> {finding.remedy}")
