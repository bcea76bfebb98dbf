"""`auto`: which format a log is in, by its first lines.

In: lines. Out: the name of the first format whose shape most of them have; `text` when none does. Strict shapes come
first. Told apart by content, not by file names.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from sentinel.protocol.logs import access, logfmt, message

if TYPE_CHECKING:
    from sentinel.protocol.logs.lines import Lines

LINES_LOOKED_AT = 100
MOSTLY = 0.7  # logs begin with banners, and mix error lines into access logs
FALLBACK = "text"
SHAPES: tuple[tuple[str, tuple[re.Pattern[bytes], ...]], ...] = (
    ("auditd", (logfmt.AUDIT,)),
    ("journald-json", (re.compile(rb'\{.*"__REALTIME_TIMESTAMP"'),)),
    ("caddy-json", (re.compile(rb'\{.*"http\.log\.access'),)),
    ("traefik-json", (re.compile(rb'\{.*"RequestMethod"'),)),
    ("suricata-eve", (re.compile(rb'\{.*"event_type"'),)),
    ("mongodb-json", (re.compile(rb'\{"t":\{"\$date"'),)),
    (
        "envoy-json",
        (
            re.compile(
                rb'\{.*"(?:downstream_remote_address|downstream_direct_remote_address|upstream_cluster)"'
            ),
        ),
    ),
    ("nginx-json", (re.compile(rb'\{.*"(?:request_uri|request_method|http_user_agent|status)"'),)),
    ("json", (re.compile(rb"\s*\{.*\}\s*"),)),
    ("aws-alb", access.TEXT["aws-alb"][:1]),
    ("nginx-proxy-manager", access.TEXT["nginx-proxy-manager"]),
    ("zoraxy", access.TEXT["zoraxy"]),
    ("nginx-access", (access.COMBINED,)),
    ("haproxy", access.TEXT["haproxy"][:1]),
    ("squid", access.TEXT["squid"]),
    ("envoy", access.TEXT["envoy"]),
    ("nginx-error", (re.compile(rb"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[\w+\] \d+#\d+: "),)),
    ("apache-error", (re.compile(rb"\[\w{3} \w{3} +\d+ [\d:.]+ \d{4}\] \["),)),
    ("vsftpd", (re.compile(rb"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4} \[pid \d+\] "),)),
    (
        "postgresql",
        (
            re.compile(
                rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? [\w+:/-]+ .{0,200}?(?:LOG|FATAL|ERROR|PANIC|WARNING|NOTICE|DETAIL|HINT|STATEMENT|CONTEXT|DEBUG\d?|INFO):  "
            ),
        ),
    ),
    (
        "mysql",
        (
            re.compile(
                rb"\d{4}-\d\d-\d\d(?:T| {1,2})\d{1,2}:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)? +(?:0x)?[0-9a-f]+ \[(?:Note|Warning|ERROR|System)\] "
            ),
        ),
    ),
    ("redis", (re.compile(rb"\d+:[XCSM] \d{1,2} \w{3} (?:\d{4} )?\d\d:\d\d:\d\d\.\d+ [.*#-] "),)),
    ("syslog-rfc5424", (re.compile(rb"<\d{1,3}>1 \S+ \S+ \S+ "),)),
    ("syslog-iso", (re.compile(rb"(?:<\d+>)?\d{4}-\d\d-\d\dT\S+ [\w.:-]+ [\w./()-]+(?:\[\d+\])?: "),)),
    (
        "syslog",
        (re.compile(rb"(?:<\d+>)?[A-Z][a-z]{2} [ \d]?\d \d\d:\d\d:\d\d [\w.:-]+ [\w./()-]+(?:\[\d+\])?: "),),
    ),
    ("authelia", (re.compile(rb"(?:[\w.]+=(?:\"[^\"]*\"|\S*) ){2,}.*\bmsg="),)),
)


def guess(lines: Lines) -> str:
    sample = [line for line in lines.take(np.arange(min(len(lines), LINES_LOOKED_AT))) if line.strip()]
    if any(line.startswith(b"#Fields:") for line in sample):
        return "iis-w3c"
    for name, shapes in SHAPES:
        found = sum(any(shape.match(line[: message.LONGEST_READ]) for shape in shapes) for line in sample)
        if found and found >= MOSTLY * len(sample):
            return name
    return FALLBACK
