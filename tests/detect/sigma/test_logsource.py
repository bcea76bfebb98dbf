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
        (LogSource("webserver"), "syslog", False),
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
