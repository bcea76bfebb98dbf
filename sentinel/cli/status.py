"""sentinel status: what each component is doing, from state; works when the daemon is down."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sentinel import process
from sentinel.cli.options import AS_JSON, CONFIG

if TYPE_CHECKING:
    import sqlite3

    from sentinel.config import Config

STALE_SECONDS = 30.0  # components report every 5 s; six missed reports are no accident


def status(
    config: Path = CONFIG,
    as_json: bool = AS_JSON,
) -> None:
    """Show each configured component: state, age of its last report, and its figures.

    Exit code 1 when a configured component is not running.
    """
    from sentinel import config as configuration

    rows = collect(configuration.load(config))
    if as_json:
        print(json.dumps(rows))
    else:
        _table(rows)
    if any(row["state"] != "running" for row in rows):
        raise typer.Exit(1)


def collect(config: Config) -> list[dict[str, Any]]:
    from sentinel.components import BUILDERS
    from sentinel.state import State

    reports = {row["name"]: row for row in State(config.state, reading=True).read("SELECT * FROM component")}
    names = [name for name in BUILDERS if getattr(config, name) is not None]
    return [_row(name, reports.get(name)) for name in names]


def _row(name: str, report: sqlite3.Row | None) -> dict[str, Any]:
    if report is None:
        return {"component": name, "state": "never ran", "pid": None, "age_seconds": None, "detail": {}}
    age = (time.time_ns() - report["updated"]) / 1e9
    word = report["state"]
    if word == "running" and not process.exists(report["pid"]):
        word = "died"
    elif word == "running" and age > STALE_SECONDS:
        word = "silent"
    return {
        "component": name,
        "state": word,
        "pid": report["pid"],
        "since": report["since"],
        "age_seconds": round(age, 1),
        "detail": json.loads(report["detail"]),
    }


def _table(rows: list[dict[str, Any]]) -> None:
    from sentinel.cli.listing import print_table

    cells = []
    for row in rows:
        age = f"{row['age_seconds']:.0f} s ago" if row["age_seconds"] is not None else ""
        figures = ", ".join(f"{key} {_figure(value)}" for key, value in row["detail"].items())
        cells.append((row["component"], row["state"], row["pid"] or "", age, figures))
    print_table(("component", "state", "pid", "reported", "figures"), cells)


def _figure(value: Any) -> str:
    """`{'shop': {'last': 'ok'}}` as `shop last ok`: this is read by people; --json has it as it is."""
    if isinstance(value, dict):
        return " ".join(f"{key} {_figure(inner)}" for key, inner in value.items()) or "none"
    if isinstance(value, list):
        return " ".join(map(_figure, value)) or "none"
    return {None: "never", True: "yes", False: "no"}.get(value, str(value))
