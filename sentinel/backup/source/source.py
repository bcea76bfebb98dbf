"""What every backup source can do: probe, dump, load, measure.

In: settings of one job. Out: parts (named byte streams of one snapshot) and invariants that a restored copy must have.
Invariant: a dump that failed half way raises SourceError out of the part's stream, so no snapshot is written; a load
never touches the data it was dumped from unless `replace` says so. No password ever enters an argument list.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sentinel.backup.source.invariants import Invariants

INVARIANTS_PART = "/sentinel/invariants.json"

Opener = Callable[[str], AbstractContextManager[IO[bytes]]]
"""Opens one part of a snapshot by its path; SourceError when the snapshot has no such part."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a dump. `open` is called once, when the parts before it were read to their end."""

    path: str
    open: Callable[[], AbstractContextManager[IO[bytes]]]


class Source(Protocol):
    """A database that a job's settings (or a playbook's target) address."""

    @property
    def kind(self) -> str: ...

    def probe(self) -> str:
        """Whether the data is there and can be read, before anything is dumped. Raises SourceError; its address."""

    def address(self) -> str:
        """Name what is addressed, which need not exist: equal for two settings that reach the same data."""

    def dump(self) -> AbstractContextManager[list[Part]]:
        """The parts in order; the last is INVARIANTS_PART. Consistent with each other."""

    def load(self, parts: Opener, *, replace: bool) -> None:
        """Fill what is addressed from a dump. Refuses anything that is not empty unless `replace`."""

    def measure(self) -> Invariants: ...

    def ask(self, query: str) -> str:
        """The operator's own query; its whole output without the last line end."""


def bytes_part(path: str, make: Callable[[], bytes]) -> Part:
    """A small part whose content is known only when its turn comes."""

    @contextlib.contextmanager
    def opened() -> Iterator[IO[bytes]]:
        yield io.BytesIO(make())

    return Part(path, opened)
