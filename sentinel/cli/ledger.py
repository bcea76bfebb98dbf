"""sentinel ledger: show and verify the hash-chained record of what Sentinel did."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import typer

from sentinel.errors import SentinelError
from sentinel.ledger import Ledger

app = typer.Typer(
    help="Show and verify the record of what Sentinel did.", no_args_is_help=True, rich_markup_mode=None
)

CONFIG = typer.Option(Path("/etc/sentinel/sentinel.yml"), "--config", metavar="FILE")


@app.command()
def show(
    config: Path = CONFIG,
    action: str = typer.Option("", "--action", metavar="WORD", help="Only actions that begin with this."),
    subject: str = typer.Option("", "--subject", metavar="TEXT", help="Only subjects that contain this."),
    last: int = typer.Option(0, "--last", metavar="N", min=0, help="Only the N newest."),
    as_json: bool = typer.Option(False, "--json"),
) -> None:
    """Print the records, oldest first."""
    from sentinel.model import isoformat

    entries = [e for e in _ledger(config).entries() if e.action.startswith(action) and subject in e.subject]
    for entry in entries[-last:] if last else entries:
        if as_json:
            print(json.dumps(asdict(entry)))
        else:
            detail = " ".join(f"{key}={value}" for key, value in entry.detail.items())
            print(
                f"{entry.sequence:6} {isoformat(entry.time)[:19]}Z {entry.actor:10} {entry.action:24} {entry.subject} {detail}"
            )


@app.command()
def verify(config: Path = CONFIG, as_json: bool = typer.Option(False, "--json")) -> None:
    """Check the whole chain; name the first bad record. Exit code 1 when there is one.

    Somebody who could rewrite the whole file and ledger.head beside it is seen off the host only: compare with
    the metrics sentinel_ledger_sequence and sentinel_ledger_head that Prometheus keeps.
    """
    ledger = _ledger(config)
    verdict = ledger.verify()
    if as_json:
        print(json.dumps(asdict(verdict)))
    elif verdict.bad_line is None:
        print(f"{ledger.path}: {verdict.entries} records, chain intact, head {verdict.head}")
    if verdict.bad_line is not None:
        if as_json:
            sys.exit(1)
        raise SentinelError(
            f"{ledger.path}:{verdict.bad_line}: {verdict.reason}; {verdict.entries} good records before it"
        )


def _ledger(config: Path) -> Ledger:
    from sentinel import config as configuration

    return Ledger(configuration.load(config).state)
