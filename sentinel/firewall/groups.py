"""Groups of a policy: entries (address, network, range, DNS name, file, other group) -> merged intervals and names.

A word with a dot that is no address is a DNS name; `file:PATH` reads one entry a line (# starts a comment); any
other word is a group. Files may be large (100,000 lines), so reading one avoids a node or an object per line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from sentinel.firewall import intervals
from sentinel.yamlfile import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sentinel.firewall.intervals import Interval

NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}", re.IGNORECASE)
DNS_NAME = re.compile(
    r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?\.?", re.IGNORECASE
)
LARGEST_FILE_BYTES = 256 * 1024 * 1024


class GroupEntry(Settings):
    """An entry that ends by itself, or a file of entries."""

    address: str | None = None
    file: str | None = None
    until: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Addresses:
    """What a group or a rule's scope comes to; `names` are DNS names still to be answered."""

    v4: tuple[Interval, ...] = ()
    v6: tuple[Interval, ...] = ()
    names: tuple[str, ...] = ()

    def of(self, family: int) -> tuple[Interval, ...]:
        return self.v4 if family == 4 else self.v6

    def answered(self, answers: Mapping[str, Sequence[str]]) -> Addresses:
        """With the addresses that the names have now."""
        entries: dict[int, list[Interval]] = {4: [], 6: []}
        for name in self.names:
            for text in answers.get(name, ()):
                family, number = intervals.parse_address(text)
                entries[family].append((number, number, None))
        v4 = intervals.merge([*self.v4, *entries[4]]) if entries[4] else self.v4
        v6 = intervals.merge([*self.v6, *entries[6]]) if entries[6] else self.v6
        return Addresses(v4, v6, self.names)


class Report(Protocol):
    def __call__(self, message: str, *place: int | str, path: str = "", line: int = 0) -> None: ...


class _Collected:
    def __init__(self) -> None:
        self.entries: dict[int, list[Interval]] = {4: [], 6: []}
        self.names: dict[str, None] = {}

    def add(self, addresses: Addresses, until: int | None = None) -> None:
        for family in (4, 6):
            self.entries[family] += [
                (first, last, _earlier(end, until)) for first, last, end in addresses.of(family)
            ]
        self.names |= dict.fromkeys(addresses.names)

    def result(self) -> Addresses:
        v4, v6 = (intervals.merge(self.entries[family]) for family in (4, 6))
        return Addresses(v4, v6, tuple(sorted(self.names)))


class Book:
    """All groups of one policy, resolved once each; a group that contains itself is a problem."""

    def __init__(
        self, groups: Mapping[str, Sequence[str | GroupEntry]], folder: Path, report: Report
    ) -> None:
        self._groups, self._folder, self._report = groups, folder, report
        self._done: dict[str, Addresses] = {}
        self._open: list[str] = []
        self.names: set[str] = set()

    def resolve_all(self) -> dict[str, Addresses]:
        for name in self._groups:
            if not NAME.fullmatch(name):
                self._report(f"{name!r} is not a group name (letters, digits, - and _)", "groups", name)
        return {name: self._group(name) for name in self._groups}

    def addresses(self, words: Sequence[str | GroupEntry], *place: int | str) -> Addresses:
        only = words[0] if len(words) == 1 else None
        if isinstance(only, str) and only in self._groups and only not in self._open:
            return self._group(only)
        collected = _Collected()
        for index, word in enumerate(words):
            self._entry(word, collected, (*place, index))
        result = collected.result()
        self.names |= set(result.names)
        return result

    def _group(self, name: str) -> Addresses:
        if name not in self._done:
            self._open.append(name)
            self._done[name] = self.addresses(self._groups[name], "groups", name)
            self._open.pop()
        return self._done[name]

    def _entry(self, entry: str | GroupEntry, collected: _Collected, place: tuple[int | str, ...]) -> None:
        if isinstance(entry, str):
            self._word(entry, None, collected, place)
            return
        until = nanoseconds(entry.until)
        if (entry.address is None) == (entry.file is None):
            self._report("an entry needs exactly one of 'address' and 'file'", *place)
        elif entry.file is not None:
            self._file(entry.file, until, collected, place)
        elif entry.address is not None:
            self._word(entry.address, until, collected, place)

    def _word(
        self, word: str, until: int | None, collected: _Collected, place: tuple[int | str, ...]
    ) -> None:
        if word.startswith("file:"):
            self._file(word.removeprefix("file:"), until, collected, place)
        elif word in self._groups:
            if word in self._open:
                self._report(f"group {word!r} contains itself: {' -> '.join([*self._open, word])}", *place)
            else:
                collected.add(self._group(word), until)
        else:
            try:
                self._address(word, until, collected)
            except ValueError as error:
                self._report(str(error), *place)

    def _address(self, word: str, until: int | None, collected: _Collected) -> None:
        try:
            family, first, last = intervals.parse(word)
        except ValueError:
            if NAME.fullmatch(word):
                raise ValueError(f"unknown group {word!r}") from None
            if not DNS_NAME.fullmatch(word):
                raise
            if until is not None:
                raise ValueError(f"{word!r}: a DNS name cannot have 'until'; put it on the rule") from None
            collected.names[word.rstrip(".").lower()] = None
        else:
            collected.entries[family].append((first, last, until))

    def _file(
        self, name: str, until: int | None, collected: _Collected, place: tuple[int | str, ...]
    ) -> None:
        path = self._folder / name
        try:
            if path.stat().st_size > LARGEST_FILE_BYTES:
                self._report(f"{path}: larger than {LARGEST_FILE_BYTES} bytes", *place)
                return
            lines = path.read_text(encoding="utf-8").split("\n")
        except OSError as error:
            self._report(f"{path}: {error.strerror}", *place)
            return
        except UnicodeDecodeError as error:
            self._report(f"{path}: not UTF-8 (byte {error.start})", *place)
            return
        for number, line in enumerate(lines, 1):
            word = line.partition("#")[0].strip()
            if word:
                try:
                    self._address(word, until, collected)
                except ValueError as error:
                    self._report(str(error), path=str(path), line=number)


def nanoseconds(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(aware.timestamp()) * 1_000_000_000 + aware.microsecond * 1_000


def _earlier(one: int | None, other: int | None) -> int | None:
    ends = [end for end in (one, other) if end is not None]
    return min(ends, default=None)
