"""Options that several commands share: declared once, as the fields of a dataclass, and taken as one parameter.

typer reads a command's signature; `grouped` shows it the fields where the command has the whole.
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Callable


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
