"""Alerts of log rules: EVE's names, and nobody's personal data."""

from __future__ import annotations

import json

from sentinel.detect.sigma.alert import Describer, signature_id
from sentinel.detect.sigma.correlate import Finding
from sentinel.detect.sigma.tree import Correlation, Rule
from sentinel.detect.sigma.values import View
from sentinel.trial import columns_of

LINE = '198.51.100.7 - anna [02/Mar/2026:00:00:37 +0000] "GET /verify?id=11010519491231002X&mail=a.b%40example.net HTTP/1.1" 404 5 "-" "agent"'


def describer():
    return Describer(View(columns_of([LINE], "nginx-access")))


def test_personal_data_is_masked_wherever_the_alert_shows_a_value():
    alert = describer().alert(
        Rule(id="r", title="t", level="high", tags=("pii.resident-id", "attack.collection")), 0
    )
    text = json.dumps(alert.to_eve())
    assert "11010519491231002X" not in text
    assert "a.b" not in text
    assert alert.extra["http"]["url"] == "/verify?id=110105********002X&mail=a***%40example.net"
    assert alert.extra["personal_data"]["resident_id"].startswith("110105********002X #")
    assert alert.src_ip == "198.51.100.7"
    assert alert.extra["user"] == {"name": "anna"}
    assert alert.extra["http"]["status"] == 404
    assert alert.severity == 1
    assert alert.signature_id == signature_id("r")


def test_a_finding_lists_its_lines_and_its_group():
    made = Correlation(id="c", title="many", group_by=("c-ip",))
    alert = describer().finding(Finding(made, 5, 0, (b"198.51.100.7",), (1, 4, 9)))
    assert alert.extra["log"]["lines"] == [1, 4, 9]
    assert alert.extra["correlation"] == {
        "type": "event_count",
        "events": 3,
        "group": {"c-ip": "198.51.100.7"},
    }
