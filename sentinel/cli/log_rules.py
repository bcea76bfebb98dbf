"""Sigma rules from the command line: one log line explained, rules' own examples, a backtest over old logs.

Called by `sentinel rules`; prints and chooses exit codes, `sentinel.explanation` and `sentinel.trial` do the work.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinel.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sentinel.config import LogsSettings
    from sentinel.explanation import Explanation, Tried


def rules_of(paths: list[Path], config: Path | None) -> tuple[list[Path], LogsSettings]:
    """The rule paths and the log settings: as given, else sentinel.yml's, else what ships."""
    from sentinel.config import LogsSettings, load
    from sentinel.shipped import folder

    settings = (load(config).logs if config is not None else None) or LogsSettings()
    if not paths:
        paths = [Path(text) for text in settings.rules] or [folder("rules") / "logs"]
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder")
    return paths, settings


def explain_line(
    line: str, paths: list[Path], log_format: str, only: str, config: Path | None, *, as_json: bool
) -> None:
    from sentinel.cli.listing import print_json
    from sentinel.explanation import explain
    from sentinel.protocol.derive.attach import Derivation

    if line == "-":
        line = sys.stdin.buffer.readline().decode("utf-8", "surrogateescape").rstrip("\r\n")
    paths, settings = rules_of(paths, config)
    made = explain(
        line,
        log_format,
        paths,
        only,
        derivation=Derivation.of(settings),
        placeholders=settings.placeholders,
    )
    if as_json:
        print_json(asdict(made))
    else:
        _print_line(made, only=bool(only))


def _print_line(made: Explanation, *, only: bool) -> None:
    print(f"format      {made.format}" + ("" if made.parsed else " (the line does not fit it)"))
    print(f"time        {made.time}")
    _print_pairs("fields", made.fields)
    _print_pairs(
        "decoded", {name: text for name, text in made.decoded.items() if text != made.fields.get(name)}
    )
    print(f"rules       {made.rules} serve this format, {made.candidates} were candidates, "
          f"{len(made.matched)} match")  # fmt: skip
    for tried in made.tried:
        if tried.matched or only:
            _print_tried(tried)
    if not only:
        _print_others([tried for tried in made.tried if not tried.matched])


def _print_pairs(head: str, pairs: dict[str, str]) -> None:
    width = max(map(len, pairs), default=0)
    for number, (name, text) in enumerate(pairs.items()):
        print(f"{head if number == 0 else '':<12}{name:<{width}}  {text}")


def _print_tried(tried: Tried) -> None:
    print(f"\n{'MATCH' if tried.matched else 'no match':<12}{tried.rule} ({tried.level})")
    print(f"{'':<12}{tried.id}  {tried.where}")
    for text in tried.why:
        print(f"{'':<12}{text}")
    for text in tried.feeds:
        print(f"{'':<12}counts for: {text}")


def _print_others(others: list[Tried]) -> None:
    """Rules that were looked at and do not match: one line each, with the first reason."""
    for number, tried in enumerate(others):
        print(f"{'' if number else chr(10) + 'no match':<12}{tried.rule}: {next(iter(tried.why), '')}")


def try_examples(paths: Iterable[Path], *, as_json: bool) -> bool:
    """Whether all rules agree with their own examples."""
    from sentinel import trial
    from sentinel.cli.listing import print_json

    tried, problems = trial.examples(paths)
    if as_json:
        wrong: list[dict[str, Any]] = [
            {"path": each.path, "line": each.line, "reason": each.message} for each in problems
        ]
        print_json({"examples": tried, "wrong": wrong})
    else:
        for each in problems:
            print(f"{each.path}:{each.line}: {each.message}")
        print(f"{tried} examples tried, {len(problems)} wrong")
    return not problems


def backtest(
    paths: list[Path], logs: list[Path], log_format: str, config: Path | None, *, as_json: bool
) -> None:
    from sentinel import trial
    from sentinel.cli.listing import print_json, print_table
    from sentinel.protocol.derive.attach import Derivation

    paths, settings = rules_of(paths, config)
    missing = [log for log in logs if not log.is_file()]
    if missing:
        raise UsageError("\n".join(f"{log}: no such file" for log in missing))
    result = trial.backtest(
        paths, logs, log_format, derivation=Derivation.of(settings), placeholders=settings.placeholders
    )
    rows = [
        {
            "rule": name,
            "alerts": count,
            "addresses": len(result.addresses[name]),
            "first": result.first[name],
            "last": result.last[name],
        }
        for name, count in result.alerts.most_common()
    ]
    if as_json:
        print_json({"lines": result.lines, "alerts": result.alerts.total(), "rules": rows})
        return
    print_table(("rule", "alerts", "addresses", "first", "last"), [tuple(row.values()) for row in rows])
    print(f"{result.lines} lines, {result.alerts.total()} alerts")
