"""The command line: one file per command group, loaded only when it is used.

`COMMANDS` is the whole map. The help of the top level is printed from it without importing any group, which keeps
`sentinel --help` fast; a group is imported when one of its commands runs or its own --help is asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

import typer
import typer.core
import typer.main

# command -> (module:attribute, one line of help). An attribute is a Typer group or a plain function.
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("sentinel.cli.run:run", "Run components under supervision (the daemon)."),
    "setup": ("sentinel.cli.setup:setup", "Install units, user, directories and a first configuration."),
    "init": ("sentinel.cli.init:init", "Write a first configuration from what this host has."),
    "check-config": ("sentinel.cli.check_config:check_config", "Check sentinel.yml and everything it names."),
    "status": ("sentinel.cli.status:status", "What each component is doing, also when the daemon is down."),
    "doctor": ("sentinel.cli.doctor:doctor", "What is wrong on this host, and how to mend it."),
    "dashboards": ("sentinel.cli.dashboards:app", "Export Grafana dashboards and Prometheus alert rules."),
    "demo": ("sentinel.cli.demo:demo", "Every promise kept for real, in network namespaces, in a minute."),
    "replay": (
        "sentinel.cli.replay:replay",
        "Run rules over pcap files or logs; EVE JSON out. No daemon, no root.",
    ),
    "parse": ("sentinel.cli.parse:parse", "Show how a log is parsed: one JSON object a line."),
    "rules": ("sentinel.cli.rules:app", "Check, list, explain, test and profile rules."),
    "firewall": ("sentinel.cli.firewall:app", "Plan, apply and confirm the policy; bans."),
    "response": ("sentinel.cli.response:app", "What alerts would ban: a dry run."),
    "backup": ("sentinel.cli.backup:app", "Back up, list, check, restore, prune, drill."),
    "playbook": ("sentinel.cli.playbook:app", "List, show and run restore playbooks."),
    "ledger": ("sentinel.cli.ledger:app", "Show and verify the record of what Sentinel did."),
    "manual": ("sentinel.cli.manual:manual", "Print the man page."),
}

EXIT_CODES = (
    "Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 incomplete snapshot, 10 no repository, "
    "11 repository locked, 12 wrong password, 64 unknown log format (replay and parse)."
)


class LazyGroup(typer.core.TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module_name, _, attribute = COMMANDS[cmd_name][0].partition(":")
        target = getattr(importlib.import_module(module_name), attribute)
        if isinstance(target, typer.Typer):
            target.info.help = target.info.help or COMMANDS[cmd_name][1]
            target.rich_markup_mode = None  # plain help everywhere: it is read on consoles and grepped
            group = typer.main.get_group(target)
            group.name = cmd_name
            return group
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        single.command(name=cmd_name)(target)
        return typer.main.get_command(single)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


app = typer.Typer(
    cls=LazyGroup,
    help="Sentinel: a security operations sidecar (network and log detection, firewall, backup, drills).",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(value: bool) -> None:
    if value:
        from sentinel import __version__

        typer.echo(f"sentinel {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version."
    ),
) -> None:
    pass


def command() -> Any:
    return typer.main.get_command(app)
