"""A database's own client, kept open: SQL goes in, every row of an answer is one JSON value on a line of its own.

In: the client's command line and the statement that makes it print END. Out: a session to ask; its transaction and locks
live as long as the context. Invariant: a client that ends early never looks like an empty answer: leaving the context
raises what it said.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import IO, TYPE_CHECKING, Any

from sentinel import process
from sentinel.errors import ProgramError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

END = "-- sentinel: end of answer --"


class _EndedError(Exception):
    """The client exited while we talked to it."""


class Session:
    def __init__(self, questions: IO[bytes], answers: IO[bytes], mark: str) -> None:
        self.questions = questions
        self.answers = answers
        self.mark = mark  # what makes the client print END

    def ask(self, sql: str) -> list[Any]:
        try:
            self.questions.write(f"{sql}\n{self.mark}\n".encode())
            self.questions.flush()
        except BrokenPipeError:
            raise _EndedError from None
        rows: list[Any] = []
        for line in self.answers:
            text = line.decode("utf-8", "surrogateescape").rstrip("\n")
            if text == END:
                return rows
            if text:
                rows.append(json.loads(text))
        raise _EndedError


@contextlib.contextmanager
def session(
    command: list[str], mark: str, first: str, *, env: Mapping[str, str] | None = None
) -> Iterator[Session]:
    """One client; `first` is what every session begins with."""
    reading, writing = os.pipe()
    with (
        os.fdopen(reading, "rb") as theirs,
        os.fdopen(writing, "wb") as ours,
        process.stream(command, stdin=theirs, env=env) as answers,
    ):
        theirs.close()
        opened = Session(ours, answers, mark)
        # When the client exits early, the body ends here and leaving `stream` raises what it said.
        with contextlib.suppress(_EndedError):
            opened.ask(first)
            yield opened
        with contextlib.suppress(BrokenPipeError):
            ours.close()
        answers.read()


@contextlib.contextmanager
def as_source_error(explain: Callable[[ProgramError], str]) -> Iterator[None]:
    try:
        yield
    except ProgramError as error:
        raise SourceError(explain(error)) from error
