"""sentinel replay: rules over pcap files and logs, told apart by content. No daemon, no root, no state.

Output is EVE JSON to --eve, else to stdout; on a terminal a table. On long input stderr shows a progress bar.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

import typer

from sentinel.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sentinel.model import Alert

CAPTURE_MAGIC = {
    bytes.fromhex(text)
    for text in ("a1b2c3d4", "d4c3b2a1", "a1b23c4d", "4d3cb2a1", "a1b2cd34", "34cdb2a1", "0a0d0d0a")
}
PROGRESS_BYTES = 16 * 1024 * 1024  # shorter input is done before a bar could be read


def replay(
    files: list[Path] = typer.Argument(
        ..., metavar="FILE...", help="pcap, pcapng or log files (.gz logs too)."
    ),
    rules: list[Path] = typer.Option(..., "--rules", metavar="PATH", help="Rule file or folder; repeatable."),
    log_format: str = typer.Option(
        "auto", "--log-format", metavar="NAME", help="Format of log files; auto looks."
    ),
    eve: Path | None = typer.Option(
        None, "--eve", metavar="OUT", help="Write EVE JSON lines here; - is stdout."
    ),
    overrides: list[str] = typer.Option(
        [],
        "--set",
        metavar="KEY=VALUE",
        help="A Suricata configuration value, such as stream.midstream=true.",
    ),
) -> None:
    """Run rules over pcap files or logs and print the alerts.

    Exit codes: 0 done (with or without alerts), 1 failed, 2 bad rules or usage, 64 unknown log format.
    """
    settings = dict(_setting(text) for text in overrides)
    missing = [path for path in [*files, *rules] if not path.exists()]
    if missing:
        raise UsageError("\n".join(f"{path}: no such file" for path in missing))
    with _progress(files) as advance, _writer(eve) as write:
        for path in files:
            write(_alerts(path, rules, log_format, settings, advance))


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--set {text}: expected KEY=VALUE")
    return key.strip(), value.strip()


def is_capture(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in CAPTURE_MAGIC


def _alerts(
    path: Path, rules: list[Path], log_format: str, settings: dict[str, str], advance: Callable[[int], None]
) -> Iterator[Alert]:
    if is_capture(path):
        from sentinel.pipeline import replay_network

        return replay_network(path, rules, settings, advance)
    from sentinel.pipeline import replay_logs

    return replay_logs(path, rules, log_format, advance)


@contextlib.contextmanager
def _progress(files: list[Path]) -> Iterator[Callable[[int], None]]:
    total = sum(path.stat().st_size for path in files)
    if total < PROGRESS_BYTES or not sys.stderr.isatty():
        yield lambda _done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("replay", total=total)
        yield lambda done: bar.update(task, completed=done)


@contextlib.contextmanager
def _writer(eve: Path | None) -> Iterator[Callable[[Iterable[Alert]], None]]:
    if eve is None and sys.stdout.isatty():
        yield _table
        return
    with contextlib.ExitStack() as stack:
        to_file = eve is not None and str(eve) != "-"
        out = stack.enter_context(eve.open("wb")) if eve is not None and to_file else sys.stdout.buffer
        yield lambda alerts: _lines(out, alerts)
        out.flush()


def _lines(out: IO[bytes], alerts: Iterable[Alert]) -> None:
    from sentinel.outputs import encode

    for alert in alerts:
        out.write(encode([alert]))


def _table(alerts: Iterable[Alert]) -> None:
    from rich.console import Console
    from rich.table import Table

    from sentinel.model import isoformat

    table = Table("time", "level", "rule", "signature", "from", "to", title="alerts")
    for alert in alerts:
        log = alert.extra.get("log")
        target = f"line {log['line']}" if log else f"{alert.dest_ip}:{alert.dest_port or ''}"
        source = f"{alert.src_ip}:{alert.src_port}" if alert.src_port else alert.src_ip
        table.add_row(
            isoformat(alert.timestamp)[:23], alert.level, alert.rule_id, alert.signature, source, target
        )
    Console().print(table)
