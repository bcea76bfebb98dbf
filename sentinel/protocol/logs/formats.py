"""Every log format by name: what reads it. `auto` is not here; `guess` chooses one of these by the first lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sentinel.protocol.logs import combined, jsonlog, syslog

if TYPE_CHECKING:
    from sentinel.protocol.logs.clock import Clock
    from sentinel.protocol.logs.lines import Lines, Table


class Reader(Protocol):
    """Reads the lines of one batch; `clock` remembers the time of the line before."""

    def __call__(self, lines: Lines, clock: Clock) -> Table: ...


FORMATS: dict[str, Reader] = {
    "nginx-access": combined.read,
    "apache-access": combined.read,
    "nginx-json": jsonlog.read,
    "syslog": syslog.read,
    "syslog-iso": syslog.read,
    "syslog-rfc5424": syslog.read,
}
