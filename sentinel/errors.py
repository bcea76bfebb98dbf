"""Every exception Sentinel raises on purpose, with the exit code it gives the process.

    SentinelError                 1   something failed; the message is for the user
    ├── InvalidInputError         2   configuration, rule, policy or playbook: a list of located problems
    ├── UsageError                2   the command line asks for something that does not exist
    ├── CapabilityError           1   a privilege, program or kernel feature is missing; says how to grant it
    ├── ProgramError              1   a program we ran failed; keeps its stderr
    ├── FirewallError             1   the kernel refused a ruleset, or applying would lock somebody out
    ├── PlaybookError             1   a step failed; names it
    ├── UnknownLogFormatError    64   `replay` and `parse`: this log format is not known
    ├── SourceError               1   a backup source is missing or failed
    ├── StoreError                1   a directory or an S3 endpoint failed after all retries
    └── RepositoryError           1   a repository is damaged or refuses the operation
        ├── IncompleteError       3   the snapshot was written but some files could not be read
        ├── NoRepositoryError    10   there is no repository at that place
        ├── LockedError          11   another process holds the lock
        └── WrongPasswordError   12   no key of the repository opens with this password

Exit codes 3, 10, 11 and 12 are restic's. Hostile traffic and log lines never raise: they are data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class SentinelError(Exception):
    """Base of all; its text is shown to the user without a traceback."""

    exit_code = 1


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One finding in a file an operator wrote; `line` is 1-based, 0 when it concerns the whole file."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}" if self.line else f"{self.path}: {self.message}"


class InvalidInputError(SentinelError):
    """All problems of one load at once, so that an operator mends a file in one go."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(problems)
        super().__init__("\n".join(map(str, self.problems)))


class UsageError(SentinelError):
    exit_code = 2


class CapabilityError(SentinelError):
    pass


class ProgramError(SentinelError):
    """A program exited non-zero, timed out or is not installed; `stderr` is its last output."""

    def __init__(self, message: str, *, returncode: int | None = None, stderr: str = "") -> None:
        super().__init__(message)
        self.returncode = returncode
        self.stderr = stderr


class FirewallError(SentinelError):
    pass


class PlaybookError(SentinelError):
    pass


class UnknownLogFormatError(SentinelError):
    exit_code = 64


class SourceError(SentinelError):
    pass


class StoreError(SentinelError):
    pass


class RepositoryError(SentinelError):
    pass


class IncompleteError(RepositoryError):
    exit_code = 3


class NoRepositoryError(RepositoryError):
    exit_code = 10


class LockedError(RepositoryError):
    exit_code = 11


class WrongPasswordError(RepositoryError):
    exit_code = 12
