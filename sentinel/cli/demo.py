"""sentinel demo: every promise kept for real, in network namespaces, in a minute."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from sentinel.errors import SentinelError

if TYPE_CHECKING:
    from rich.console import Console

    from sentinel.demo.stage import Stage
    from sentinel.demo.story import Promise

Outcome = tuple["Promise", bool, str, float]  # promise, kept, evidence, seconds


def demo(
    keep: bool = typer.Option(False, "--keep", help="Leave everything running until Enter is pressed."),
) -> None:
    """Run a shop, an attacker and a customer in network namespaces, with Sentinel on the shop's host.

    Nothing outside the namespaces and one temporary folder is touched. Needs root, or user namespaces.
    Exit code 1 when a promise was not kept.
    """
    from rich.console import Console

    from sentinel.demo.lab import Lab, enter_user_namespace
    from sentinel.demo.stage import Stage

    enter_user_namespace()
    console = Console()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sentinel-demo-") as folder, Lab() as lab:
        stage = Stage(lab, Path(folder))
        outcomes = _play(stage, console)
        _table(outcomes, time.monotonic() - started, console)
        if keep:
            _wait(stage, console)
    if not all(kept for _, kept, _, _ in outcomes):
        raise SentinelError("a promise was not kept")


def _play(stage: Stage, console: Console) -> list[Outcome]:
    from sentinel.demo.story import PROMISES

    console.print(
        "[bold]three hosts in network namespaces:[/] shop 192.0.2.1, attacker 203.0.113.66-70, customer 198.51.100.20"
    )
    stage.open_shop()
    with console.status("sentinel run: network, logs, firewall, backup, metrics ..."):
        started = time.monotonic()
        stage.start_sentinel()
    console.print(
        f"[green]✓[/] sentinel run is ready, all components  [dim]{time.monotonic() - started:.1f} s[/]"
    )
    stage.customer_arrives()
    return [_keep(promise, stage, console) for promise in PROMISES]


def _keep(promise: Promise, stage: Stage, console: Console) -> Outcome:
    started = time.monotonic()
    try:
        with console.status(f"{promise.text} ..."):
            evidence, kept = promise.keep(stage), True
    except SentinelError as error:
        evidence, kept = str(error), False
    seconds = time.monotonic() - started
    console.print(f"{'[green]✓[/]' if kept else '[red]✗[/]'} {promise.text}  [dim]{seconds:.1f} s[/]")
    console.print(f"    [dim]{evidence}[/]", highlight=False)
    return promise, kept, evidence, seconds


def _table(outcomes: list[Outcome], seconds: float, console: Console) -> None:
    from rich.table import Table

    table = Table(
        "plane", "promise", "kept", "evidence", "seconds", title="what Sentinel promises, and what was seen"
    )
    for promise, kept, evidence, took in outcomes:
        mark = "[green]yes[/]" if kept else "[red]NO[/]"
        table.add_row(promise.plane, promise.text, mark, evidence, f"{took:.1f}")
    console.print(table)
    count = sum(outcome[1] for outcome in outcomes)
    console.print(f"{count} of {len(outcomes)} promises kept in {seconds:.0f} s")


def _wait(stage: Stage, console: Console) -> None:
    holder = stage.lab.shop.holder.pid
    console.print(f"Everything still runs. Configuration, logs and repository: {stage.folder}")
    console.print(f"Look at the shop's host with: nsenter --net=/proc/{holder}/ns/net bash")
    console.print(f"Metrics there: http://127.0.0.1:{stage.METRICS_PORT}/metrics   Press Enter to end.")
    try:
        input()
    except EOFError:
        return
