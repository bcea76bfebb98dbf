"""sentinel check-config: sentinel.yml and everything it names, all problems at once."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from sentinel.cli.options import AS_JSON, CONFIG
from sentinel.errors import InvalidInputError, Problem, SentinelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sentinel.config import Config


COMPONENT = typer.Option("", "--component", metavar="NAME", help="Only what this component needs.")
HAS = typer.Option(
    "", "--has", metavar="NAME", help="Check nothing; exit code 1 when this component has no section."
)


def check_config(
    config: Path = CONFIG,
    component: str = COMPONENT,
    has: str = HAS,
    as_json: bool = AS_JSON,
) -> None:
    """Check the configuration and the rules, policy, playbooks and files it names.

    Prints every problem as path:line: what is wrong. Exit code 2 when there is one. Nothing that runs is disturbed.
    """
    if has:
        _require_section(config, has)
        return
    if component and component not in CHECKS:
        raise UsageError(f"no component {component!r}; there are: {', '.join(CHECKS)}")
    problems = list(_problems(config, component))
    if as_json:
        print(json.dumps([asdict(problem) for problem in problems]))
        if problems:
            raise typer.Exit(InvalidInputError.exit_code)
        return
    if problems:
        raise InvalidInputError(problems)
    print(f"{config}: no problems; components: {', '.join(_sections(config)) or 'none'}")


def _require_section(config: Path, name: str) -> None:
    """For the units' ExecCondition. A configuration that does not load has every section: starting tells what is wrong."""
    from sentinel import config as configuration

    try:
        loaded = configuration.load(config)
    except InvalidInputError:
        return
    if getattr(loaded, name, None) is None:
        raise SentinelError(f"{config}: no section {name!r}: nothing to run")


def _sections(config: Path) -> list[str]:
    from sentinel import config as configuration
    from sentinel.daemon import configured

    return configured(configuration.load(config))


def _problems(path: Path, component: str) -> Iterator[Problem]:
    """All of them at once; a mistake in one part hides no mistake in another."""
    from sentinel import config as configuration

    try:
        loaded = configuration.load(path)
    except InvalidInputError as error:
        yield from error.problems
        return
    for check in CHECKS.values() if not component else [CHECKS[component]]:
        try:
            yield from check(loaded, str(path))
        except InvalidInputError as error:
            yield from error.problems


def _network(config: Config, path: str) -> Iterator[Problem]:
    from sentinel.pipeline import check_network_rules

    if config.network is not None:
        yield from check_network_rules(config.network)


def _logs(config: Config, path: str) -> Iterator[Problem]:
    from sentinel.pipeline import check_log_rules

    if config.logs is not None:
        yield from check_log_rules(config.logs.rules, config.logs.placeholders)
        yield from _formats(config, path)


def _formats(config: Config, path: str) -> Iterator[Problem]:
    from sentinel.errors import UnknownLogFormatError
    from sentinel.protocol.logs.parser import AUTO, reader

    for file in config.logs.files if config.logs is not None else []:
        try:
            if file.format != AUTO:
                reader(file.format)
        except UnknownLogFormatError as error:
            yield Problem(path, 0, f"logs.files: {file.path}: {error}")


def _firewall(config: Config, path: str) -> Iterator[Problem]:
    if config.firewall is not None:
        from sentinel.firewall.policy import load

        load(config.firewall.policy)
    return iter(())


def _backup(config: Config, path: str) -> Iterator[Problem]:
    if config.backup is not None:
        from sentinel.playbook import book

        yield from book.check(config.backup, path)


def _metrics(config: Config, path: str) -> Iterator[Problem]:
    tls = config.metrics.tls if config.metrics else None
    files = (tls.certificate, tls.key, tls.client_ca) if tls else ()
    yield from _absent(path, "metrics.tls", *files)


def _webhook(config: Config, path: str) -> Iterator[Problem]:
    webhook = config.webhook
    files = (webhook.token_file, webhook.password_file, webhook.ca_file) if webhook else ()
    yield from _absent(path, "webhook", *files)


def _absent(path: str, section: str, *files: Path | None) -> Iterator[Problem]:
    for file in files:
        if file is not None and not file.is_file():
            yield Problem(path, 0, f"{section}: {file}: no such file")


CHECKS: dict[str, Callable[[Config, str], Iterator[Problem]]] = {
    "network": _network,
    "logs": _logs,
    "firewall": _firewall,
    "backup": _backup,
    "metrics": _metrics,
    "webhook": _webhook,
}
