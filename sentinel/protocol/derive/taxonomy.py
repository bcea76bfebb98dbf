"""Sigma's field names -> ECS columns, and the parts of a request target.

Sigma taxonomy, "webserver" and "proxy": `cs-uri-query` is here the whole target, because SigmaHQ's rules write paths
into it (162 of 368 values begin with a slash). The strict query is `c-uri-query` and `url.query`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sentinel.model import Column

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sentinel.model import Columns

    Ints = NDArray[np.int64]

ALIASES = {
    "cs-method": "http.request.method",
    "cs-uri": "url.original",
    "c-uri": "url.original",
    "cs-uri-query": "url.original",
    "cs-uri-stem": "url.path",
    "c-uri-stem": "url.path",
    "c-uri-query": "url.query",
    "c-uri-extension": "url.extension",
    "cs-user-agent": "user_agent.original",
    "c-useragent": "user_agent.original",
    "cs-referer": "http.request.referrer",
    "cs-referrer": "http.request.referrer",
    "cs-cookie": "http.request.cookie",
    "cs-host": "url.domain",
    "r-dns": "url.domain",
    "cs-content-type": "http.request.mime_type",
    "sc-status": "http.response.status_code",
    "sc-bytes": "http.response.body.bytes",
    "cs-bytes": "http.request.body.bytes",
    "cs-version": "http.version",
    "c-ip": "source.ip",
    "cs-ip": "source.ip",
    "src_ip": "source.ip",
    "c-port": "source.port",
    "cs-username": "user.name",
    "dst_ip": "destination.ip",
}
QUESTION, DOT, SLASH = b"?./"
SPARSE = 500  # bytes of a batch a row: spans of so few rows are searched one by one


def alias(columns: Columns, name: str) -> Column | None:
    return columns.column(ALIASES[name])


def _target(
    columns: Columns, form: str = "", name: str = "url.original"
) -> tuple[Column, Ints, Ints, Ints] | None:
    """The target column, its begins and ends, and where its first question mark is (its end where it has none)."""
    column = columns.column(name + form)
    if column is None:
        return None
    starts, ends = column.spans()
    return column, starts, ends, _first(column.data, starts, ends)


def _first(data: bytes, starts: Ints, ends: Ints) -> Ints:
    """Where the first question mark of each span is, or its end."""
    if len(starts) * SPARSE < len(data):
        find = data.find
        found = [find(b"?", a, b) for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
        at = np.array(found, np.int64)
        return np.where(at < 0, ends, at)
    marks = np.flatnonzero(np.frombuffer(data, np.uint8) == QUESTION)
    if not len(marks):
        return ends
    place = np.searchsorted(marks, starts)
    first = marks[np.minimum(place, len(marks) - 1)]
    return np.where((place < len(marks)) & (first < ends), first, ends)


def path(columns: Columns, form: str = "") -> Column | None:
    found = _target(columns, form)
    if found is None:
        return None
    column, starts, _, question = found
    return Column(column.data, starts, column.present, question)


def referrer_query(columns: Columns, form: str = "") -> Column | None:
    """The part of a referrer that a page's own address would not hold of itself."""
    return query(columns, form, "http.request.referrer")


def query(columns: Columns, form: str = "", name: str = "url.original") -> Column | None:
    found = _target(columns, form, name)
    if found is None:
        return None
    column, _, ends, question = found
    having = question < ends
    present = having if column.present is None else having & column.present
    return Column(column.data, np.minimum(question + 1, ends), present, ends)


def extension(columns: Columns) -> Column | None:
    """What follows the last dot of the last path segment; absent where there is no dot."""
    column = path(columns)
    if column is None:
        return None
    values = [None if value is None else _extension(value) for value in column.values()]
    return Column.of(values)


def _extension(value: bytes) -> bytes | None:
    _, dot, found = value[value.rfind(b"/") + 1 :].rpartition(b".")
    return found if dot else None


def timestamp(columns: Columns) -> Column:
    """Seconds since the epoch, as text: for `|hour` and its like; asked of few rows, but made for all of a batch."""
    return Column.of([b"%d" % seconds for seconds in (columns.times // 1_000_000_000).tolist()])


# The decoded target is cut like the logged one: an encoded question mark ends the path early, as it does for sloppy servers.
FORMED_PARTS: dict[str, Callable[[Columns, str], Column | None]] = {
    "url.path": path,
    "url.query": query,
    "http.request.referrer.query": referrer_query,
}
PARTS: dict[str, Callable[[Columns], Column | None]] = {
    "url.path": path,
    "url.query": query,
    "http.request.referrer.query": referrer_query,
    "url.extension": extension,
    "@timestamp": timestamp,
}
