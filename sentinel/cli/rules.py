"""sentinel rules: check, list, explain, test, backtest, profile and update rules of both languages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sentinel import shipped
from sentinel.cli import rule_exceptions
from sentinel.errors import UsageError

if TYPE_CHECKING:
    from sentinel.detect.load import Loaded
    from sentinel.detect.rule import Rule

app = typer.Typer(
    help="Check, list, explain, test, backtest, profile and update rules.", no_args_is_help=True
)
app.command()(rule_exceptions.exceptions)
app.command("except")(rule_exceptions.try_exception)

PATHS = typer.Argument(..., metavar="PATH...", help="Rule files or folders (*.rules, *.yml).")
JSON = typer.Option(False, "--json", help="Print one JSON document.")
LOG_FORMAT = typer.Option(
    "auto",
    "--log-format",
    metavar="NAME",
    help="Name of the format, or an nginx log_format string; auto looks.",
)
CONFIG = typer.Option(
    None,
    "--config",
    metavar="FILE",
    help="A sentinel.yml whose rules, shop vocabulary and placeholders count.",
)
VARIABLES = typer.Option(
    [], "--set", metavar="KEY=VALUE", help="vars.address-groups.NAME or vars.port-groups.NAME."
)


@app.command()
def check(paths: list[Path] = PATHS, as_json: bool = JSON, overrides: list[str] = VARIABLES) -> None:
    """Load rules and name every one that is refused. Exit code 0 when all loaded, 2 otherwise."""
    from sentinel.cli.listing import print_json
    from sentinel.detect.build import vet

    network, logs = _split(paths)
    loaded = _load(network, overrides)
    vet(loaded, dict(_pair(text) for text in overrides))
    failed = [
        {"path": each.path, "line": each.line, "rule": each.rule, "reason": each.reason}
        for each in loaded.failed
    ]
    count = len(loaded.rules)
    if logs:
        from sentinel.detect.sigma.read import read

        found = read(logs)
        count += len(found.rules) + len(found.correlations)
        failed += [
            {"path": each.path, "line": each.line, "rule": "", "reason": each.message}
            for each in found.problems
        ]
    if as_json:
        print_json({"loaded": count, "failed": failed, "skipped": loaded.skipped})
    else:
        for each in failed:
            print(f"{each['path']}:{each['line']}: rule {each['rule']}: {each['reason']}")
        print(f"{count} rules loaded, {len(failed)} refused, {loaded.skipped} skipped")
    if failed:
        raise typer.Exit(2)


@app.command("list")
def list_rules(paths: list[Path] = PATHS, as_json: bool = JSON, overrides: list[str] = VARIABLES) -> None:
    """One line a rule: sid or id, level, message, place."""
    from sentinel.cli.listing import print_json, print_table

    network, logs = _split(paths)
    rules = sorted(_load(network, overrides).rules, key=lambda rule: rule.sid) if network else []
    sigma = _headings(logs)
    if as_json:
        print_json([*map(_summary, rules), *sigma])
        return
    if rules:
        print_table(
            ("sid", "rev", "action", "protocol", "level", "message", "file"),
            [(r.sid, r.rev, r.action, r.protocol, r.level, r.msg, f"{r.path}:{r.line}") for r in rules],
        )
    if sigma:
        print_table(("id", "kind", "level", "title", "file"), [tuple(row.values()) for row in sigma])


@app.command()
def explain(
    what: str = typer.Argument(
        ...,
        metavar="SID|LINE",
        help="A network rule's sid, or one log line in quotes; - reads the line from stdin.",
    ),
    paths: list[Path] = typer.Option(
        [], "--rules", metavar="PATH", help="Where to look; repeatable. Default: what ships."
    ),
    log_format: str = LOG_FORMAT,
    only: str = typer.Option(
        "",
        "--rule",
        metavar="NAME",
        help="Show this Sigma rule (id, name or title) even if it does not match.",
    ),
    config: Path | None = CONFIG,
    capture: Path | None = typer.Option(
        None, "--capture", metavar="PCAP", help="Say what the network rule costs on this capture, too."
    ),
    as_json: bool = JSON,
    overrides: list[str] = VARIABLES,
) -> None:
    """A network rule: what it looks at, what brings it up, what it costs. A log line: its format, fields, decoded values, the
    rules it was tried with and why they match or not.
    """
    from sentinel.cli import log_rules
    from sentinel.cli.listing import print_json

    if not what.isdigit():
        log_rules.explain_line(what, paths, log_format, only, config, as_json=as_json)
        return
    paths = paths or [shipped.folder("rules") / "network"]
    rule = next((each for each in _load(paths, overrides).rules if each.sid == int(what)), None)
    if rule is None:
        raise UsageError(f"no rule with sid {what} was loaded")
    facts = _summary(rule) | _anatomy(rule)
    if capture is not None:
        facts["cost seen"] = _cost(rule.sid, capture, paths, overrides)
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        lines = value if isinstance(value, list) else [value]
        for i, line in enumerate(lines):
            print(f"{name if i == 0 else '':<15}{line}")


@app.command()
def profile(
    capture: Path = typer.Argument(..., help="A pcap or pcapng file."),
    paths: list[Path] = typer.Option(
        ..., "--rules", metavar="PATH", help="Rule files or folders; repeatable."
    ),
    top: int = typer.Option(20, help="How many rules to show."),
    as_json: bool = JSON,
    overrides: list[str] = VARIABLES,
) -> None:
    """What each rule cost on a capture: times looked at, matches, microseconds."""
    from sentinel.cli.listing import print_json, print_table
    from sentinel.pipeline import profile_network

    costs = profile_network(capture, paths, dict(_pair(text) for text in overrides))[:top]
    if as_json:
        print_json([cost._asdict() for cost in costs])
        return
    rows = [(c.sid, c.checked, c.matched, f"{c.seconds * 1e6:.0f}", c.message) for c in costs]
    print_table(("sid", "checked", "matched", "microseconds", "message"), rows)


@app.command("test")
def try_rules(
    capture: Path | None = typer.Argument(None, help="A pcap or pcapng file, for network rules."),
    paths: list[Path] = typer.Option(
        ..., "--rules", metavar="PATH", help="Rule files or folders; repeatable."
    ),
    expect: list[str] = typer.Option(
        [], "--expect", metavar="SID[=COUNT]", help="0 means it must not alert."
    ),
    as_json: bool = JSON,
    overrides: list[str] = VARIABLES,
) -> None:
    """Sigma rules: do they match their own examples (`tests:` in the rule)? Network rules: do they alert on a capture
    as --expect says? Exit code 1 when not.
    """
    from sentinel.cli import log_rules

    if capture is None:
        right = log_rules.try_examples(_split(paths)[1], as_json=as_json)
    elif expect:
        right = _try_capture(capture, paths, expect, dict(_pair(text) for text in overrides), as_json=as_json)
    else:
        raise UsageError("a capture needs --expect SID[=COUNT]")
    if not right:
        raise typer.Exit(1)


def _try_capture(
    capture: Path, paths: list[Path], expect: list[str], options: dict[str, str], *, as_json: bool
) -> bool:
    from collections import Counter

    from sentinel.cli.listing import print_json
    from sentinel.pipeline import replay_network

    found = Counter(alert.signature_id for alert in replay_network(capture, paths, options))
    rows = []
    for text in expect:
        sid, equals, count = text.partition("=")
        if not sid.isdigit() or (equals and not count.isdigit()):
            raise UsageError(f"--expect {text}: SID or SID=COUNT")
        seen = found[int(sid)]
        rows.append({"sid": int(sid), "alerts": seen, "ok": seen == int(count) if equals else seen > 0})
    if as_json:
        print_json(rows)
    else:
        for row in rows:
            print(f"{'ok' if row['ok'] else 'WRONG':<6} sid {row['sid']}: {row['alerts']} alerts")
    return all(row["ok"] for row in rows)


@app.command()
def backtest(
    logs: list[Path] = typer.Argument(..., metavar="LOG...", help="Old logs, plain or compressed."),
    paths: list[Path] = typer.Option(
        [], "--rules", metavar="PATH", help="Sigma rule files or folders; repeatable. Default: what ships."
    ),
    log_format: str = LOG_FORMAT,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """What Sigma rules would have raised on old logs: alerts, addresses, and the first and last line of each rule."""
    from sentinel.cli import log_rules

    log_rules.backtest(paths, logs, log_format, config, as_json=as_json)


@app.command()
def update(
    source: Path = typer.Argument(..., help="A folder of rules, or a .tar.gz or .zip of one."),
    target: Path = typer.Argument(..., help="The folder that sentinel.yml names."),
    overrides: list[str] = VARIABLES,
) -> None:
    """Replace a rule folder by another, if enough of it loads; what is there stays until the new one is checked."""
    from sentinel.detect.update import install

    report = install(source, target, lambda folder: _load([folder], overrides))
    print(
        f"{target}: {report.loaded} rules ({report.added} new, {report.removed} gone), {report.failed} refused"
    )


def _cost(sid: int, capture: Path, paths: list[Path], overrides: list[str]) -> str:
    from sentinel.pipeline import profile_network

    costs = profile_network(capture, paths, dict(_pair(text) for text in overrides))
    own = next((cost for cost in costs if cost.sid == sid), None)
    if own is None:
        return "none: never looked at"
    whole = sum(cost.seconds for cost in costs)
    return (
        f"looked at {own.checked} times, matched {own.matched}, {own.seconds * 1e6:.0f} microseconds, "
        f"{own.seconds / whole:.0%} of all rules"
    )


def _split(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """Suricata rules by *.rules, Sigma rules by *.yml."""
    network, logs = [], []
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder")
        files = [path] if path.is_file() else list(path.rglob("*"))
        if any(file.suffix in {".yml", ".yaml"} for file in files):
            logs.append(path)
        if any(file.suffix == ".rules" for file in files) or (path.is_file() and path not in logs):
            network.append(path)
    return network, logs


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text}: expected KEY=VALUE")
    return key.strip(), value.strip()


def _load(paths: list[Path], overrides: list[str]) -> Loaded:
    from sentinel.detect.build import variables_of
    from sentinel.detect.load import load
    from sentinel.detect.settings import STOCK_VARIABLES

    return load(paths, variables_of(STOCK_VARIABLES, dict(_pair(text) for text in overrides)))


def _headings(paths: list[Path]) -> list[dict[str, Any]]:
    """Sigma rules and correlations, one mapping each."""
    if not paths:
        return []
    from sentinel.detect.sigma.read import read

    loaded = read(paths)
    return [
        {
            "id": each.id,
            "kind": kind,
            "level": each.level,
            "title": each.title,
            "file": f"{each.path}:{each.line}",
        }
        for kind, group in (("rule", loaded.rules), ("correlation", loaded.correlations))
        for each in group
    ]


def _summary(rule: Rule) -> dict[str, Any]:
    return {
        "sid": rule.sid,
        "rev": rule.rev,
        "message": rule.msg,
        "action": rule.action,
        "protocol": rule.protocol,
        "level": rule.level,
        "category": rule.category,
        "file": f"{rule.path}:{rule.line}",
    }


def _anatomy(rule: Rule) -> dict[str, Any]:
    ways = [name for name, wanted in zip(("to server", "to client"), rule.directions, strict=True) if wanted]
    buffers = [
        f"{part.buffer} ({way}): {', '.join(map(_short, part.matches))}"
        for way, parts in zip(("to server", "to client"), rule.parts, strict=True)
        for part in parts
    ]
    if rule.payload:
        buffers.append(f"payload ({rule.mode}): {', '.join(map(_short, rule.payload))}")
    fast = rule.fast
    return {
        "applications": ", ".join(sorted(rule.applications)) or "any",
        "direction": " and ".join(ways),
        "conditions": [f"{check.name} {check.args}" for check in rule.checks] or ["none"],
        "buffers": buffers or ["none"],
        "fast pattern": f"{fast.pattern!r} in {fast.buffer}"
        if fast
        else "none: looked at for every packet it fits",
        "effects": [f"{check.name} {check.args}" for check in rule.post] or ["alert only"],
        "thresholds": [f"{t.kind} {t.limit} in {t.seconds} s {t.track}" for t in rule.thresholds] or ["none"],
    }


def _short(match: Any) -> str:
    pattern = getattr(match, "pattern", None)
    name = type(match).__name__.lower()
    return f"{'not ' if getattr(match, 'negated', False) else ''}{name}{f' {pattern!r}' if pattern is not None else ''}"
