"""Options that several commands share: declared once; several that belong together as the fields of a dataclass.

typer reads a command's signature; `grouped` shows it the fields where the command has the whole.
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from collections.abc import Callable


def names_of_jobs(ctx: typer.Context, incomplete: str) -> list[str]:
    """For the shell to offer."""
    from sentinel import config as configuration

    config, _ = configuration.load_what_is_right(ctx.params.get("config") or configuration.DEFAULT_PATH)
    return [name for name in (config.backup.jobs if config.backup else {}) if name.startswith(incomplete)]


CONFIG = typer.Option(
    Path("/etc/sentinel/sentinel.yml"), "--config", metavar="FILE", help="Sentinel's configuration."
)
AS_JSON = typer.Option(False, "--json", help="One JSON document on stdout.")
A_JOB = typer.Argument(metavar="JOB", help="A job of sentinel.yml.", autocompletion=names_of_jobs)


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The same command, with each parameter that is a dataclass spread out into options of its own."""
    hints = get_type_hints(command)
    groups = {}
    shown: dict[str, inspect.Parameter] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        if not is_dataclass(hints[name]):
            shown[name] = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name])
            continue
        groups[name] = hints[name]
        types = get_type_hints(hints[name])
        for field in fields(hints[name]):
            shown[field.name] = inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=types[field.name],
            )

    @functools.wraps(command)
    def spread(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    spread.__signature__ = inspect.Signature(list(shown.values()))  # type: ignore[attr-defined]
    spread.__annotations__ = {name: parameter.annotation for name, parameter in shown.items()}
    return spread
