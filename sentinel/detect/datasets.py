"""Named sets of strings, hashes or addresses that rules test, fill and empty (dataset, datarep).

A set's file has one member a line: base64 for strings, hexadecimal for hashes, text for addresses; datarep adds a
comma and a number. Sets are bounded; what does not fit is counted. Sets with `save` or `state` are written below the data
directory; without one they are only remembered.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
from typing import TYPE_CHECKING

from sentinel import metrics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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


_WRITERS: dict[str, Callable[[bytes], str]] = {
    "string": lambda data: base64.b64encode(data).decode(),
    "md5": bytes.hex,
    "sha256": bytes.hex,
    **dict.fromkeys(("ipv4", "ipv6", "ip"), lambda data: str(ipaddress.ip_address(data))),
    "": lambda data: base64.b64encode(data).decode(),
}


class DataSets:
    """All sets of the rules in force. `before` are those of the rules until now: what they learned stays."""

    def __init__(self, folder: Path | None = None, before: DataSets | None = None) -> None:
        self.folder = folder
        self.members: dict[str, dict[bytes, int]] = {}
        self._kinds: dict[str, str] = {}
        self._saved: dict[str, str] = {}
        self._before = before.members if before is not None else {}
        self._written: dict[str, int] = {}  # hash of what was written last

    def load(self, name: str, kind: str, file: Path | None, save: str = "") -> None:
        """ValueError for a file that is not there or does not hold such members."""
        if name in self.members:
            return
        self._kinds[name] = kind
        if save:
            self._saved[name] = save
        if name in self._before and (save or file is None):
            self.members[name] = self._before[name]
            return
        own = self.folder / save if save and self.folder is not None else None
        path = own if own is not None and own.is_file() else file
        self.members[name] = _read(path, kind) if path is not None and path.is_file() else {}

    def save(self) -> None:
        """Write every set that is to be kept and has changed; each file by one rename."""
        for name, file in self._saved.items():
            if self.folder is None:
                return
            write = _WRITERS[self._kinds[name]]
            lines = [
                f"{write(data)},{value}" if value else write(data)
                for data, value in self.members[name].items()
            ]
            changed = hash(tuple(lines))
            if self._written.get(name) == changed:
                continue
            path = self.folder / file
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            partial = path.with_name(path.name + ".new")
            partial.write_text("".join(line + "\n" for line in lines))
            partial.replace(path)
            self._written[name] = changed

    def match(self, match: InSet, data: bytes) -> bool:
        kind = self._kinds.get(match.name) or match.kind
        members = self.members.setdefault(match.name, {})
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


def _read(path: Path, kind: str) -> dict[bytes, int]:
    members: dict[bytes, int] = {}
    for number, line in enumerate(path.read_text("latin-1").splitlines(), 1):
        text, _, value = line.strip().partition(",")
        if not text:
            continue
        try:
            members[_READERS[kind](text)] = int(value or 0)
        except (ValueError, binascii.Error):
            raise ValueError(f"{path}:{number}: not a member of a set of type {kind or 'string'}") from None
    return members
