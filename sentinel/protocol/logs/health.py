"""Does a log's format still fit: the share of lines it parses now against before.

In: Columns of each batch. Out: True once when a format that used to fit stops fitting (an upgrade changed the log, or
another program writes to it), and once when it never fitted at all. Rules on fields are blind then, without a sound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentinel.model import Columns

WINDOW = 200  # lines looked at together; a few torn or foreign lines are no change of format
BROKEN_BELOW = 0.5
MENDED_ABOVE = 0.9


@dataclass(slots=True)
class FormatHealth:
    """One per log. `broken` is the present verdict."""

    lines: int = 0
    fitting: int = 0
    broken: bool = False

    def observe(self, columns: Columns) -> bool | None:
        """True when the format stopped fitting, False when it fits again, None when nothing changed."""
        self.lines += columns.rows
        self.fitting += columns.rows if columns.parsed is None else int(columns.parsed.sum())
        if self.lines < WINDOW:
            return None
        share = self.fitting / self.lines
        self.lines = self.fitting = 0
        broken = share < BROKEN_BELOW or (self.broken and share < MENDED_ABOVE)
        if broken == self.broken:
            return None
        self.broken = broken
        return broken
