"""playbooks/*.yml -> Playbook: steps with check, run, confirm, verify, rollback and wait.

In: YAML an operator may have written. Out: frozen models, or every problem at once as path:line. Invariants: a command
is a program with arguments, never a shell line, so a parameter's value cannot become a command; each `{name}` is a
parameter or a known fact; nothing in a file can approve a step (approval comes from a person at run time).
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel import yamlfile
from sentinel.errors import InvalidInputError, Problem, UsageError
from sentinel.playbook.facts import FACTS
from sentinel.playbook.settings import Playbook

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sentinel.backup.settings import BackupSettings

PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
SHIPPED = (
    Path(__file__).parents[1] / "data" / "playbooks",  # in the wheel
    Path(__file__).parents[2] / "playbooks",  # in a checkout
)
OWN = Path("/etc/sentinel/playbooks")
APPROVING_WORDS = ("--approve", "--approved-by")


def load(path: Path) -> Playbook:
    text = yamlfile.read(path)
    playbook = yamlfile.parse(text, Playbook, str(path))
    root = yamlfile.compose(text, str(path))
    problems = [
        Problem(str(path), yamlfile.line_of(root, place), message) for place, message in _mistakes(playbook)
    ]
    if playbook.name != path.stem:
        problems.append(
            Problem(str(path), yamlfile.line_of(root, ("name",)), "name and file name must be the same")
        )
    if problems:
        raise InvalidInputError(problems)
    return playbook


def _mistakes(playbook: Playbook) -> Iterator[tuple[tuple[str | int, ...], str]]:
    known = {*FACTS, *playbook.parameters}
    for name, parameter in playbook.parameters.items():
        for key in ("default", "sandbox"):
            for word in PLACEHOLDER.findall(getattr(parameter, key) or ""):
                if word not in FACTS:
                    yield (
                        ("parameters", name, key),
                        f"{{{word}}} is not a fact (see `sentinel playbook facts`)",
                    )
    seen: set[str] = set()
    for index, step in enumerate(playbook.steps):
        place = ("steps", index)
        if step.step in seen:
            yield (*place, "step"), f"there are two steps {step.step!r}"
        seen.add(step.step)
        for inner, text in step.texts():
            for word in PLACEHOLDER.findall(text):
                if word not in known:
                    yield (*place, *inner), f"{{{word}}} is neither a parameter nor a fact"
        for inner, command in step.commands():
            message = _command_mistake(command)
            if message:
                yield (*place, *inner), message


def _command_mistake(command: str) -> str:
    try:
        words = shlex.split(command)
    except ValueError as error:
        return f"not a command line: {error}"
    if not words:
        return "an empty command"
    if any(word.startswith(APPROVING_WORDS) for word in words):
        return "a playbook cannot approve: approval is given by a person at run time"
    return ""


def argv(command: str, values: Mapping[str, str]) -> list[str]:
    """Split first, fill in afterwards: a value with blanks or quotes stays one argument."""
    return [fill(word, values) for word in shlex.split(command)]


def fill(text: str, values: Mapping[str, str]) -> str:
    return PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)


def check(settings: BackupSettings, config: str) -> list[Problem]:
    """What is wrong with the playbooks that the jobs' drills name."""
    problems: list[Problem] = []
    for name, job in settings.jobs.items():
        if job.drill is None:
            continue
        try:
            load(find(job.drill.playbook, settings.playbooks))
        except UsageError as error:
            problems.append(Problem(config, 0, f"jobs.{name}.drill.playbook: {error}"))
        except InvalidInputError as error:
            problems += error.problems
    return problems


# --- finding ------------------------------------------------------------------------------------------------


def folders(own: Sequence[Path] = ()) -> list[Path]:
    """Where playbooks are looked for: the configured folders, /etc/sentinel/playbooks, the shipped ones."""
    return [folder for folder in (*own, OWN, *SHIPPED) if folder.is_dir()]


def available(own: Sequence[Path] = ()) -> dict[str, Path]:
    """By name; an operator's own playbook hides a shipped one of the same name."""
    found: dict[str, Path] = {}
    for folder in folders(own):
        for path in sorted(folder.glob("*.yml")):
            found.setdefault(path.stem, path)
    return found


def find(name: str, own: Sequence[Path] = ()) -> Path:
    """A playbook by name, or by path when `name` looks like one."""
    if "/" in name or name.endswith((".yml", ".yaml")):
        return Path(name)
    known = available(own)
    if name not in known:
        raise UsageError(f"there is no playbook {name!r}; known are: {', '.join(sorted(known)) or 'none'}")
    return known[name]
