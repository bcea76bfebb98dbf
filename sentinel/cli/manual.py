"""sentinel manual: the man page, made from the command line itself, so that the two cannot disagree."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def manual() -> None:
    """Print the man page (roff). Read it with: sentinel manual | man -l -"""
    print(render())


def render() -> str:
    from sentinel import __version__
    from sentinel.cli import COMMANDS, EXIT_CODES, LazyGroup

    group = LazyGroup(name="sentinel")
    lines = [
        f'.TH SENTINEL 1 "" "sentinel {__version__}" "Sentinel"',
        ".SH NAME\nsentinel \\- security operations sidecar",
        ".SH SYNOPSIS\n.B sentinel\nCOMMAND [OPTIONS] [ARGUMENTS]",
        (
            ".SH DESCRIPTION\nWatches traffic (Suricata rules) and logs (Sigma rules), keeps an nftables policy in place, backs up in "
            "the restic format, rehearses restores, and exposes metrics."
        ),
        ".SH COMMANDS",
    ]
    for name, (_, text) in COMMANDS.items():
        lines += [
            f".SS sentinel {_roff(name)}",
            _roff(text),
            *_command(group.get_command(None, name), f"sentinel {name}"),
        ]
    lines += [
        ".SH EXIT STATUS",
        _roff(EXIT_CODES.removeprefix("Exit codes: ")),
        ".SH FILES",
        ".TP\n/etc/sentinel/sentinel.yml\nConfiguration; every command takes \\-\\-config FILE.",
        ".TP\n/etc/sentinel/policy.yml\nFirewall policy.",
        ".TP\n/var/lib/sentinel\nState, journals, ledger.",
    ]
    return "\n".join(lines)


def _command(command: Any, path: str) -> Iterator[str]:
    """Options of a command; the commands of a group, one level down."""
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        yield f".TP\n.B {_roff(path)} {_roff(name)}\n{_roff(inner.help or '')}"
        yield from _options(inner)
    yield from _options(command)


def _options(command: Any) -> Iterator[str]:
    for parameter in command.params:
        text = getattr(parameter, "help", None) or ""
        names = ", ".join([*parameter.opts, *parameter.secondary_opts])
        hidden = getattr(parameter, "hidden", False) or parameter.name == "help"
        if parameter.opts[0].startswith("-") and not hidden:
            yield f".RS\n.TP\n.B {_roff(names)}\n{_roff(text)}\n.RE"


def _roff(text: str) -> str:
    """Plain text for roff: hyphens that are to be typed, backslashes, no line that begins with a control character."""
    one_line = re.sub(r"\s+", " ", text).strip()
    return one_line.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
