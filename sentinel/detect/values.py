"""Keywords that compare what a parser found: numbers, words, flag names, files, events.

In: the value the transaction holds under the keyword's name, the transaction, and the keyword's arguments. Out: yes
or no. A list of values satisfies a keyword when one of them does.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from sentinel.detect.arguments import Comparison, compare
from sentinel.detect.filemagic import description

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.model import File, Transaction


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _word(value: Any, negated: bool, wanted: str) -> bool:
    return (_text(value).lower() == wanted) is not negated


def _names(value: Any) -> set[str]:
    if isinstance(value, str):
        return set(value.split(","))
    return {_text(item) for item in value} if isinstance(value, (set, frozenset, list, tuple)) else set()


def _flags(value: Any, *wanted: tuple[bool, str]) -> bool:
    """A list holds the flags of several messages: one of them must have them all."""
    if isinstance(value, list):
        return any(_flags(each, *wanted) for each in value)
    present = _names(value)
    return all((name in present) is not negated for negated, name in wanted)


def _states(value: Any, *wanted: tuple[bool, str]) -> bool:
    """As Suricata computes it: (state & listed) ^ negated."""
    return bool({_text(value)} & {name for _, name in wanted} ^ {name for negated, name in wanted if negated})


def _versions(value: Any, *wanted: tuple[bool, int]) -> bool:
    """A negated version never matches, as in Suricata."""
    return any(value == version and not negated for negated, version in wanted)


def _setting(value: Any, number: int, wanted: Comparison | None) -> bool:
    found, size = value
    return bool(found == number and (wanted is None or compare(size, wanted)))


def _interface(value: Any, uuid: str, wanted: Comparison | None) -> bool:
    name, version = value if isinstance(value, tuple) else (value, 0)
    return _text(name).lower() == uuid and (wanted is None or compare(version, wanted))


SCALARS: dict[str, Callable[..., bool]] = {
    "compare": lambda value, wanted: isinstance(value, int) and compare(value, wanted),
    "among": lambda value, *numbers: value in numbers,
    "none": lambda value, *numbers: value not in numbers,
    "word": _word,
    "versions": _versions,
    "setting": _setting,
    "pair": lambda value, name, number: value == (name, number),
    "interface": _interface,
    "ranges": lambda value, *ranges: any(low <= value <= high for low, high in ranges),
    "between": lambda value, low, high: low <= value <= high,
    "true": bool,
}
WHOLES: dict[str, Callable[..., bool]] = {"flags": _flags, "states": _states}


def satisfied(value: Any, check: str, args: tuple[Any, ...]) -> bool:
    if check in WHOLES:
        return WHOLES[check](value, *args)
    test = SCALARS[check]
    if isinstance(value, list):
        return any(test(item, *args) for item in value)
    return test(value, *args)


# --- files -------------------------------------------------------------------------------------------------------
def _digest(file: File, name: str) -> bytes | None:
    if not file.closed or file.truncated or len(file.data) != file.size:
        return None
    return hashlib.new(name, file.data, usedforsecurity=False).digest()


def _hashed(name: str) -> Callable[..., bool]:
    def check(file: File, negated: bool, known: frozenset[bytes]) -> bool:
        found = _digest(file, name)
        return found is not None and (found in known) is not negated

    return check


def _extension(file: File, negated: bool, wanted: bytes) -> bool:
    return file.name.lower().endswith(b"." + wanted) is not negated


def _filename(file: File, negated: bool, wanted: bytes) -> bool:
    return (wanted in file.name.lower()) is not negated


def _size(file: File, wanted: Comparison) -> bool:
    """Less-than waits for the end of a file; greater-than need not."""
    if not file.closed and wanted[0] not in {">", ">="}:
        return False
    return compare(file.size, wanted)


def _magic(file: File, negated: bool, wanted: bytes) -> bool:
    found = description(file)
    return found is not None and (wanted in found.lower()) is not negated


FILE_CHECKS: dict[str, Callable[..., bool]] = {
    "filename": _filename,
    "fileext": _extension,
    "filemagic": _magic,
    "filesize": _size,
    "filestore": lambda _file: True,
    "filemd5": _hashed("md5"),
    "filesha1": _hashed("sha1"),
    "filesha256": _hashed("sha256"),
}


def file_satisfied(tx: Transaction, direction: int, checks: tuple[tuple[str, Any], ...]) -> bool:
    return any(
        all(FILE_CHECKS[kind](file, *args) for kind, *args in checks)
        for file in tx.files
        if file.direction == direction
    )
