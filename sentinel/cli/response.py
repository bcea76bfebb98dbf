"""`sentinel response`: what the alerts in the journals would lead to, without banning anybody."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sentinel.cli.options import AS_JSON, CONFIG

if TYPE_CHECKING:
    from sentinel.respond.responder import Decision

app = typer.Typer(help="From alerts to bans: a dry run.")


@app.command()
def preview(
    journals: Annotated[list[Path] | None, typer.Argument(help="EVE files; default: the journals.")] = None,
    config: Path = CONFIG,
    as_json: bool = AS_JSON,
) -> None:
    """Every alert that asks for a ban or is spared one, and why. Nothing is banned."""
    from sentinel.cli.listing import print_json, print_table
    from sentinel.config import load
    from sentinel.firewall import names
    from sentinel.respond.responder import Outcome, build
    from sentinel.state import State

    settings = load(config)
    resolver = settings.firewall.resolver if settings.firewall is not None else ""
    responder = build(
        settings, State(settings.state, reading=True), None, ban=lambda *_: None, resolve=names.dns(resolver)
    )
    paths = journals or sorted(settings.journals.glob("*.jsonl"))
    decisions = list(responder.preview(paths))
    shown = [one for one in decisions if one.outcome in {Outcome.ASKED, Outcome.SPARED}]
    if as_json:
        print_json({"decisions": [_row(one) for one in shown], "outcomes": _totals(decisions)})
        return
    heads = ("time", "decision", "address", "sessions", "accounts", "orders", "rule")
    print_table(heads, [[_row(one)[head] for head in heads] for one in shown])
    print(", ".join(f"{name}: {count}" for name, count in _totals(decisions).items()) or "no alerts")


def _row(decision: Decision) -> dict[str, Any]:
    seen = decision.seen.figures() if decision.seen is not None else {}
    return {
        "time": decision.timestamp,
        "decision": decision.outcome.value,
        "address": decision.address,
        "rule": f"{decision.rule_id} {decision.reason}".strip(),
        **{name: seen.get(name, 0) for name in ("sessions", "accounts", "orders")},
    }


def _totals(decisions: list[Decision]) -> dict[str, int]:
    return dict(Counter(one.outcome.value for one in decisions))
