"""Scores of addresses by category, for iprep: Suricata's categories file and reputation lists.

In: `id,short name,description` lines, and `address or network,category id,score` lines (0-127). Out: a score, or -1
where nothing is known. A list is read whole at load; a reload reads it anew. An address that is listed itself is judged
by its own lines alone (0 in a category they do not name), any other by the smallest network around it.
"""

from __future__ import annotations

import ipaddress
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel.errors import InvalidInputError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

UNKNOWN = -1
HIGHEST_SCORE = 127
CATEGORY_LIMIT = 60  # Suricata's SREP_MAX_CATS

log = logging.getLogger(__name__)


class Reputation:
    def __init__(self, categories: Mapping[str, int]) -> None:
        self.categories = dict(categories)
        self._hosts: dict[bytes, dict[int, int]] = {}
        self._networks: dict[int, dict[tuple[int, int, int], int]] = {}  # category -> (size, prefix, bits)
        self._prefixes: dict[tuple[int, int], list[int]] = {}  # (category, size) -> lengths, longest first

    def add(self, text: str, category: int, score: int) -> None:
        network = ipaddress.ip_network(text, strict=False)
        packed, size = network.network_address.packed, network.max_prefixlen
        if network.prefixlen == size:
            self._hosts.setdefault(packed, {})[category] = score
            return
        key = (size, network.prefixlen, int.from_bytes(packed) >> (size - network.prefixlen))
        self._networks.setdefault(category, {})[key] = score
        lengths = self._prefixes.setdefault((category, size), [])
        if network.prefixlen not in lengths:
            lengths.append(network.prefixlen)
            lengths.sort(reverse=True)

    def score(self, name: str, address: bytes) -> int:
        category = self.categories.get(name, UNKNOWN)
        own = self._hosts.get(address)
        if own is not None:
            return own.get(category, 0)
        size = len(address) * 8
        number = int.from_bytes(address)
        for length in self._prefixes.get((category, size), ()):
            found = self._networks[category].get((size, length, number >> (size - length)))
            if found is not None:
                return found
        return UNKNOWN

    def __len__(self) -> int:
        return len(self._hosts) + sum(map(len, self._networks.values()))


def reputation_of(options: Mapping[str, str]) -> Reputation:
    """From Suricata's names: reputation-categories-file, default-reputation-path, reputation-files.0, .1 ..."""
    file = options.get("reputation-categories-file")
    found = Reputation(read_categories(Path(file)) if file else {})
    folder = Path(options.get("default-reputation-path", ""))
    for key, name in options.items():
        if key.startswith("reputation-files."):
            problems = list(_fill(found, folder / name))
            for problem in problems[:20]:
                log.warning("%s", problem)
    return found


def read_categories(path: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    problems = []
    for number, line in _lines(path):
        fields = [field.strip() for field in line.split(",", 2)]
        if len(fields) < 2 or not fields[0].isdigit() or not 0 < int(fields[0]) < CATEGORY_LIMIT:
            problems.append(Problem(str(path), number, "expected: number below 60, short name, description"))
        else:
            found[fields[1]] = int(fields[0])
    if problems:
        raise InvalidInputError(problems)
    return found


def _fill(found: Reputation, path: Path) -> Iterable[Problem]:
    known = set(found.categories.values())
    for number, line in _lines(path):
        try:
            address, category, score = (field.strip() for field in line.split(","))
            if int(category) not in known or not 0 <= int(score) <= HIGHEST_SCORE:
                raise ValueError
            found.add(address, int(category), int(score))
        except ValueError:
            yield Problem(str(path), number, "expected: address or network, known category, score up to 127")


def _lines(path: Path) -> Iterable[tuple[int, str]]:
    try:
        text = path.read_text("utf-8", "replace")
    except OSError as error:
        raise InvalidInputError([Problem(str(path), 0, error.strerror or "cannot be read")]) from None
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.partition("#")[0].strip()
        if line:
            yield number, line
