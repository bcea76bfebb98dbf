"""Rules that a log's fields can never satisfy are named, once there are lines enough to know."""

import pytest

from sentinel.detect.sigma import blind
from sentinel.detect.sigma.blind import FieldWatch
from sentinel.detect.sigma.read import read
from sentinel.trial import columns_of

RULES = """
title: Needs a cookie
id: 4be6b5c1-9a3c-4b2e-8f0a-0d6f6f0b7c01
logsource: {category: webserver}
detection:
  found: {cs-cookie|contains: admin=1}
  method: {cs-method: GET}
  condition: found and method
---
title: Cookie or target
id: 4be6b5c1-9a3c-4b2e-8f0a-0d6f6f0b7c02
logsource: {category: webserver}
detection:
  cookie: {cs-cookie|contains: x}
  target: {cs-uri|contains: x}
  condition: cookie or target
---
title: No referrer
id: 4be6b5c1-9a3c-4b2e-8f0a-0d6f6f0b7c03
logsource: {category: webserver}
detection:
  none: {cs-referer: null}
  known: {cs-cookie: a}
  condition: none and not known
---
title: Personal data
id: 4be6b5c1-9a3c-4b2e-8f0a-0d6f6f0b7c04
logsource: {category: webserver}
detection:
  found: {pii.card|exists: true}
  condition: found
---
title: For any log
id: 4be6b5c1-9a3c-4b2e-8f0a-0d6f6f0b7c05
logsource: {category: authentication}
detection:
  found: {event.outcome: failure}
  condition: found
"""
PLAIN = '192.0.2.7 - - [02/Mar/2026:08:00:00 +0000] "GET /a HTTP/1.1" 200 5 "-" "x"'
COOKIE = '{"time":"2026-03-02T08:00:00Z","remote_addr":"192.0.2.7","request":"GET / HTTP/1.1","status":200,"http_cookie":"a=b"}'


@pytest.fixture
def rules(tmp_path):
    file = tmp_path / "r.yml"
    file.write_text(RULES)
    return read([file]).rules


def test_a_field_that_never_occurs(rules, monkeypatch):
    monkeypatch.setattr(blind, "LINES", 30)
    watch = FieldWatch.of(rules, "nginx-access")
    assert not watch.observe(columns_of([PLAIN] * 20, "nginx-access"))
    assert watch.observe(columns_of([PLAIN] * 20, "nginx-access"))
    assert watch.blind == {"Needs a cookie": ("cs-cookie",)}


def test_it_comes_and_the_verdict_changes(rules, monkeypatch):
    monkeypatch.setattr(blind, "LINES", 1)
    monkeypatch.setattr(blind, "AFTERWARDS", 1)
    watch = FieldWatch.of(rules, "nginx-json")
    assert watch.observe(columns_of([COOKIE.replace("http_cookie", "other")], "nginx-json"))
    assert watch.observe(columns_of([COOKIE], "nginx-json"))
    assert watch.blind == {}


def test_mixed_logs_say_nothing(rules, monkeypatch):
    monkeypatch.setattr(blind, "LINES", 1)
    watch = FieldWatch.of(rules, "syslog")
    assert not watch.observe(columns_of(["Mar  2 10:00:00 h sshd[1]: hello"] * 9, "syslog"))


def test_after_the_verdict_it_looks_seldom(rules, monkeypatch):
    monkeypatch.setattr(blind, "LINES", 1)
    watch = FieldWatch.of(rules, "nginx-json")
    watch.observe(columns_of([COOKIE.replace("http_cookie", "other")], "nginx-json"))
    changes = [watch.observe(columns_of([COOKIE], "nginx-json")) for _ in range(blind.AFTERWARDS)]
    assert changes.count(True) == 1
