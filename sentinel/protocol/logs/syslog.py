"""Syslog lines -> Records: RFC 3164 (`Nov 13 10:59:46 host sshd[1]: text`), the same with an ISO time, RFC 5424.

In: lines. Out: host.hostname, process.name, process.pid, message, facility and severity where a priority is given,
and whatever `message.interpret` reads in the text. The three shapes are tried in turn, whichever format was named,
since relays mix them. Servers that log without host or program are read as far as they go.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import TYPE_CHECKING

from sentinel.protocol.logs import message
from sentinel.protocol.logs.lines import NO_TIME, Records, records

if TYPE_CHECKING:
    from sentinel.protocol.logs.clock import Clock
    from sentinel.protocol.logs.lines import Lines, Record

FACILITIES = (
    b"kern user mail daemon auth syslog lpr news uucp cron authpriv ftp ntp audit alert clock "
    b"local0 local1 local2 local3 local4 local5 local6 local7"
).split()
SEVERITIES = b"emerg alert crit err warning notice info debug".split()
PRIORITY = re.compile(rb"<(\d{1,3})>(?:(1) )?")
# RFC 5424, 6: VERSION SP TIMESTAMP SP HOSTNAME SP APP-NAME SP PROCID SP MSGID SP STRUCTURED-DATA [SP MSG]
MODERN = re.compile(
    rb"(?P<time>\S+) (?P<host>\S+) (?P<process>\S+) (?P<pid>\S+) (?P<id>\S+) "
    rb"(?P<data>-|(?:\[(?:[^\]\\]|\\.)*\])+)(?: (?:\xef\xbb\xbf)?(?P<message>.*))?",
    re.DOTALL,
)
HEADER = re.compile(
    rb"\s*(?:<\w+\.\w+> )?"  # FreeBSD's syslogd -v writes facility.severity here
    rb"(?:(?P<host>(?!last message)[\w.:%@-]+|\[[^\]]*\]) )?\s*"
    rb"(?P<process>[\w./+@-]+?(?:\([\w./-]+\))?(?:/[\w./-]+)?)"
    rb" ?(?:\[(?P<pid>\d+)\]:?|:)(?: |$)(?P<message>.*)",
    re.DOTALL,
)
INNER_TIME = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)")
"""A program's own full time in front of its message says more than a header without year and zone."""
BARE = re.compile(rb"\s*(?P<host>\S+) (?P<message>.*)", re.DOTALL)


CHARON = b"charon"
PEER_FAILED = re.compile(
    rb".*?<(?P<tag>[^>]{1,80})> .*(?:verification failed|EAP method \S+ failed|AUTHENTICATION_FAILED|N\(AUTH_FAILED\)|MAC mismatched"
    rb"|no shared key found|no matching peer config found|Xauth authentication of .* failed)"
)
PEER_ANSWERED = re.compile(rb".*?<(?P<tag>[^>]{1,80})> sending packet: from ")
MOST_PEERS = 1_000  # connections that failed and were not yet answered


class SyslogReader:
    """One for each log. strongSwan names a failure by its connection and the peer's address in the answer after it:
    the answer's line is the failed log-in.
    """

    def __init__(self) -> None:
        self._failed: OrderedDict[tuple[bytes, bytes, bytes], None] = OrderedDict()

    def __call__(self, lines: Lines, clock: Clock) -> Records:
        rows = [row(line, clock) for line in lines]
        for fields, _ in rows:
            if fields is not None and fields.get("process.name") == CHARON:
                self._join(fields)
        return records(rows)

    def _join(self, fields: Record) -> None:
        text = fields.get("message", b"")
        host, pid = fields.get("host.hostname", b""), fields.get("process.pid", b"")
        answered = PEER_ANSWERED.match(text)
        if answered is not None and (host, pid, answered["tag"]) in self._failed:
            del self._failed[host, pid, answered["tag"]]
            fields |= {"event.outcome": b"failure", "event.action": b"login-failed"}
            return
        failed = PEER_FAILED.match(text)
        if failed is not None:
            self._failed[host, pid, failed["tag"]] = None
            if len(self._failed) > MOST_PEERS:
                self._failed.popitem(last=False)


def row(line: bytes, clock: Clock) -> tuple[Record | None, int]:
    fields: Record = {}
    start = 0
    priority = PRIORITY.match(line)
    if priority is not None:
        start = priority.end()
        facility, severity = divmod(int(priority[1]), 8)
        if facility < len(FACILITIES):
            fields["log.syslog.facility.name"] = FACILITIES[facility]
            fields["log.syslog.severity.name"] = SEVERITIES[severity]
    if priority is not None and priority[2]:
        found = MODERN.match(line, start)
        if found is None:
            return None, NO_TIME
        time = clock.read(found["time"])
    else:
        stamp = clock.match(line, start)
        if stamp is None:
            return None, NO_TIME
        time, end = stamp
        found = HEADER.match(line, end) or BARE.match(line, end)
        if found is None:
            return None, NO_TIME
    fields |= named(found)
    text = found["message"] or b""
    inner = INNER_TIME.match(text)
    if inner is not None:
        time = clock.read(inner[0])
    fields["message"] = text
    if text:
        fields.update(message.interpret(fields.get("process.name", b""), text))
    return fields, NO_TIME if time is None else time


def named(header: re.Match[bytes]) -> Record:
    """Host, program and process id of a header."""
    groups = header.groupdict()
    names = (("host", "host.hostname"), ("process", "process.name"), ("pid", "process.pid"))
    return {name: groups[group] for group, name in names if groups.get(group) not in {None, b"", b"-"}}
