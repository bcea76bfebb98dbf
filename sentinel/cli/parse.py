"""`sentinel parse LOG`: what Sentinel reads in each line of a log, one JSON object a line, {} where it reads nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentinel.model import Columns

NUMBERS = frozenset({"http.response.status_code", "http.response.body.bytes", "process.pid", "source.port"})


def parse(
    log: Annotated[Path, typer.Argument(help="A log file, plain or compressed.")],
    log_format: Annotated[
        str, typer.Option("--log-format", help="Name of the format, or an nginx log_format string.")
    ] = "auto",
) -> None:
    """Print the fields of every line under ECS names. Exit status 64: this log format is not known."""
    from sentinel.capture.logfile import read_file
    from sentinel.protocol.logs.parser import LogParser

    parser = LogParser(log_format)
    write = sys.stdout.write
    for batch in read_file(log):
        for row in rows_of(parser.parse(batch)):
            write(json.dumps(row) + "\n")


def rows_of(columns: Columns) -> Iterator[dict[str, Any]]:
    """One mapping per row: ECS name -> text or number."""
    from sentinel.protocol.logs.parser import names

    fields = {
        name: column.values() for name in names(columns) if (column := columns.column(name)) is not None
    }
    parsed = columns.parsed
    for i in range(columns.rows):
        if parsed is not None and not parsed[i]:
            yield {}
            continue
        row: dict[str, Any] = {"@timestamp": _time(int(columns.times[i]))}
        for name, values in fields.items():
            value = values[i]
            if value is not None:
                row[name] = _value(name, value)
        target = row.get("url.original")
        if isinstance(target, str) and "?" in target:
            row.setdefault("url.query", target.partition("?")[2])
        yield row


def _time(nanoseconds: int) -> str:
    from sentinel.model import isoformat

    return isoformat(nanoseconds)


def _value(name: str, value: bytes) -> str | int:
    if name in NUMBERS and value.isdigit() and len(value) < 19:
        return int(value)
    return value.decode("utf-8", "replace")
