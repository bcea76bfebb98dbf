"""A playbook as text for a tired human: what to ask, what to type, how to see that it worked.

In: a playbook, and a plan where a configuration could be read. Out: plain text that can be printed and kept; commands
start at the margin after `$` so that they can be copied. Stock tools (restic, psql ...) come first: this page must be
of use when Sentinel itself is broken. No secret appears: a password is named by where it is kept.
"""

from __future__ import annotations

import shlex
import textwrap
from typing import TYPE_CHECKING

from sentinel.playbook.book import PLACEHOLDER, fill

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sentinel.playbook.settings import Playbook, Step

WIDTH = 100
SECTIONS = (
    ("check", "Already done if this succeeds:"),
    ("run", "Sentinel does:"),
    ("verify", "It worked if this succeeds:"),
    ("rollback", "If it went wrong, undo it:"),
)


def render(playbook: Playbook, values: Mapping[str, str], *, sandbox: bool = False) -> str:
    """`values` without a name leaves it as <name>, for the reader to fill in."""
    lines = [
        f"{playbook.name}: {playbook.title}",
        "=" * min(WIDTH, len(playbook.name) + len(playbook.title) + 2),
        *_paragraph(f"When: {playbook.when}"),
        "",
        *_parameters(playbook, values),
        *_setting(playbook, values),
    ]
    steps = [step for step in playbook.steps if sandbox or step.only != "sandbox"]
    for number, step in enumerate(steps, 1):
        lines += ["", *_step(number, len(steps), step, values)]
    return "\n".join(lines) + "\n"


def _step(number: int, total: int, step: Step, values: Mapping[str, str]) -> Iterator[str]:
    yield f"Step {number}/{total}  {step.step}: {_filled(step.title, values)}"
    if step.note:
        yield from _paragraph(_filled(step.note, values), indent="    ")
    if step.confirm:
        yield from _paragraph(f"STOP. A person decides: {_filled(step.confirm, values)}", indent="    ")
    if step.by_hand:
        yield from _commands("By hand, without Sentinel:", step.by_hand, values)
    for part, heading in SECTIONS:
        yield from _commands(heading, getattr(step, part), values)
    if step.wait:
        yield from _commands(
            f"Repeat until it succeeds (at most {step.wait.timeout:g} s):", [step.wait.until], values
        )


def _commands(heading: str, commands: Sequence[str], values: Mapping[str, str]) -> Iterator[str]:
    if commands:
        yield f"    {heading}"
        yield from (f"      $ {_line(command, values)}" for command in commands)


def _line(command: str, values: Mapping[str, str]) -> str:
    """Filled in; a value that a shell would split is quoted."""
    safe = {name: value if value.startswith("<") else shlex.quote(value) for name, value in values.items()}
    return _filled(command, safe)


def _filled(text: str, values: Mapping[str, str]) -> str:
    return PLACEHOLDER.sub(lambda match: f"<{match[1]}>", fill(text, values))


def _parameters(playbook: Playbook, values: Mapping[str, str]) -> Iterator[str]:
    if playbook.parameters:
        yield "Parameters (--set NAME=VALUE):"
        for name, parameter in playbook.parameters.items():
            value = values.get(name, parameter.default)
            shown = "needed" if value is None else repr(_filled(value, values))
            yield f"    {name} = {shown}    {parameter.about}"
        yield ""


def _setting(playbook: Playbook, values: Mapping[str, str]) -> Iterator[str]:
    """What a shell needs before the stock commands work."""
    by_hand = "\n".join(command for step in playbook.steps for command in step.by_hand)
    commands = [*_restic(values)] if "restic " in by_hand else []
    if "psql " in by_hand:
        names = [
            (name, values.get(f"server_{name[2:].lower()}", "")) for name in ("PGHOST", "PGPORT", "PGUSER")
        ]
        commands += [f"export {name}={shlex.quote(value)}" for name, value in names if value]
    if commands:
        who = " (for psql without a password: sudo -iu postgres)" if "psql " in by_hand else ""
        yield f"First, in the shell that you will use{who}:"
        yield from (f"      $ {command}" for command in commands)


def _restic(values: Mapping[str, str]) -> Iterator[str]:
    location, password_file = values.get("location", ""), values.get("password_file", "")
    yield f"export RESTIC_REPOSITORY={shlex.quote(location) if location else '<where the repository is>'}"
    if password_file:
        yield f"export RESTIC_PASSWORD_FILE={shlex.quote(password_file)}"
    else:
        yield "read -rs RESTIC_PASSWORD; export RESTIC_PASSWORD    # type the repository's password"
    if location.startswith("s3:"):
        yield "read -r AWS_ACCESS_KEY_ID; read -rs AWS_SECRET_ACCESS_KEY; export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY"


def _paragraph(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent)
