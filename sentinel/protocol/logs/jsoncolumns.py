"""JSON lines with the same keys -> columns: what a key means is worked out once for all of them, not once a line.

In: objects of one batch, the plan of their keys, the way back to a line at a time. Out: a Table. A web server writes
every line with the same keys and plain values; objects that hold more than that (a nested value, a message to be
read, a whole request line) keep their mapping per row. Both ways give the same fields (property-tested).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sentinel.model import Column
from sentinel.protocol.logs import access
from sentinel.protocol.logs.lines import LATEST, NO_TIME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from sentinel.protocol.logs.clock import Clock
    from sentinel.protocol.logs.jsonlog import Plan
    from sentinel.protocol.logs.lines import Record

    Cells = list[bytes | None]

MOST_KEYS = 512  # as for one object by itself
FEWEST = 8  # objects with the same keys for which columns pay
PLAIN = {str, int, float, bool, type(None)}
NOTHING = frozenset({b"", b"-", b"--", b"null"})


@dataclass(slots=True)
class Group:
    """Rows whose objects have the same keys."""

    rows: list[int]
    columns: dict[str, Cells]
    stamps: list[Cells]  # where a time may stand, the best first


@dataclass(slots=True)
class Grouped:
    """A table of groups, and of rows of their own."""

    times: NDArray[np.int64]
    parsed: NDArray[np.bool_]
    groups: list[Group]
    single: dict[int, Record]
    _names: dict[str, None] | None = None

    def names(self) -> Iterable[str]:
        if self._names is None:
            self._names = {name: None for group in self.groups for name in group.columns}
            for fields in self.single.values():
                self._names |= dict.fromkeys(fields)
        return self._names

    def column(self, name: str) -> Column | None:
        if name not in self.names():
            return None
        if len(self.groups) == 1 and not self.single and len(self.groups[0].rows) == len(self.times):
            return Column.of(self.groups[0].columns[name])
        values: Cells = [None] * len(self.times)
        for group in self.groups:
            for row, value in zip(group.rows, group.columns.get(name, ()), strict=False):
                values[row] = value
        for row, fields in self.single.items():
            values[row] = fields.get(name)
        return Column.of(values)


def table(
    objects: Sequence[dict[str, Any] | None],
    clock: Clock,
    plan: Callable[[tuple[str, ...]], Plan],
    convert: Callable[[int], tuple[Record | None, int]],
    text_of: Callable[[Any], bytes],
) -> Grouped:
    """`convert` reads a row by itself; an object is None where only it can."""
    by_keys: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for row, value in enumerate(objects):
        if value is not None:
            by_keys[tuple(value)].append(row)
    groups: list[Group] = []
    for keys, rows in by_keys.items():
        if len(rows) < FEWEST or not _is_plain(keys, plan(keys)):
            continue
        texts = _texts(keys, [objects[row] or {} for row in rows], text_of)
        columns = None if texts is None else _named(texts, plan(keys))
        if texts is not None and columns is not None:
            groups.append(Group(rows, columns, [texts[key] for key in plan(keys).times]))
    return _in_order(len(objects), clock, groups, convert)


def _in_order(
    count: int, clock: Clock, groups: list[Group], convert: Callable[[int], tuple[Record | None, int]]
) -> Grouped:
    """Times by the clock of the log, which goes from line to line; and with them the rows of their own."""
    place = {row: (group, number) for group in groups for number, row in enumerate(group.rows)}
    made = Grouped(np.full(count, NO_TIME, np.int64), np.zeros(count, np.bool_), groups, {})
    times = [NO_TIME] * count
    for row in range(count):
        where = place.get(row)
        if where is not None:
            times[row] = _time(where[0].stamps, where[1], clock)
            continue
        fields, times[row] = convert(row)
        if fields is not None:
            made.single[row] = fields
    made.times[:] = [time if abs(time) < LATEST else NO_TIME for time in times]
    made.parsed[[*place, *made.single]] = True
    return made


def _time(stamps: list[Cells], number: int, clock: Clock) -> int:
    for cells in stamps:
        text = cells[number]
        time = clock.read(text) if text else None
        if time is not None:
            return time
    return NO_TIME


def _is_plain(keys: tuple[str, ...], plan: Plan) -> bool:
    return (
        not plan.speaks
        and "ClientHost" not in keys
        and "source.ip" not in keys
        and len(keys) <= MOST_KEYS
        and len({key.lower() for key in keys}) == len(keys)
    )


def _texts(
    keys: tuple[str, ...], objects: list[dict[str, Any]], text_of: Callable[[Any], bytes]
) -> dict[str, Cells] | None:
    """The texts of each key; None where a value is not plain."""
    columns: dict[str, Cells] = {}
    for key in keys:
        values = [value[key] for value in objects]
        kinds = set(map(type, values))
        if not kinds <= PLAIN:
            return None
        if kinds == {int}:
            columns[key] = [b"%d" % value for value in values]
        else:
            columns[key] = [None if value is None else text_of(value) for value in values]
    return columns


def _named(columns: dict[str, Cells], plan: Plan) -> dict[str, Cells] | None:
    """With ECS names; None where a request has no method, which says more about its target."""
    fields = dict(columns)
    rows = len(next(iter(columns.values())))
    for name, keys in plan.names:
        cells: Cells = [None] * rows
        for key in reversed(keys):
            cells = _first([None if text in NOTHING else text for text in columns[key]], cells)
        fields[name] = cells
    none: Cells = [None] * rows
    targets, methods = fields.get("url.original", none), fields.get("http.request.method", none)
    lines = fields.get("http.request.line", none)
    requests = zip(targets, methods, lines, strict=True)
    if any(target is not None and method is None and line is None for target, method, line in requests):
        return None
    for name, tidy in TIDY.items():
        if name in fields:
            fields[name] = _each(fields[name], tidy)
    _complete(fields, "source.address", _address, none)
    _complete(fields, "http.request.line", _request, none)
    if "url.query" in fields and "url.original" in fields:
        queries = zip(targets, fields["url.query"], fields["url.original"], strict=True)
        fields["url.original"] = [
            target + b"?" + query if query and target and b"?" not in target else made
            for target, query, made in queries
        ]
    return {name: cells for name, cells in fields.items() if any(cell is not None for cell in cells)}


def _first(cells: Cells, others: Cells) -> Cells:
    return [other if cell is None else cell for cell, other in zip(cells, others, strict=True)]


def _complete(fields: dict[str, Cells], name: str, read: Callable[[bytes], Record], none: Cells) -> None:
    """What is read from the values of one field: `name` itself and source.ip anew, others where they are missing."""
    values = fields.get(name, none)
    made = {value: read(value) for value in set(values) if value is not None}
    empty: Record = {}
    given = [empty if value is None else made[value] for value in values]
    for other in dict.fromkeys(key for record in made.values() for key in record):
        cells = [record.get(other) for record in given]
        fields[other] = cells if other in {name, "source.ip"} else _first(fields.get(other, none), cells)


def _each(values: Cells, tidy: Callable[[bytes], bytes | None]) -> Cells:
    made = {value: tidy(value) for value in set(values) if value is not None}
    return [None if value is None else made[value] for value in values]


def _version(value: bytes) -> bytes | None:
    value = value.removeprefix(b"HTTP/")
    return value if value[:1].isdigit() else None


def _status(value: bytes) -> bytes | None:
    return None if value == b"0" else value


def _address(value: bytes) -> Record:
    """Of a list of proxies the first is the client."""
    fields = {"source.address": value.partition(b",")[0].strip()}
    access.complete(fields)
    return fields


def _request(line: bytes) -> Record:
    return {name: line[start:end] for name, (start, end) in access.split_request(line).items()}


def _line(value: bytes) -> bytes | None:
    return value if b" " in value else None


TIDY: dict[str, Callable[[bytes], bytes | None]] = {
    "http.version": _version,
    "http.response.status_code": _status,
    "http.request.line": _line,
}
