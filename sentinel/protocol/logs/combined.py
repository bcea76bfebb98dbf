"""Combined access log (nginx, Apache) -> Columns, a whole batch at a time with NumPy.

    ADDRESS - USER [08/Jun/2020:06:49:01 +0000] "METHOD TARGET HTTP/1.1" STATUS BYTES "REFERRER" "USER AGENT" ...

In: Lines. Out: Spans, every field a span of the batch. The layout is found from the first six quotes of a line: the
time has a fixed width before the first one. Lines that do not fit (a virtual host in front, escaped quotes, the
common log format) go through `access.COMBINED` one at a time and keep their place. nginx's escapes stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sentinel.model import Column
from sentinel.protocol.logs import access, generic
from sentinel.protocol.logs.address import canonical
from sentinel.protocol.logs.clock import EPOCH, SECOND
from sentinel.protocol.logs.lines import NO_TIME, Mixed, Spans

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sentinel.protocol.logs.clock import Clock
    from sentinel.protocol.logs.lines import Lines, Record

    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]
    Bytes = NDArray[np.uint8]

QUOTE, SPACE, BACKSLASH, DASH, ZERO = 34, 32, 92, 45, 48
TIME_WORDS = (0, 8, 16, 18)  # words of eight bytes that cover the 26 of a time
TIME_WIDTH = 29  # `[08/Jun/2020:06:49:01 +0000] ` before the first quote
ADDRESS_WINDOWS = (17, 48)  # an IPv4 address and its space; the longest IPv6 one, for lines that need it
METHOD_WINDOW = 10  # PROPFIND and its space
VERSION_WIDTH = 9  # ` HTTP/1.1`
KNOWN_BY = frozenset(
    {"http.request.method", "url.original", "event.action"}
)  # what makes a line of another shape web traffic
PADDING = 64  # zero bytes read past the end of a batch by lines cut short
# A month by its second and third letter: their sum modulo 24 differs for all twelve.
MONTH_OF = np.zeros(24, np.int64)
for _number, _name in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), start=1):
    MONTH_OF[(_name[1] + _name[2]) % 24] = _number


@dataclass(slots=True)
class Layout:
    """Where each field of each row begins and ends; `present` where it is there and not a lone dash."""

    lines: Lines
    view: Bytes
    spans: dict[str, tuple[Ints, Ints]]
    parsed: Bools
    request: dict[str, Column] | None = None

    def column(self, group: str) -> Column | None:
        starts, ends = self.spans[group]
        present = self.parsed & (starts < ends)
        lone = (ends - starts == 1) & present
        present[lone] = self.view[starts[lone]] != DASH
        return Column(self.lines.data, starts, present, ends) if present.any() else None

    def address(self) -> Column | None:
        """source.ip: the address column without what is no address."""
        column = self.column("address")
        if column is None or column.ends is None or column.present is None:
            return None
        first, last = self.view[column.offsets], self.view[column.ends - 1]
        width = column.ends - column.offsets
        plain = _digit(first) & _digit(last) & (width >= 7) & (width <= 15)
        unsure = np.flatnonzero(column.present & ~plain)
        if not len(unsure):
            return column
        changed: dict[int, bytes] = {}
        for row in unsure.tolist():
            value = self.lines.data[column.offsets[row] : column.ends[row]]
            address = canonical(value)
            if address is None:
                column.present[row] = False
            elif address != value:
                changed[row] = address
        if not changed:
            return column
        values = column.values()
        for row, address in changed.items():
            values[row] = address
        return Column.of(values)

    def of_request(self, name: str) -> Column | None:
        if self.request is None:
            self.request = self._split_requests()
        column = self.request[name]
        return column if column.present is None or column.present.any() else None

    def _split_requests(self) -> dict[str, Column]:
        """Method, target and version of `GET / HTTP/1.1`; anything else goes through access.split_request."""
        view, data = self.view, self.lines.data
        starts, ends = self.spans["request"]
        window = view[starts[:, None] + np.arange(METHOD_WINDOW)] == SPACE
        space = starts + window.argmax(axis=1)
        tail = ends - VERSION_WIDTH
        good = self.parsed & window.any(axis=1) & (tail > space + 1) & _upper(view[starts])
        good &= _upper(view[space - 1])
        for i, byte in enumerate(b" HTTP/"):
            good &= view[np.maximum(tail + i, 0)] == byte
        spans = {
            "http.request.method": (starts.copy(), space),
            "url.original": (space + 1, tail.copy()),
            "http.version": (ends - 3, ends.copy()),
        }
        present = {name: good.copy() for name in spans}
        for row in np.flatnonzero(self.parsed & ~good).tolist():
            start = int(starts[row])
            parts = access.split_request(data[start : ends[row]])
            for name, (a, b) in parts.items():
                spans[name][0][row], spans[name][1][row] = start + a, start + b
                present[name][row] = True
        return {name: Column(data, a, present[name], b) for name, (a, b) in spans.items()}

    def times(self, clock: Clock) -> Ints:
        starts, ends = self.spans["time"]
        times = np.full(len(starts), NO_TIME, np.int64)
        usual = self.parsed & (ends - starts == TIME_WIDTH - 3)
        rows = np.flatnonzero(usual)
        begins = starts[rows]
        # Many lines share their second: only where the text changes from one line to the next is it read.
        fresh = np.ones(len(rows), np.bool_)
        for word in TIME_WORDS:
            eight = np.ndarray(len(self.view) - 7, np.uint64, self.view, strides=(1,))[begins + word]
            fresh[1:] = eight[1:] != eight[:-1] if word == 0 else fresh[1:] | (eight[1:] != eight[:-1])
        stamp = self.view[begins[fresh][:, None] + np.arange(TIME_WIDTH - 3)].astype(np.int64)
        value, valid = _time(stamp)
        same = np.cumsum(fresh) - 1
        value, valid = value[same], valid[same]
        times[rows[valid]] = value[valid]
        data = self.lines.data
        for row in np.flatnonzero(self.parsed & (times == NO_TIME)).tolist():
            time = clock.read(data[starts[row] : ends[row]])
            times[row] = NO_TIME if time is None else time
        if len(times):
            clock.last = int(times[-1]) if times[-1] != NO_TIME else clock.last
        return times


def read(lines: Lines, clock: Clock) -> Spans | Mixed:
    """Lines of another shape (an error log in the same file, JSON) are read by `generic` where it knows them."""
    layout = _lay_out(lines)
    names: dict[str, Callable[[], Column | None]] = {
        "source.ip": layout.address,
        "source.address": partial(layout.column, "address"),
        "user.name": partial(layout.column, "user"),
        "url.domain": partial(layout.column, "domain"),
        "http.request.line": partial(layout.column, "request"),
        "http.response.status_code": partial(layout.column, "status"),
        "http.response.body.bytes": partial(layout.column, "bytes"),
        "http.request.referrer": partial(layout.column, "referrer"),
        "user_agent.original": partial(layout.column, "agent"),
        "http.request.method": partial(layout.of_request, "http.request.method"),
        "url.original": partial(layout.of_request, "url.original"),
        "http.version": partial(layout.of_request, "http.version"),
    }
    table = Spans(layout.times(clock), layout.parsed, names)
    extra: dict[int, Record] = {}
    for row in np.flatnonzero(~layout.parsed).tolist():
        fields, time = generic.row(lines.data[lines.starts[row] : lines.ends[row]], clock, b"httpd")
        if fields is not None and KNOWN_BY & fields.keys():
            extra[row], table.times[row], table.parsed[row] = fields, time, True
    return Mixed(table, extra) if extra else table


def _lay_out(lines: Lines) -> Layout:
    view = np.frombuffer(lines.data + bytes(PADDING), np.uint8)
    starts, ends = lines.starts, lines.ends
    spans, fits = _fast(view, starts, ends)
    parsed = fits
    for row in np.flatnonzero(~fits).tolist():
        place = int(starts[row]), int(ends[row])
        found = access.COMBINED.match(lines.data, *place)
        if found is None and place[1] - place[0] <= access.LONGEST_RAW:
            found = access.COMBINED_RAW.match(lines.data, *place)
        if found is None:
            for a, b in spans.values():
                a[row] = b[row] = 0
            continue
        parsed[row] = True
        for name, (a, b) in spans.items():
            a[row], b[row] = (0, 0) if found[name] is None else found.span(name)
    return Layout(lines, view, spans, parsed)


def _fast(view: Bytes, starts: Ints, ends: Ints) -> tuple[dict[str, tuple[Ints, Ints]], Bools]:
    """Spans by the positions of the first six quotes, and which rows these are right for."""
    quotes = np.flatnonzero(view == QUOTE)
    first = np.searchsorted(quotes, starts)
    enough = np.searchsorted(quotes, ends) - first >= 6
    quotes = np.concatenate([quotes, np.zeros(6, np.int64)])
    q = [quotes[np.where(enough, first + i, len(quotes) - 6)] for i in range(6)]
    bracket = q[0] - TIME_WIDTH
    space = _first_space(view, starts)
    fits = enough & (space + 3 < bracket) & (q[4] == q[3] + 2)
    size = q[2] - 1 - (q[1] + 6)
    fits &= (size > 0) & (size < 20)
    layout = (
        (space, b" - "),
        (bracket - 1, b" ["),
        (bracket + 27, b"] "),
        (q[1] + 1, b" "),
        (q[1] + 5, b" "),
        (q[2] - 1, b" "),
        (q[3] + 1, b" "),
    )
    for position, text in layout:
        for i, byte in enumerate(text):
            fits &= view[np.where(fits, position + i, 0)] == byte
    for position in (q[1] + 2, q[1] + 3, q[1] + 4):
        fits &= _digit(view[np.where(fits, position, 0)])
    count = view[np.where(fits, q[1] + 6, 0)]
    fits &= _digit(count) | (count == DASH)
    for quote in q[1:]:
        fits &= view[np.where(fits, quote - 1, 0)] != BACKSLASH
    none = np.zeros(len(starts), np.int64)
    spans = {
        "address": (starts.copy(), space),
        "domain": (none, none.copy()),
        "user": (space + 3, bracket - 1),
        "time": (bracket + 1, bracket + 27),
        "request": (q[0] + 1, q[1].copy()),
        "status": (q[1] + 2, q[1] + 5),
        "bytes": (q[1] + 6, q[2] - 1),
        "referrer": (q[2] + 1, q[3].copy()),
        "agent": (q[4] + 1, q[5].copy()),
    }
    return spans, fits


def _first_space(view: Bytes, starts: Ints) -> Ints:
    space = starts.copy()
    rows = np.arange(len(starts))
    for width in ADDRESS_WINDOWS:
        window = view[starts[rows][:, None] + np.arange(width)] == SPACE
        space[rows] += window.argmax(axis=1)
        rows = rows[~window.any(axis=1)]
    return space


def _time(stamp: Ints) -> tuple[Ints, Bools]:
    """`08/Jun/2020:06:49:01 +0000` as rows of 26 bytes -> nanoseconds, and which rows were well formed."""
    d = stamp - ZERO
    separators = ((2, b"/"), (6, b"/"), (11, b":"), (14, b":"), (17, b":"), (20, b" "))
    valid = np.ones(len(stamp), np.bool_)
    for position, byte in separators:
        valid &= stamp[:, position] == byte[0]
    for position in (0, 1, 7, 8, 9, 10, 12, 13, 15, 16, 18, 19, 22, 23, 24, 25):
        valid &= (d[:, position] >= 0) & (d[:, position] <= 9)
    day = d[:, 0] * 10 + d[:, 1]
    month = MONTH_OF[(stamp[:, 4] + stamp[:, 5]) % 24]
    year = d[:, 7] * 1000 + d[:, 8] * 100 + d[:, 9] * 10 + d[:, 10]
    clock = (d[:, 12] * 10 + d[:, 13]) * 3600 + (d[:, 15] * 10 + d[:, 16]) * 60 + d[:, 18] * 10 + d[:, 19]
    zone = (d[:, 22] * 10 + d[:, 23]) * 3600 + (d[:, 24] * 10 + d[:, 25]) * 60
    sign = stamp[:, 21]
    zone = np.where(sign == DASH, -zone, zone)
    valid &= (
        ((sign == DASH) | (sign == 43)) & (month > 0) & (day > 0) & (day < 32) & (year > 1969) & (year < 2262)
    )
    return (_days(year, month, day) * 86_400 + clock - zone) * SECOND, valid


def _days(year: Ints, month: Ints, day: Ints) -> Ints:
    """Days since 1970 of a Gregorian date; the year is taken to begin in March."""
    y = year - (month <= 2)
    m = (month + 9) % 12
    return 365 * y + y // 4 - y // 100 + y // 400 + (153 * m + 2) // 5 + day - 306 - EPOCH


def _digit(bytes_: Bytes) -> Bools:
    return (bytes_ >= ZERO) & (bytes_ <= ZERO + 9)


def _upper(bytes_: Bytes) -> Bools:
    return (bytes_ >= 65) & (bytes_ <= 90)
