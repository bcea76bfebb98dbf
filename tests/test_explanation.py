"""One line explained: what is parsed, decoded and derived, and the shortest reason of each verdict."""

import pytest

from sentinel.errors import InvalidInputError, UsageError
from sentinel.explanation import explain
from sentinel.protocol.derive.attach import Derivation
from sentinel.protocol.derive.shop import Vocabulary

RULES = """
title: Basket emptied
id: 4be6b5c1-9a3c-4b2e-8f0a-0d6f6f0b7c01
name: emptied
logsource: {category: webserver}
detection:
  found:
    cs-uri-stem|contains: [empty-basket, empty-cart]
    cs-method: GET
  known: {cs-user-agent: monitor}
  condition: found and not known
---
title: Baskets emptied
id: 4be6b5c1-9a3c-4b2e-8f0a-0d6f6f0b7c02
correlation: {type: event_count, rules: [emptied], group-by: [source.ip], timespan: 1m, condition: {gte: 5}, generate: true}
---
title: Daemon
id: 4be6b5c1-9a3c-4b2e-8f0a-0d6f6f0b7c03
logsource: {product: linux, service: sshd}
detection: {found: [Failed], condition: found}
---
title: Bought
id: 4be6b5c1-9a3c-4b2e-8f0a-0d6f6f0b7c04
logsource: {category: webserver}
detection: {found: {shop.action: pay}, condition: found}
"""
LINE = '198.51.100.7 - - [02/Mar/2026:10:00:00 +0000] "GET {} HTTP/1.1" 200 5 "-" "{}"'


@pytest.fixture
def rules(tmp_path):
    file = tmp_path / "rule.yml"
    file.write_text(RULES)
    return [file]


def test_fields_decoded_values_and_why(rules):
    found = explain(LINE.format("/%65mpty-basket", "x"), "auto", rules)
    assert (found.format, found.parsed) == ("nginx-access", True)
    assert found.fields["url.original"] == "/%65mpty-basket"
    assert found.decoded["url.original"] == "/empty-basket"
    (tried,) = found.matched
    assert tried.rule == "Basket emptied"
    assert "yes   cs-uri-stem is '*empty-basket*'" in tried.why
    assert tried.feeds == ["Baskets emptied (event_count gte 5 in 60 s by source.ip)"]


def test_why_not(rules):
    excluded = explain(LINE.format("/empty-cart", "monitor"), "nginx-access", rules, only="Basket emptied")
    assert [each.why for each in excluded.tried] == [["excluded by cs-user-agent is 'monitor'"]]
    other = explain(LINE.format("/full", "x"), "nginx-access", rules, only="emptied")
    assert other.tried[0].why == [
        "no    cs-uri-stem is '*empty-basket*'",
        "no    cs-uri-stem: nor any of 1 more",
    ]
    (daemon,) = explain(LINE.format("/Failed", "x"), "nginx-access", rules, only="Daemon").tried
    assert daemon.why == ["its log source (linux, sshd) is not this line's (format nginx-access)"]
    absent = explain("Mar  2 10:00:00 h sshd[1]: hello", "syslog", rules, only="Basket emptied")
    assert "log source" in absent.tried[0].why[0]


def test_a_correlation_names_the_rules_it_counts(rules):
    found = explain(LINE.format("/empty-cart", "x"), "nginx-access", rules, only="Baskets emptied")
    assert [(each.rule, each.matched) for each in found.tried] == [("Basket emptied", True)]


def test_the_shops_own_words(rules):
    line = LINE.format("/kasse/zahlen", "x")
    assert "shop.action" not in explain(line, "nginx-access", rules).fields
    mapped = Derivation(Vocabulary({"pay": ["/kasse/zahlen"]}))
    found = explain(line, "nginx-access", rules, derivation=mapped)
    assert found.fields["shop.action"] == "pay"
    assert [each.rule for each in found.matched] == ["Bought"]


def test_personal_data_is_masked(rules):
    found = explain(LINE.format("/x?mobile=13812345678", "x"), "nginx-access", rules)
    assert "13812345678" not in repr(found)
    assert found.fields["pii.mobile"].startswith("138****5678 #")


def test_a_line_that_fits_nothing_and_a_rule_that_is_none(rules, tmp_path):
    assert not explain("garbage", "nginx-access", rules).parsed
    with pytest.raises(UsageError):
        explain("garbage", "auto", rules, only="No such")
    bad = tmp_path / "bad.yml"
    bad.write_text("title: x\nlogsource: {category: webserver}\n")
    with pytest.raises(InvalidInputError):
        explain("garbage", "auto", [bad])
