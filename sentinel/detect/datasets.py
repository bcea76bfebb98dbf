"""Named sets of strings, hashes or addresses that rules test, fill and empty (dataset, datarep).

A set's file has one member a line: base64 for strings, hexadecimal for hashes, text for addresses; datarep adds a
comma and a number. Sets are bounded; what does not fit is counted.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sentinel.detect.rule import InSet

MEMBER_LIMIT = 2_000_000  # of one set


def _address(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


def _any_address(text: str) -> bytes:
    """An IPv4 address mapped into IPv6 is that IPv4 address."""
    address = ipaddress.ip_address(text)
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped.packed if mapped is not None else address.packed


_READERS: dict[str, Callable[[str], bytes]] = {
    "string": lambda text: base64.b64decode(text, validate=True),
    "md5": bytes.fromhex,
    "sha256": bytes.fromhex,
    "ipv4": _address,
    "ipv6": _any_address,
    "ip": _any_address,
    "": lambda text: base64.b64decode(text, validate=True),
}


def member(kind: str, data: bytes) -> bytes:
    """What a buffer is in a set of this type."""
    if kind == "md5" and len(data) != 16:
        return hashlib.md5(data, usedforsecurity=False).digest()
    if kind == "sha256" and len(data) != 32:
        return hashlib.sha256(data).digest()
    return data


class DataSets:
    def __init__(self) -> None:
        self._sets: dict[str, dict[bytes, int]] = {}
        self._kinds: dict[str, str] = {}

    def load(self, name: str, kind: str, file: str) -> None:
        """ValueError for a file that is not there or does not hold such members."""
        if name in self._sets:
            return
        self._kinds[name] = kind
        members = self._sets[name] = {}
        if not file:
            return
        path = Path(file)
        if not path.is_file():
            return  # a state file that is yet to be written
        for number, line in enumerate(path.read_text("latin-1").splitlines(), 1):
            text, _, value = line.strip().partition(",")
            if not text:
                continue
            try:
                members[_READERS[kind](text)] = int(value or 0)
            except (ValueError, binascii.Error):
                raise ValueError(
                    f"{path}:{number}: not a member of a set of type {kind or 'string'}"
                ) from None

    def load_all(self, wanted: Iterable[tuple[str, str, str]]) -> None:
        for name, kind, file in wanted:
            self.load(name, kind, file)

    def match(self, match: InSet, data: bytes) -> bool:
        kind = self._kinds.get(match.name) or match.kind
        members = self._sets.setdefault(match.name, {})
        key = member(kind, data)
        if match.command == "isset":
            return key in members
        if match.command == "isnotset":
            return key not in members
        if match.command == "set":
            if key in members:
                return False
            if len(members) >= MEMBER_LIMIT:
                metrics.detect_evictions.inc(table="data_set")
                return False
            members[key] = 0
            return True
        if match.command == "unset":
            return members.pop(key, None) is not None
        score = members.get(key)
        if score is None:
            return False
        return {"<": score < match.value, ">": score > match.value, "=": score == match.value}[match.operator]
