r"""The request as a shell reads it: what a shell drops from words is dropped, so that `c''a\t /etc/pas$@swd` is a command.

In: the logged target and its decoded form. Out: a column that is present only in the rows where dropping changes
something. Dropped: quotes and backslashes (POSIX shell, 2.2), the caret of cmd.exe, parameters that are empty in a
fresh shell ($@ $* $1 ...), empty substitutions; $IFS becomes the space it stands for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from sentinel.model import Column

if TYPE_CHECKING:
    from sentinel.model import Columns

TARGET = "url.original"
LONGEST = 8 * 1024  # bytes of a target that are read
_DISGUISE = re.compile(rb"['\"\\^]|\$[@*1-9!_-]|\$\{?IFS|`\s*`|\$\(\s*\)")
_SPACE = re.compile(rb"\$\{IFS[^}]{0,20}\}|\$IFS(?:\$\d)?")
_NOTHING = re.compile(rb"['\"\\^]|\$(?:[@*1-9!_-]|\{[@*1-9]\})|`\s*`|\$\(\s*\)")


def command(columns: Columns) -> Column | None:
    logged = columns.column(TARGET)
    if logged is None:
        return None
    logged, decoded = logged.packed(), columns.column(TARGET + "|decoded")
    values: list[bytes | None] = [None] * columns.rows
    some = False
    for row in _suspects(columns, logged, decoded):
        value = decoded.get(row) if decoded is not None else None
        if value is None:
            value = logged.get(row)
        if value is not None and _DISGUISE.search(value, 0, LONGEST):
            values[row] = plain(value)
            some = True
    return Column.of(values) if some else None


def _suspects(columns: Columns, logged: Column, decoded: Column | None) -> list[int]:
    """Rows whose target changed by decoding, and those that were logged with a disguise as it is."""
    rows = (
        set() if decoded is None or decoded.present is None else set(np.flatnonzero(decoded.present).tolist())
    )
    if any(mark in logged.data for mark in (b"'", b"\\", b"^", b"$", b"`")):
        starts, ends = logged.offsets[:-1], logged.offsets[1:]
        marks = np.flatnonzero(np.frombuffer(logged.data.translate(_MARKS), np.bool_))
        rows.update(np.flatnonzero(np.searchsorted(marks, ends) > np.searchsorted(marks, starts)).tolist())
    return sorted(row for row in rows if row < columns.rows)


_MARKS = bytes(byte in b"'\"\\^$`" for byte in range(256))


def plain(value: bytes) -> bytes:
    """The value without what a shell drops."""
    return _NOTHING.sub(b"", _SPACE.sub(b" ", value[:LONGEST]))
