"""LogParser: batches of log lines -> Columns under ECS names.

In: a Batch whose rows are lines (with their line ends). Out: Columns with one row per line, also for lines that the
format does not match (`parsed` is False there). Fields are computed when a rule asks for them. A line without a
readable time has the time of the line before. Nothing here raises on the content of a line.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

import numpy as np

from sentinel.model import Columns
from sentinel.protocol.logs import template
from sentinel.protocol.logs.clock import Clock
from sentinel.protocol.logs.formats import FORMATS, SYSLOG
from sentinel.protocol.logs.guess import guess
from sentinel.protocol.logs.lines import NO_TIME, Lines
from sentinel.protocol.logs.syslog import SyslogReader
from sentinel.protocol.logs.w3c import W3cReader

if TYPE_CHECKING:
    from datetime import tzinfo

    from numpy.typing import NDArray

    from sentinel.model import Batch, Column
    from sentinel.protocol.logs.formats import Reader
    from sentinel.protocol.logs.lines import Table


AUTO = "auto"


def reader(log_format: str) -> Reader:
    """What reads a format; UnknownLogFormatError when it is neither a name nor a format string."""
    if log_format == "iis-w3c":
        return W3cReader()
    if log_format in SYSLOG:
        return SyslogReader()
    if log_format in FORMATS:
        return FORMATS[log_format]
    return template.reader(log_format)


class LogParser:
    """One per source: it remembers the time of the last line and what `auto` found."""

    def __init__(self, log_format: str = AUTO, *, zone: tzinfo = UTC) -> None:
        self.format = log_format
        self.clock = Clock(zone)
        self._read = reader(log_format) if log_format != AUTO else None
        self._last = 0

    def parse(self, batch: Batch) -> Columns:
        lines = Lines.of(batch)
        if self._read is None:
            self.format = guess(lines)
            self._read = reader(self.format)
        table = self._read(lines, self.clock)
        rows = len(lines)
        return Columns(
            rows=rows,
            source=batch.source,
            times=self._filled(table.times),
            numbers=np.arange(batch.first, batch.first + rows, dtype=np.int64),
            columns={"event.original": lines.whole()},
            kind=self.format,
            derive=_Fields(table),
            parsed=table.parsed,
        )

    def _filled(self, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows without a time take that of the row before."""
        known = times != NO_TIME
        if known.all():
            filled = times
        else:
            place = np.where(known, np.arange(len(times)), -1)
            np.maximum.accumulate(place, out=place)
            filled = np.where(place >= 0, times[place], self._last)
        if len(filled):
            self._last = int(filled[-1])
        return filled


class _Fields:
    """Columns.derive of a table; knows the names that `sentinel parse` prints."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def __call__(self, columns: Columns, name: str) -> Column | None:
        return self.table.column(name)


def names(columns: Columns) -> list[str]:
    """The fields that these rows have, as the format wrote them."""
    derive = columns.derive
    return list(derive.table.names()) if isinstance(derive, _Fields) else list(columns.columns)
