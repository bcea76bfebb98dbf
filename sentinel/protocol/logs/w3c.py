"""IIS and other W3C extended logs: a `#Fields:` line names the columns of the lines after it.

In: lines; the field list is remembered from batch to batch. Out: Records under ECS names. Lines before any #Fields
line are read with IIS' default fields. Directives (#...) are no events. The times are UTC by the W3C draft.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.protocol.logs import access
from sentinel.protocol.logs.lines import NO_TIME, Record, Records, records

if TYPE_CHECKING:
    from sentinel.protocol.logs.clock import Clock
    from sentinel.protocol.logs.lines import Lines

DEFAULT = (
    b"date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) "
    b"sc-status sc-substatus sc-win32-status time-taken"
).split()
ECS = {
    b"c-ip": "source.address",
    b"cs-username": "user.name",
    b"cs-method": "http.request.method",
    b"cs-uri-stem": "url.path",
    b"cs-uri-query": "url.query",
    b"cs-host": "url.domain",
    b"cs(Host)": "url.domain",
    b"cs(User-Agent)": "user_agent.original",
    b"cs(Referer)": "http.request.referrer",
    b"cs(Cookie)": "http.request.cookie",
    b"cs-version": "http.version",
    b"sc-status": "http.response.status_code",
    b"sc-bytes": "http.response.body.bytes",
    b"c-port": "source.port",
    b"s-port": "server.port",
    b"s-ip": "server.ip",
    b"s-computername": "host.hostname",
}
PLUS_FOR_SPACE = ("user_agent.original", "http.request.referrer", "http.request.cookie")


class W3cReader:
    """Remembers the fields: one for each log."""

    def __init__(self) -> None:
        self._fields = DEFAULT

    def __call__(self, lines: Lines, clock: Clock) -> Records:
        return records([self._row(line, clock) for line in lines])

    def _row(self, line: bytes, clock: Clock) -> tuple[Record | None, int]:
        if line.startswith(b"#"):
            if line.startswith(b"#Fields:"):
                self._fields = line[8:].split() or DEFAULT
            return {"message": line}, NO_TIME
        words = line.split(b"\t") if b"\t" in line else line.split(b" ")
        if len(words) != len(self._fields):
            return None, NO_TIME
        fields: Record = {}
        stamp = {}
        for name, word in zip(self._fields, words, strict=True):
            if word == b"-":
                continue
            if name in {b"date", b"time"}:
                stamp[name] = word
            elif name in ECS:
                fields[ECS[name]] = word
        for known in PLUS_FOR_SPACE:
            if known in fields:
                fields[known] = fields[known].replace(b"+", b" ")
        if "url.path" in fields:
            query = fields.get("url.query")
            fields["url.original"] = fields["url.path"] + (b"?" + query if query else b"")
        version = fields.get("http.version", b"")
        fields |= {"http.version": version[5:]} if version.startswith(b"HTTP/") else {}
        access.complete(fields)
        time = clock.read(stamp.get(b"date", b"") + b" " + stamp.get(b"time", b"") + b"Z")
        return fields, NO_TIME if time is None else time
