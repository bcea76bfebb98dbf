"""sentinel run: the daemon."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer

from sentinel.cli.options import CONFIG


def _names(incomplete: str) -> list[str]:
    from sentinel.components import BUILDERS

    return [name for name in BUILDERS if name.startswith(incomplete)]


def run(
    components: list[str] = typer.Argument(
        None, metavar="COMPONENT...", help="Default: every configured one.", autocompletion=_names
    ),
    config: Path = CONFIG,
    worker: int = typer.Option(0, "--worker", hidden=True, help="Started by the network component itself."),
    log_level: str = typer.Option(
        "INFO", "--log-level", metavar="LEVEL", help="DEBUG, INFO, WARNING or ERROR."
    ),
) -> None:
    """Run components: one alone in this process, several as supervised child processes.

    SIGHUP reloads (builds everything new, then swaps), SIGTERM drains and stops. Logs go to stderr.
    """
    from sentinel import DAEMON, SUPERVISOR
    from sentinel.errors import UsageError

    if log_level.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise UsageError(f"--log-level {log_level}: expected DEBUG, INFO, WARNING or ERROR")
    names = components or []
    if len(names) == 1:
        words = [DAEMON, str(config), log_level.upper(), str(worker), *names]
    else:
        from sentinel import config as configuration
        from sentinel import daemon

        loaded = configuration.load(config)
        names = daemon.select(names, loaded)
        words = [SUPERVISOR, str(config), log_level.upper(), str(loaded.state / "metrics"), *names]
    # A process that runs for months keeps neither command line nor, if it only supervises, a configuration in memory:
    # the same process starts anew without them.
    os.execv(sys.executable, [sys.executable, "-m", "sentinel", *words])  # noqa: S606 - argv list, no shell
