"""What a playbook file may say.

A command is a program with its arguments, filled in after it was split, so that no value can become a command.
There is deliberately no key that approves a step: that is a person's word at run time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, StrictStr, model_validator

from sentinel.backup.settings import Duration, Name
from sentinel.yamlfile import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

Command = Annotated[StrictStr, Field(min_length=1)]


class Parameter(Settings):
    """`sandbox` replaces the default when the playbook runs in a sandbox; without any default it must be given."""

    about: str
    default: StrictStr | None = None
    sandbox: StrictStr | None = None


class Wait(Settings):
    """Repeat a command until it succeeds."""

    until: Command
    timeout: Duration = 60.0
    every: Annotated[Duration, Field(ge=0.05)] = 1.0


class Step(Settings):
    """`check` succeeding means that the step is done already; `confirm` is the question a person must approve.

    `by_hand` is what to type when Sentinel itself is broken; without it the `run` lines are shown.
    """

    step: Name
    title: str = Field(min_length=1)
    note: str = ""
    only: Literal["real", "sandbox"] | None = None
    check: list[Command] = []
    confirm: Annotated[StrictStr, Field(min_length=10)] | None = None
    run: list[Command] = []
    wait: Wait | None = None
    verify: list[Command] = []
    rollback: list[Command] = []
    by_hand: list[Command] = []
    timeout: Annotated[Duration, Field(gt=0)] = 3600.0

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not (self.run or self.confirm or self.verify or self.wait):
            raise ValueError("a step needs one of run, confirm, verify and wait")
        return self

    def commands(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Every command line with its place in the step."""
        for part in ("check", "run", "verify", "rollback"):
            for index, command in enumerate(getattr(self, part)):
                yield (part, index), command
        if self.wait:
            yield ("wait", "until"), self.wait.until

    def texts(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        yield from self.commands()
        yield from ((("by_hand", index), line) for index, line in enumerate(self.by_hand))
        yield ("title",), self.title
        yield ("note",), self.note
        if self.confirm:
            yield ("confirm",), self.confirm


class Playbook(Settings):
    """One file. `sandbox` names the server that its sandbox needs beside a scratch directory."""

    name: Name
    title: str
    when: str
    sandbox: Literal["directory", "postgresql", "mariadb", "redis"] = "directory"
    parameters: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], Parameter] = {}
    steps: list[Step] = Field(min_length=1)

    def step_names(self) -> list[str]:
        return [step.step for step in self.steps]
