"""sentinel rules exceptions | except: what exceptions hide, and what another one would, counted in the journals."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sentinel.cli.options import CONFIG
from sentinel.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sentinel.alert_exceptions import AlertException, Tally
    from sentinel.config import Config

DAYS = typer.Option(7, "--days", min=1, help="How far to look back in the journals.")
JSON = typer.Option(False, "--json", help="Print one JSON document.")
DAY_SECONDS = 86_400


def exceptions(config: Path = CONFIG, days: int = DAYS, as_json: bool = JSON) -> None:
    """Each exception of the configuration: how long it still holds, what it hid, what it would hide."""
    from sentinel import config as configuration

    loaded = configuration.load(config)
    _show(loaded.exceptions, loaded, days, as_json=as_json)


def try_exception(
    rule: str = typer.Option("", help="A sid, or the id of a Sigma rule."),
    address: str = typer.Option("", help="An address or network, at either end."),
    path: str = typer.Option("", help="A URL path; * stands for anything."),
    until: str = typer.Option("7d", help="How long: 12h, 7d, or a time such as 2026-12-01T00:00:00Z."),
    reason: str = typer.Option(..., help="Why; it is written beside every alert that is hidden."),
    config: Path = CONFIG,
    days: int = DAYS,
    as_json: bool = JSON,
) -> None:
    """Say what an exception would have hidden, and print the line for sentinel.yml. Changes nothing."""
    import pydantic

    from sentinel import config as configuration
    from sentinel.alert_exceptions import AlertException

    given = {"rule": rule, "address": address, "path": path, "reason": reason, "until": _moment(until)}
    try:
        wanted = AlertException.model_validate(given)
    except pydantic.ValidationError as error:
        raise UsageError("; ".join(str(each["msg"]) for each in error.errors())) from None
    _show([wanted], configuration.load(config), days, as_json=as_json)
    if not as_json:
        fields = {name: value for name, value in given.items() if value and name != "until"}
        fields["until"] = wanted.until.isoformat()
        print("\nin sentinel.yml:\nexceptions:")
        print("  - {" + ", ".join(f"{name}: {json.dumps(value)}" for name, value in fields.items()) + "}")


def _moment(text: str) -> datetime:
    unit = {"h": "hours", "d": "days", "w": "weeks"}.get(text[-1:])
    if unit and text[:-1].isdigit():
        return datetime.now(UTC).replace(microsecond=0) + timedelta(**{unit: int(text[:-1])})
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--until {text}: neither a duration like 7d nor a time") from None


def _show(settings: Sequence[AlertException], config: Config, days: int, *, as_json: bool) -> None:
    from sentinel.alert_exceptions import tally
    from sentinel.cli.listing import print_json, print_table

    now = time.time()
    found = tally(settings, _journal_events(config), int((now - days * DAY_SECONDS) * 1e9))
    rows = [_row(one, counts, now) for one, counts in zip(settings, found, strict=True)]
    if as_json:
        print_json(rows)
        return
    if not rows:
        print("the configuration has no exceptions")
        return
    heads = ("exception", "state", "until", "hidden", "would hide", "last alert", "reason")
    print_table(heads, [[row[head.replace(" ", "_")] for head in heads] for row in rows])
    print(f"hidden, would hide: alerts of the last {days} days in {config.journals}")


def _row(settings: AlertException, counts: Tally, now: float) -> dict[str, Any]:
    left = settings.until.timestamp() - now
    state = "ended" if left <= 0 else f"{left / DAY_SECONDS:.0f} days left"
    if 0 < left < 2 * DAY_SECONDS:
        state = f"{left / 3600:.0f} hours left"
    last = datetime.fromtimestamp(counts.last / 1e9, UTC).isoformat(timespec="seconds") if counts.last else ""
    return {
        "exception": settings.subject(),
        "state": state,
        "until": settings.until.isoformat(),
        "hidden": counts.hidden,
        "would_hide": counts.visible,
        "last_alert": last,
        "reason": settings.reason,
    }


def _journal_events(config: Config) -> Iterator[dict[str, Any]]:
    """Of both planes and all workers, the rotated files first."""
    for path in sorted(config.journals.glob("*.jsonl*"), key=lambda path: path.suffix == ".jsonl"):
        with path.open("rb") as file:
            for line in file:
                try:
                    eve = json.loads(line)
                except ValueError:
                    continue  # the line that is being written, or was cut by a power failure
                if isinstance(eve, dict):
                    yield eve
