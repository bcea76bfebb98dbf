"""sentinel ledger: show and verify the hash-chained record of what Sentinel did."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import typer

from sentinel.cli.options import AS_JSON, CONFIG
from sentinel.errors import SentinelError
from sentinel.ledger import Ledger

app = typer.Typer(
    help="Show and verify the record of what Sentinel did.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def show(
    config: Path = CONFIG,
    action: str = typer.Option("", "--action", metavar="WORD", help="Only actions that begin with this."),
    subject: str = typer.Option("", "--subject", metavar="TEXT", help="Only subjects that contain this."),
    since: str = typer.Option(
        "", "--since", metavar="TIME", help="Only from then on: 2h or 7d ago, or 2026-12-01T00:00:00Z."
    ),
    last: int = typer.Option(0, "--last", metavar="N", min=0, help="Only the N newest."),
    as_json: bool = AS_JSON,
) -> None:
    """Print the records, oldest first."""
    from sentinel.model import isoformat

    begin = _moment(since)
    entries = [
        entry
        for entry in _ledger(config).entries()
        if entry.time >= begin and entry.action.startswith(action) and subject in entry.subject
    ]
    if not (entries or as_json):
        print("no records")
    for entry in entries[-last:] if last else entries:
        if as_json:
            print(json.dumps(asdict(entry)))
        else:
            detail = " ".join(f"{key}={value}" for key, value in entry.detail.items())
            print(
                f"{entry.sequence:6} {isoformat(entry.time)[:19]}Z {entry.actor:10} {entry.action:24} {entry.subject} {detail}"
            )


@app.command()
def verify(config: Path = CONFIG, as_json: bool = AS_JSON) -> None:
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


def _moment(text: str) -> int:
    """Nanoseconds since the epoch; the beginning of time without a text."""
    from sentinel import durations
    from sentinel.errors import UsageError

    if not text:
        return 0
    try:
        return time.time_ns() - int(durations.seconds(text) * 1e9)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--since {text}: expected a time such as 2h, 7d or 2026-12-01T00:00:00Z") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e9)
