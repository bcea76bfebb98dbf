"""Application logs without a fixed form: a time somewhere at the front, then text -> Records.

In: lines. Out: message, log.level where it stands in brackets, and what `message.interpret` reads. A line that is a
JSON object, key=value pairs or a syslog line is read as such, so formats that mix them need no mode. A line is
"parsed" when anything but its text was found.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sentinel.protocol.logs import access, jsonlog, logfmt, message, syslog
from sentinel.protocol.logs.lines import NO_TIME, Records, records

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.protocol.logs.clock import Clock
    from sentinel.protocol.logs.lines import Lines, Record

BEFORE_TIME = re.compile(
    rb"(?:\S+ )??(?:<\w{1,8}>|\[(?:\w{1,12})\] ?|\[[A-Z]{3,4} |[A-Z]+:? |\w+[\t ]\|? ?)?[\[(<\"']?(?=\d|[A-Za-z]{3} )"
)
TIME_ANYWHERE = re.compile(
    rb"\d{4}[-/.]\d\d[-/.]\d\d[T _:]\d\d:\d\d:\d\d|\d{1,2}[-/ ][A-Z][a-z]{2}[a-z]*[-/ ]\d{4}[: ]+\d\d:\d\d:\d\d"
    rb"|(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) )?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\w* +\d{1,2},? (?:\d{4} )?\d\d:\d\d:\d\d"
    rb"|\d\d/\d\d/\d{4}[ ,-]+\d\d:\d\d:\d\d|\d{8}-\d\d:?\d\d:?\d\d|(?<!\d)\d{6} +\d{1,2}:\d\d:\d\d|\b1\d{9}\.\d{3}\b"
)
LEVEL = re.compile(
    rb"[\[\s(:|](?P<level>TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERR(?:OR)?|CRIT(?:ICAL)?|FATAL|ALERT|EMERG|I|W|E|D)[\]\s):|]",
    re.IGNORECASE,
)
PROGRAMS = {
    "mysql": "mysqld", "mariadb": "mysqld", "mssql": "mysqld", "mssql-auth": "mysqld", "mongodb": "mysqld", "exim": "exim4",
    "pureftpd": "pure-ftpd", "bind9": "named", "named-refused": "named", "roundcube-auth": "roundcube",
    "bunkerweb-error": "nginx", "lighttpd-auth": "lighttpd", "lighttpd-error": "lighttpd",
}  # fmt: skip
"""The program behind a format's name, where they differ."""
CONTAINER = re.compile(rb"\S{10,40} (?:stdout|stderr) [FP] ")
"""What a container runtime writes in front of each line (CRI log format)."""
FRONT_BYTES = 200  # the time stands within the first words of a line
TAIL_OF_TIME = b" ]:,)|-\t"


def reader(program: str) -> Callable[[Lines, Clock], Records]:
    """Reads the log of one program: its own phrases are tried first."""
    name = PROGRAMS.get(program, program).encode()

    def read(lines: Lines, clock: Clock) -> Records:
        return records([row(line, clock, name) for line in lines])

    return read


def row(line: bytes, clock: Clock, program: bytes = b"") -> tuple[Record | None, int]:
    container = CONTAINER.match(line)
    if container is not None:
        inner = line[container.end() :]
        found, when = row(inner, clock, program)
        if when == NO_TIME:
            when = _or_none(clock.read(line))
        return ({"message": inner} if found is None else found), when
    text = line.lstrip()
    if text.startswith(b"{"):
        value = jsonlog.load(text)
        if value is not None:
            fields, time = jsonlog.convert(value, clock)
            return fields, NO_TIME if time is None else time
    if logfmt.is_pairs(text):
        return logfmt.row(text, clock)
    stamp = _time(line, clock)
    fields = {}
    rest = line
    if stamp is not None:
        level = LEVEL.search(line[stamp[1] : stamp[1] + FRONT_BYTES])
        if level is not None:
            fields["log.level"] = level["level"]
        if stamp[2]:
            rest = line[stamp[1] :].lstrip(TAIL_OF_TIME)
            header = syslog.HEADER.match(rest)
            if header is not None and header["pid"] and header["host"]:
                fields |= syslog.named(header)
                program, rest = header["process"], header["message"]
    fields["message"] = rest
    tail = rest.find(b'{"')
    if tail > 0:
        fields |= jsonlog.tail(rest[tail:], clock)
    # The text before the time counts too: PostgreSQL's log_line_prefix may begin with the address.
    found = message.interpret(program, rest if stamp and stamp[2] else line)
    if stamp is None and not found:
        return None, NO_TIME
    return fields | found, NO_TIME if stamp is None else stamp[0]


def _or_none(time: int | None) -> int:
    return NO_TIME if time is None else time


def _time(line: bytes, clock: Clock) -> tuple[int, int, bool] | None:
    """(time, where it ends, whether it stands at the very front)."""
    front = 1 if line[:1] in {b"[", b"<", b'"', b"("} else 0
    stamp = clock.match(line, front)
    if stamp is not None:
        return *stamp, True
    place = TIME_ANYWHERE.search(line, 0, FRONT_BYTES)
    if place is None:
        return None
    stamp = clock.match(line, place.start())
    return (*stamp, False) if stamp is not None else None


def text_reader(name: str) -> Callable[[Lines, Clock], Records]:
    """A format of `access.TEXT`; a line it does not fit is read as an application's line."""
    shapes = access.TEXT[name]

    def one(line: bytes, clock: Clock) -> tuple[Record | None, int]:
        container = CONTAINER.match(line)
        start = container.end() if container else 0
        for shape in shapes:
            found = shape.match(line, start)
            if found is not None:
                time = clock.read(found["time"]) if "time" in shape.groupindex else None
                fields = access.record(found)
                if "message" in fields:
                    fields = message.interpret(b"", fields["message"]) | fields
                return fields, NO_TIME if time is None else time
        start = line.find(b"{")
        if start >= 0:
            value = jsonlog.load(line[start:])
            if value is not None:
                found_fields, when = jsonlog.convert(value, clock)
                return found_fields, NO_TIME if when is None else when
        return row(line, clock)

    def reader(lines: Lines, clock: Clock) -> Records:
        return records([one(line, clock) for line in lines])

    return reader
