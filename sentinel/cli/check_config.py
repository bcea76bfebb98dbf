"""sentinel check-config: sentinel.yml and everything it names, all problems at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from sentinel.errors import InvalidInputError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentinel.config import Config


def check_config(
    config: Path = typer.Option(Path("/etc/sentinel/sentinel.yml"), "--config", metavar="FILE"),
) -> None:
    """Check the configuration and the rules, policy, playbooks and files it names.

    Prints every problem as path:line: what is wrong. Exit code 2 when there is one. Nothing that runs is disturbed.
    """
    from sentinel import config as configuration
    from sentinel.components import BUILDERS

    loaded = configuration.load(config)
    problems = list(_problems(loaded, str(config)))
    if problems:
        raise InvalidInputError(problems)
    sections = [name for name in BUILDERS if getattr(loaded, name) is not None]
    print(f"{config}: no problems; components: {', '.join(sections) or 'none'}")


def _problems(config: Config, path: str) -> Iterator[Problem]:
    for check in (_rules, _policy, _files):
        try:
            yield from check(config, path)
        except InvalidInputError as error:
            yield from error.problems


def _rules(config: Config, path: str) -> Iterator[Problem]:
    from sentinel.pipeline import check_log_rules, check_network_rules

    if config.network is not None:
        yield from check_network_rules(config.network)
    if config.logs is not None:
        yield from check_log_rules(config.logs.rules, config.logs.placeholders)


def _policy(config: Config, path: str) -> Iterator[Problem]:
    if config.firewall is not None:
        from sentinel.firewall.policy import load

        load(config.firewall.policy)
    return iter(())


def _files(config: Config, path: str) -> Iterator[Problem]:
    tls = config.metrics.tls if config.metrics else None
    webhook = config.webhook
    named = [("metrics.tls", file) for file in (tls.certificate, tls.key, tls.client_ca)] if tls else []
    if webhook is not None:
        named += [("webhook", file) for file in (webhook.token_file, webhook.password_file, webhook.ca_file)]
    for section, file in named:
        if file is not None and not file.is_file():
            yield Problem(path, 0, f"{section}: {file}: no such file")
