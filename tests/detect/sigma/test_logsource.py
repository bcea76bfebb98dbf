"""Log sources: which lines a rule means."""

from __future__ import annotations

import numpy as np
import pytest

from sentinel.detect.sigma.logsource import rows_of, serves
from sentinel.detect.sigma.tree import LogSource
from sentinel.detect.sigma.values import View
from sentinel.trial import columns_of


@pytest.mark.parametrize(
    ("source", "kind", "wanted"),
    [
        (LogSource("webserver"), "nginx-access", True),
        (LogSource("webserver"), "syslog", True),
        (LogSource("webserver"), "nginx-error", False),
        (LogSource("webserver"), "iis-w3c", True),
        (LogSource("webserver", service="iis"), "iis-w3c", True),
        (LogSource("webserver"), '$remote_addr "$request" $status', True),
        (LogSource("webserver"), r"(?<address>\S+) (?<request>.*)", True),
        (LogSource("webserver", service="apache"), "nginx-access", False),
        (LogSource(product="linux", service="sshd"), "syslog", True),
        (LogSource(product="linux", service="auditd"), "auditd", True),
        (LogSource(product="windows"), "syslog", False),
        (LogSource("authentication"), "vaultwarden", True),
        (LogSource("proxy"), "squid", True),
        (LogSource("proxy"), "nginx-access", False),
    ],
)
def test_formats_serve_sources(source, kind, wanted):
    assert serves(source, kind) is wanted


def test_a_service_of_syslog_is_chosen_per_line():
    lines = [
        f"Mar  2 10:00:0{n} host {name}[1]: message"
        for n, name in enumerate(("sshd", "cron", "sudo", "postfix/smtpd"))
    ]
    view = View(columns_of(lines, "syslog"))
    rows = np.arange(4)
    assert rows_of(LogSource(product="linux", service="sshd"), view, rows).tolist() == [
        True,
        False,
        False,
        False,
    ]
    assert rows_of(LogSource(product="linux", service="postfix"), view, rows).tolist() == [
        False,
        False,
        False,
        True,
    ]
    assert rows_of(LogSource(product="linux"), view, rows) is None


def test_of_mixed_lines_the_requests_are_a_web_servers():
    lines = [
        (
            "Mar  2 10:00:00 lb haproxy[12]: 198.51.100.7:4711 [02/Mar/2026:10:00:00.123] https~ shop/web1 0/0/1/2/3 200 5 - - "
            '---- 1/1/0/0/0 0/0 "GET / HTTP/1.1"'
        ),
        "Mar  2 10:00:00 lb sshd[811]: GET / HTTP/1.1",
    ]
    view = View(columns_of(lines, "syslog"))
    assert rows_of(LogSource("webserver"), view, np.arange(2)).tolist() == [True, False]
    assert rows_of(LogSource("webserver"), View(columns_of(lines[1:], "syslog")), np.arange(1)).tolist() == [
        False
    ]
