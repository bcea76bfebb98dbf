"""Access logs that are text with a fixed order of fields: one regular expression each, named groups -> ECS names.

In: one line. Out: a Record (ECS name -> bytes), or None. Group names are the keys of ECS below. A lone dash means
"absent" everywhere. `request` (`GET / HTTP/1.1`) is split here; what is no request line, as when a TLS hello comes
to a plain port, is kept whole as url.original, without a method.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sentinel.protocol.logs.address import canonical

if TYPE_CHECKING:
    from sentinel.protocol.logs.lines import Record

ECS = {
    "address": "source.address",
    "port": "source.port",
    "user": "user.name",
    "domain": "url.domain",
    "request": "http.request.line",
    "method": "http.request.method",
    "target": "url.original",
    "version": "http.version",
    "status": "http.response.status_code",
    "bytes": "http.response.body.bytes",
    "referrer": "http.request.referrer",
    "agent": "user_agent.original",
    "cookie": "http.request.cookie",
    "host": "host.hostname",
    "process": "process.name",
    "pid": "process.pid",
    "message": "message",
    "level": "log.level",
    "outcome": "event.outcome",
    "action": "event.action",
}
V4 = rb"(?:\d{1,3}\.){3}\d{1,3}"
V6 = rb"(?:[0-9A-Fa-f]{0,4}:){2,7}(?:" + V4 + rb"|[0-9A-Fa-f]{0,4})(?:%\w+)?"
IP = rb"(?:" + V4 + rb"|" + V6 + rb")"
QUOTED = rb'(?:[^"\\]|\\.)*'
CLF_TIME = rb"\[(?P<time>\d{1,2}/[A-Za-z]{3}/\d{4}[: ]\d\d:\d\d:\d\d(?:\.\d+)?(?: [+-]\d{4})?)\]"
HTTP = rb'"(?P<request>' + QUOTED + rb')"'
TAIL = rb"(?P<status>\d{3}|-) (?P<bytes>\d+|-)"
AGENT = rb'"(?P<referrer>' + QUOTED + rb')" "(?P<agent>' + QUOTED + rb')"'

COMBINED = re.compile(
    rb"(?:(?P<domain>[^\s\"\[:]+)(?::\d+)? (?=" + IP + rb" ))?(?P<address>[^\s\"\[,]+)(?:, ?[^\s,]+)* "
    rb"(?:\S+ )?(?:(?P<user>[^\[]*?) )?" + CLF_TIME + rb" " + HTTP + rb" " + TAIL + rb"(?: " + AGENT + rb")?"
)
# The same with quotes that were not escaped inside a field (nginx escape=none): the outermost ones count.
LONGEST_RAW = 4096  # its time grows with the square of the line
COMBINED_RAW = re.compile(
    rb"(?P<domain>(?!))?(?P<address>[^\s\"\[]+) (?:\S+ )?(?:(?P<user>[^\[]*?) )?"
    + CLF_TIME
    + rb' "(?P<request>.*)" '
    + TAIL
    + rb' "(?P<referrer>.*?)" "(?P<agent>.*)"'
)

TEXT: dict[str, tuple[re.Pattern[bytes], ...]] = {
    name: tuple(re.compile(shape) for shape in shapes)
    for name, shapes in {
        "bunkerweb": (
            rb"(?P<domain>\S+) (?P<address>\S+) - (?P<user>-|\S+(?= ))(?<![0-9a-f]{32}) - "
            + CLF_TIME
            + rb" "
            + HTTP
            + rb" "
            + TAIL
            + rb" "
            + AGENT,
            rb"(?P<domain>\S+) (?P<address>\S+) - [0-9a-f]+ (?P<user>\S+) "
            + CLF_TIME
            + rb" "
            + HTTP
            + rb" "
            + TAIL
            + rb" "
            + AGENT,
        ),
        # [time] cache upstream status - METHOD scheme host "/target" [Client a] [Length n] [Gzip x] [Sent-to b] "ua" "referrer"
        "nginx-proxy-manager": (
            CLF_TIME + rb" (?:\S+ (?:\d{3}|-) )?(?P<status>\d{3}) - (?P<method>\S+) \S+ (?P<domain>\S+) "
            rb'"(?P<target>' + QUOTED + rb')" \[Client (?P<address>[^\]]+)\] \[Length (?P<bytes>[^\]]+)\] '
            rb"(?:\[[^\]]*\] )*"
            rb'"(?P<agent>' + QUOTED + rb')" "(?P<referrer>' + QUOTED + rb')"',
        ),
        "npmplus": (
            CLF_TIME + rb" (?P<domain>\S+) (?P<address>\S+) [\d.]+ " + HTTP + rb" (?P<status>\d{3}) "
            rb"(?P<bytes>\d+) \d+ (?P<referrer>\S+) (?P<agent>.*)",
        ),
        # HTTP log of HAProxy (manual 8.2.3), with or without the syslog header's process in front
        "haproxy": (
            rb"(?:(?P<process>haproxy)\[(?P<pid>\d+)\]: )?(?P<address>\S+):(?P<port>\d+) \[(?P<time>[^\]]+)\] "
            rb"\S+ \S+ [-\d/+]+ (?P<status>-?\d{1,3}) \+?(?P<bytes>\d+) (?P<cookie>-(?= )|\S+) \S+ \S{4} [\d/+]+ [\d/]+ "
            rb"(?:\{(?P<domain>[^|}]*)(?:\|(?P<agent>[^|}]*))?[^}]*\} )?(?:\{[^}]*\} )?" + HTTP,
            (
                rb"(?:(?P<process>haproxy)\[(?P<pid>\d+)\]: )?(?P<address>\S+):(?P<port>\d+) \[(?P<time>[^\]]+)\] "
                rb"(?P<message>.*)"
            ),
        ),
        # Envoy's default access log (config/observability/access_log/usage), Istio's adds more quoted words
        "envoy": (
            rb'\[(?P<time>[^\]]+)\] "(?P<method>\S+) (?P<target>\S*) HTTP/(?P<version>[\d.]+)" (?P<status>\d+) '
            rb'\S+ (?:\S+ \S+ "[^"]*" )?\d+ (?P<bytes>\d+) \S+ \S+ "\[?(?P<address>[^",\]]*)[^"]*" "(?P<agent>'
            + QUOTED
            + rb')" "[^"]*" "(?P<domain>[^"]*)"',
        ),
        "aws-alb": (
            rb"(?:https?|h2|wss?|grpcs?) \S+ \S+ (?P<address>\S+):(?P<port>\d+) \S+ \S+ \S+ \S+ (?P<status>\S+) \S+ "
            rb'\S+ (?P<bytes>\S+) "(?P<method>\S+) (?:[a-z]+://(?P<domain>[^/:\s]+)(?::\d+)?)?(?P<target>\S*) '
            rb'HTTP/(?P<version>[\d.]+)" "(?P<agent>'
            + QUOTED
            + rb')" \S+ \S+ \S+ "[^"]*" "[^"]*" "[^"]*" \S+ '
            rb"(?P<time>\S+)",
            rb"(?P<time>\S+) \S+ (?P<address>\S+):(?P<port>\d+) \S+ \S+ \S+ \S+ (?P<status>\S+) \S+ \S+ (?P<bytes>\S+) "
            rb'"(?P<method>\S+) (?:[a-z]+://(?P<domain>[^/:\s]+)(?::\d+)?)?(?P<target>\S*) HTTP/(?P<version>[\d.]+)" '
            rb'"(?P<agent>' + QUOTED + rb')"',
        ),
        "zoraxy": (
            (
                rb"(?P<time>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) \[[^\]]*\] \[router:[^\]]*\] \[origin:(?P<domain>[^\]]*)\] "
                rb"\[client: ?(?P<address>[^\]]*)\] \[useragent: ?(?P<agent>.*?)\] (?P<method>[A-Z]+) (?P<target>\S+) "
                rb"(?P<status>\d+)"
            ),
            (
                rb"\[(?P<time>[^\]]+)\] (?:\[[^\]]*\] )?\[router:[^\]]*\] \[origin:(?P<domain>[^\]]*)\] \[client: ?(?P<address>[^\]]*)\] "
                rb"(?:\[useragent: ?(?P<agent>.*?)\] )?(?P<method>[A-Z]+) (?P<target>\S+) (?P<status>\d+)"
            ),
        ),
        # Squid's native log; its emulation of the common format is read as combined
        "squid": (
            (
                rb"(?P<time>\d+\.\d+)\s+-?\d+ (?P<address>\S+) (?P<action>\w+)/(?P<status>\d+) (?P<bytes>\d+) "
                rb"(?P<method>\S+) (?P<target>\S+) (?P<user>\S+)"
            ),
        ),
        "couchdb": (
            (
                rb"(?:\[(?P<level>\w+)\] )?(?P<time>\S+) \S+ <[\d.]+> \S+ (?P<domain>\S+) (?P<address>\S+) (?P<user>\S+) "
                rb"(?P<method>[A-Z]+) (?P<target>\S+) (?P<status>\d{3}) \S+ \d+"
            ),
        ),
        "apache-common": (rb"(?P<address>\S+) \S+ (?P<user>.*?) " + CLF_TIME + rb" " + HTTP + rb" " + TAIL,),
    }.items()
}
WITH_PORT = re.compile(rb"(\[[^\]]+\]|" + V4 + rb"):(\d{1,5})")
REQUEST_LINE = re.compile(
    rb"(?P<method>[A-Z][A-Za-z_-]{1,19}) (?P<target>\S.*?)(?: HTTP/(?P<version>\d(?:\.\d)?))?"
)


def split_request(line: bytes) -> dict[str, tuple[int, int]]:
    """Spans of http.request.method, url.original and http.version inside a request line."""
    found = REQUEST_LINE.fullmatch(line)
    if found is None or (found["version"] is None and (b" " in found["target"] or b"\\x" in line)):
        return {} if line in {b"", b"-"} else {"url.original": (0, len(line))}
    names = {"method": "http.request.method", "target": "url.original", "version": "http.version"}
    return {ecs: found.span(name) for name, ecs in names.items() if found[name] is not None}


def record(found: re.Match[bytes]) -> Record:
    """The named groups of a match under their ECS names, addresses checked, requests split."""
    fields = {ECS[name]: value for name, value in found.groupdict().items() if value and name in ECS}
    fields = {name: value for name, value in fields.items() if value != b"-"}
    complete(fields)
    return fields


def complete(fields: Record) -> None:
    """source.ip from source.address, and the parts of http.request.line, where they are missing."""
    address = fields.get("source.address")
    if address is not None:
        ported = WITH_PORT.fullmatch(address)
        if ported is not None:
            address = ported[1]
            fields.setdefault("source.port", ported[2])
        address = fields["source.address"] = address.strip(b"[]").rstrip(b":.,")
        ip = canonical(address)
        if ip is not None:
            fields["source.ip"] = ip
    line = fields.get("http.request.line")
    if line is not None:
        for name, (start, end) in split_request(line).items():
            fields.setdefault(name, line[start:end])
