"""The time a log line states -> nanoseconds since the epoch, UTC.

In: the text of a time in any of the shapes logs use, with or without zone, year or date separators. Out: an int, or
None. A time without a zone is in the log's zone (default UTC); of the two readings of a repeated hour (end of
DST) the one that does not run backwards is taken. A time without a year (RFC 3164) gets the year that brings it
nearest to the line before; the first line gets the last year in which it is not later than the reference (the
file's modification time, or now) plus a day. Never raises.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
BACKWARDS = 1_800 * SECOND  # a naive clock that falls back further than this has left DST
MONTHS = {
    name: i for i, name in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), start=1)
}
EPOCH = date(1970, 1, 1).toordinal()
LAST_ORDINAL = date(2262, 1, 1).toordinal()  # int64 nanoseconds end in 2262

_CLOCK = rb"(?P<h>\d{1,2}):(?P<m>\d\d):(?P<s>\d\d)(?:[.,](?P<f>\d{1,9})\d*)?"
_ZONE = rb"(?:\s?(?P<z>Z|UTC|GMT|[+-]\d\d:?\d\d|[+-]\d\d(?!\d)))?"
_MONTH = rb"(?P<mon>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_WEEKDAY = rb"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,?\s+)?"
SHAPES = tuple(
    re.compile(shape, re.IGNORECASE)
    for shape in (
        # 2025-02-27T07:14:47.545612+00:00, 2021/11/18 08:34:27, 2021-09-28 09:22:18.536 UTC, 2024-08-31:02:11:28
        rb"(?P<y>\d{4})[-/.](?P<mo>\d\d)[-/.](?P<d>\d\d)[T\s:_]\s?" + _CLOCK + _ZONE,
        # 08/Jun/2020:06:49:01 +0000, 19-Oct-2022 05:34:02.425, 22-Jan-2013 22:28:21 +0200, 12 Nov 2022 10:11:12
        rb"(?P<d>\d{1,2})[-/\s]" + _MONTH + rb"[a-z]*[-/\s,]+(?P<y>\d{4})[:\s,]+" + _CLOCK + _ZONE,
        # Wed Apr 16 16:09:40.056610 2025, Nov 13 10:59:46, Nov 13 2020 10:59:46, Jan  3 05:01:02.123 UTC
        _WEEKDAY
        + _MONTH
        + rb"[a-z]*\s+(?P<d>\d{1,2}),?\s+(?:(?P<y>\d{4}),?\s+)?"
        + _CLOCK
        + rb"(?:\s(?P<y2>(?:19|20)\d\d)(?!\d))?"
        + _ZONE,
        # 11/23/2026 08:01:02 (American), 23.11.2026 08:01:02 (European)
        rb"(?P<mo>\d\d)/(?P<d>\d\d)/(?P<y>\d{4})[\s,:-]+" + _CLOCK + rb"(?:\s(?P<ap>[AP]M))?" + _ZONE,
        rb"(?P<mo>\d\d)/(?P<d>\d\d)/(?P<yy>\d\d)\s+" + _CLOCK,
        rb"(?P<d>\d\d)\.(?P<mo>\d\d)\.(?P<y>\d{4})[\s,:]+" + _CLOCK + _ZONE,
        # 221128 14:49:17, 130324  0:04:00 (MySQL before 5.7); 20260302-08:00:00, 20260302T080000Z is rare
        rb"(?P<yy>\d\d)(?P<mo>\d\d)(?P<d>\d\d)\s+" + _CLOCK,
        rb"(?P<y>\d{4})(?P<mo>\d\d)(?P<d>\d\d)[-T\s](?P<h>\d\d):?(?P<m>\d\d):?(?P<s>\d\d)" + _ZONE,
    )
)
EPOCH_NUMBER = re.compile(
    rb"(\d{9,10})(?:\.(\d{1,9})\d*)?(?!\d)|(\d{13})(?!\d)|(\d{16})(?!\d)|(\d{19})(?!\d)"
)


@dataclass(slots=True)
class Clock:
    """Reads the times of one source, in order; remembers the last one."""

    zone: tzinfo = UTC
    reference: Callable[[], int] = lambda: int(datetime.now(UTC).timestamp()) * SECOND
    last: int | None = None
    _repeating: bool = False  # within an hour that DST repeats: in its second run
    _shape: re.Pattern[bytes] | None = None
    _text: bytes = b""  # what was read last: many lines share their second
    _time: int = 0

    def read(self, text: bytes, start: int = 0) -> int | None:
        """The time that `text` begins with at `start`."""
        found = self.match(text, start)
        return found[0] if found else None

    def match(self, text: bytes, start: int = 0) -> tuple[int, int] | None:
        """(time, where it ends), or None when no time begins at `start`."""
        if text[start : start + 9].isdigit():  # no date begins with so many
            return self._number(text, start)
        for shape in (self._shape, *SHAPES) if self._shape else SHAPES:
            found = shape.match(text, start)
            if found is not None:
                if found[0] == self._text and self.last == self._time:
                    return self._time, found.end()
                time = self._convert(found)
                if time is None:
                    return None
                self._shape = shape
                self.last = self._time = time
                self._text = found[0]
                return time, found.end()
        return self._number(text, start)

    def _number(self, text: bytes, start: int) -> tuple[int, int] | None:
        found = EPOCH_NUMBER.match(text, start)
        if found is None:
            return None
        seconds, fraction, milli, micro, nano = found.groups()
        if seconds:
            time = int(seconds) * SECOND + _fraction(fraction)
        else:
            time = int(milli or micro or nano) * (10**6 if milli else 10**3 if micro else 1)
        self.last = time
        return time, found.end()

    def _convert(self, found: re.Match[bytes]) -> int | None:
        part = found.groupdict()
        month = int(part["mo"]) if part.get("mo") else MONTHS[part["mon"].lower()]
        hour = int(part["h"])
        if part.get("ap"):
            hour = hour % 12 + (12 if part["ap"].lower() == b"pm" else 0)
        clock = hour * 3600 + int(part["m"]) * 60 + min(int(part["s"]), 59)  # a leap second is the one before
        nanos = _fraction(part.get("f"))
        year = part.get("y") or part.get("y2")
        if part.get("yy"):
            two = int(part["yy"])
            year = b"%d" % (two + (2000 if two < 70 else 1900))
        day = int(part["d"])
        if year is None:
            return self._without_year(month, day, clock, nanos)
        ordinal = _ordinal(int(year), month, day)
        if ordinal is None or clock >= 90_000:
            return None
        seconds = (ordinal - EPOCH) * 86_400 + clock
        zone = part.get("z")
        if zone:
            return (seconds - _offset(zone)) * SECOND + nanos
        return self.local(seconds) * SECOND + nanos

    def _without_year(self, month: int, day: int, clock: int, nanos: int) -> int | None:
        anchor = self.last if self.last is not None else self.reference() + DAY
        base = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=anchor // SECOND)).year
        best: int | None = None
        for year in range(base - 4, base + 2):  # four years back: 29 February
            ordinal = _ordinal(year, month, day)
            if ordinal is None:
                continue
            time = self.local((ordinal - EPOCH) * 86_400 + clock) * SECOND + nanos
            if self.last is None:
                best = time if time <= anchor or best is None else best
            elif best is None or abs(time - anchor) < abs(best - anchor):
                best = time
        return best

    def local(self, seconds: int) -> int:
        """UTC seconds of a wall clock reading (seconds since 1970 as if it were UTC) in the log's zone."""
        if self.zone is UTC:
            return seconds
        naive = datetime(1970, 1, 1) + timedelta(seconds=seconds)  # noqa: DTZ001 - a wall clock has no zone yet
        first = int(naive.replace(tzinfo=self.zone).timestamp())
        second = int(naive.replace(tzinfo=self.zone, fold=1).timestamp())
        if second > first and self.last is not None:
            back = self.last - first * SECOND
            self._repeating = back > BACKWARDS or (self._repeating and 0 < back < DAY)
            return second if self._repeating else first
        return first


def _fraction(digits: bytes | None) -> int:
    return int(digits.ljust(9, b"0")) if digits else 0


def _offset(zone: bytes) -> int:
    if zone[:1] not in b"+-":
        return 0
    digits = zone[1:].replace(b":", b"")
    seconds = int(digits[:2]) * 3600 + int(digits[2:] or b"0") * 60
    return seconds if zone[:1] == b"+" else -seconds


def _ordinal(year: int, month: int, day: int) -> int | None:
    try:
        ordinal = date(year, month, day).toordinal()
    except ValueError:
        return None
    return ordinal if ordinal < LAST_ORDINAL else None


def zone_of(name: str) -> tzinfo:
    """A zone by its IANA name; "local" is the host's, with its DST rules."""
    if name == "UTC":
        return UTC
    if name == "local":
        try:
            with Path("/etc/localtime").open("rb") as file:
                return ZoneInfo.from_file(file)
        except (OSError, ValueError):
            return UTC
    return ZoneInfo(name)
