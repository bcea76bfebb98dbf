"""Correlations through whole rule files: grouping, aliases, chains, generate, bounds."""

from __future__ import annotations

import itertools
import math
import statistics
from datetime import UTC, datetime

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.detect.sigma import correlate
from sentinel.detect.sigma.correlate import Correlator
from sentinel.detect.sigma.tree import Correlation, Kind, Limit, Rule
from sentinel.detect.sigma.values import View
from sentinel.model import Column, Columns
from sentinel.pipeline import replay_logs

BASE = """
title: Refused
name: refused
id: 11111111-0000-4000-8000-000000000001
logsource: {category: webserver}
detection: {found: {sc-status: 401}, condition: found}
---
title: Admin page
name: admin
id: 11111111-0000-4000-8000-000000000002
logsource: {category: webserver}
detection: {found: {cs-uri-stem: /admin}, condition: found}
---
"""
LINE = '{} - {} [02/Mar/2026:00:{:02d}:{:02d} +0000] "GET {} HTTP/1.1" {} 5 "-" "x"\n'


def line(second, address="198.51.100.7", status=401, path="/login", user="-"):
    return LINE.format(address, user, second // 60, second % 60, path, status)


@pytest.fixture
def replay(tmp_path):
    def run(correlation, lines):
        rules = tmp_path / "rules.yml"
        rules.write_text(BASE + correlation)
        log = tmp_path / "access.log"
        log.write_text("".join(lines))
        alerts = replay_logs(log, [rules], "nginx-access")
        return [(a.signature, a.src_ip, a.extra["log"]["line"], a.extra["log"].get("lines")) for a in alerts]

    return run


COUNT = """
title: Many
name: many
id: 11111111-0000-4000-8000-000000000003
correlation: {{type: event_count, rules: [refused], group-by: [c-ip], timespan: 1m, condition: {{gte: 3}}, generate: {}}}
"""


def test_event_count_names_the_address_and_the_lines(replay):
    lines = [line(0), line(1, "192.0.2.1"), line(2), line(3), line(4)]
    found = replay(COUNT.format("false"), lines)
    assert [each for each in found if each[0] != "Admin page"] == [("Many", "198.51.100.7", 4, [1, 3, 4])]


def test_generate_lets_the_rule_alert_too(replay):
    found = replay(COUNT.format("true"), [line(n) for n in range(3)])
    assert [each[0] for each in found] == ["Refused", "Refused", "Refused", "Many"]


def test_events_too_far_apart_do_not_count(replay):
    assert replay(COUNT.format("false"), [line(n * 59) for n in range(5)]) == []


def test_delayed_lines_count_by_their_own_time(replay):
    assert [each[0] for each in replay(COUNT.format("false"), [line(40), line(300), line(20), line(30)])] == [
        "Many"
    ]


def test_values_are_counted_once(replay):
    rule = """
title: Accounts
id: 11111111-0000-4000-8000-000000000004
correlation: {type: value_count, rules: [refused], group-by: [source.ip], timespan: 1m, condition: {gte: 3, field: cs-username}}
"""
    assert replay(rule, [line(n, user="anna") for n in range(6)]) == []
    assert [each[0] for each in replay(rule, [line(n, user=f"u{n}") for n in range(6)])] == ["Accounts"]


def test_order_and_aliases(replay):
    rule = """
title: Then
id: 11111111-0000-4000-8000-000000000005
correlation:
  type: temporal_ordered
  rules: [refused, admin]
  group-by: [who]
  timespan: 1m
  aliases: {who: {refused: source.ip, admin: c-ip}}
"""
    admin = line(5, status=200, path="/admin")
    assert [each[0] for each in replay(rule, [line(1), admin])] == ["Then"]
    assert replay(rule, [admin, line(9)]) == []


def test_a_correlation_may_refer_to_a_correlation_whatever_the_order_of_documents(replay):
    rule = """
title: Chain
id: 11111111-0000-4000-8000-000000000006
correlation: {type: temporal_ordered, rules: [many, admin], group-by: [c-ip], timespan: 5m}
---
"""
    lines = [line(1), line(2), line(3), line(9, status=200, path="/admin")]
    assert [each[0] for each in replay(rule + COUNT.format("false"), lines)] == ["Chain"]


def test_tables_are_bounded_evictions_counted_and_the_one_who_keeps_coming_is_found(monkeypatch):
    monkeypatch.setattr(correlate, "ONCE", 1_000)
    monkeypatch.setattr(correlate, "AGAIN", 100)
    rule = Rule(id="r", title="r")
    made = Correlation(
        id="c",
        title="c",
        kind=Kind.EVENT_COUNT,
        rules=[rule],
        group_by=("source.ip",),
        timespan_ns=10**15,
        limits=(Limit("gte", 5),),
    )
    correlator = Correlator([made])
    found = []
    for first in range(0, 20_000, 500):
        numbers = range(first, first + 500)
        addresses = [b"attacker" if number % 900 == 0 else b"%d" % number for number in numbers]
        rows = np.arange(500, dtype=np.int64)
        columns = {"source.ip": Column.of(addresses)}
        view = View(Columns(500, "log", rows + first, rows + first, columns))
        found += correlator.arrive([(rule, rows)], view)
    assert {finding.key for finding in found} == {(b"attacker",)}
    assert correlator.sizes() <= 1_100
    assert correlator.evicted > 15_000


# --- random correlations, through YAML and whole lines, against counting over all events --------------------------

START = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp())
EVENTS = {401: "one", 403: "two"}
GROUPS = {"one": {"c-ip": "source.ip", "who": "user.name"}, "two": {"c-ip": "source.ip", "who": "url.path"}}
HOLDS = {"gt": float.__gt__, "gte": float.__ge__, "lt": float.__lt__, "lte": float.__le__, "eq": float.__eq__, "neq": float.__ne__}  # fmt: skip


def in_order(names):
    """The longest run of rules in the order of the correlation, by trying all subsets."""
    numbers = [("one", "two").index(name) for name in names][-12:]
    chosen = (combination for size in (2, 1) for combination in itertools.combinations(numbers, size))
    return next((len(c) for c in chosen if list(c) == sorted(set(c))), 0)


SUMMARIES = {
    "event_count": len,
    "value_count": lambda events: len({event["size"] for event in events}),
    "temporal": lambda events: len({event["rule"] for event in events}),
    "temporal_ordered": lambda events: in_order([event["rule"] for event in events]),
    "value_sum": lambda events: sum(event["size"] for event in events),
    "value_avg": lambda events: statistics.fmean(event["size"] for event in events),
    "value_median": lambda events: statistics.median(event["size"] for event in events),
    "value_percentile": lambda events: sorted(e["size"] for e in events)[
        max(math.ceil(len(events) * 0.5), 1) - 1
    ],
}


def naive(correlation, events):
    """Per group: after each event, is there an instant whose window holds enough? Then the group starts anew."""
    kind, span = correlation["type"], int(correlation["timespan"].rstrip("s"))
    (operator, number), *_ = correlation["condition"].items()
    groups, fired, findings = {}, {}, []
    for event in events:
        key = tuple(event[GROUPS[event["rule"]][name]] for name in correlation["group-by"])
        if abs(event["time"] - fired.get(key, -(10**9))) <= span:
            continue
        kept = groups.setdefault(key, [])
        kept.append(event)
        kept.sort(key=lambda each: each["time"])
        for end in sorted(
            {each["time"] for each in kept if event["time"] <= each["time"] <= event["time"] + span}
        ):
            window = [each for each in kept if end - span <= each["time"] <= end]
            if HOLDS[operator](float(SUMMARIES[kind](window)), float(number)):
                findings.append((event["line"], sorted(each["line"] for each in window)))
                groups[key], fired[key] = [], end
                break
    return findings


correlations = st.fixed_dictionaries(
    {
        "type": st.sampled_from(sorted(SUMMARIES)),
        "group-by": st.sampled_from([["c-ip"], ["c-ip", "who"], ["who"]]),
        "timespan": st.sampled_from(["5s", "20s"]),
        "condition": st.tuples(st.sampled_from(sorted(HOLDS)), st.integers(1, 4)),
    }
)
lines_of = st.lists(
    st.tuples(st.integers(0, 50), st.integers(1, 2), st.sampled_from(["ann", "bob"]), st.sampled_from([401, 403]), st.integers(1, 4)),
    min_size=1, max_size=12,
)  # fmt: skip


@settings(max_examples=60)
@given(correlations, lines_of)
def test_random_correlations_agree_with_counting_over_all_events(tmp_path_factory, correlation, drawn):
    operator, number = correlation["condition"]
    correlation = {**correlation, "condition": {operator: number}, "rules": ["one", "two"]}
    correlation["aliases"] = {"who": {"one": "cs-username", "two": "cs-uri-stem"}}
    if correlation["type"].startswith("value"):
        correlation["condition"]["field"] = "sc-bytes"
    rules = [
        {
            "title": name, "name": name, "id": f"11111111-0000-4000-8000-00000000000{status % 10}",
            "logsource": {"category": "webserver"}, "detection": {"a": {"sc-status": status}, "condition": "a"},
        }
        for status, name in EVENTS.items()
    ]  # fmt: skip
    folder = tmp_path_factory.mktemp("correlation")
    (folder / "rules.yml").write_text(
        yaml.safe_dump_all(
            [*rules, {"title": "C", "id": "11111111-0000-4000-8000-000000000009", "correlation": correlation}]
        )
    )
    texts, events = [], []
    for second, host, who, status, size in drawn:
        rule = EVENTS[status]
        user, path = (who, "/x") if rule == "one" else ("zoe", who)
        texts.append(
            f'198.51.100.{host} - {user} [02/Mar/2026:00:00:{second:02d} +0000] "GET {path} HTTP/1.1" {status} {size} "-" "x"\n'
        )
        events.append({"rule": rule, "time": second, "line": len(texts), "size": size, "source.ip": host,
                       "user.name": user, "url.path": path})  # fmt: skip
    (folder / "access.log").write_text("".join(texts))
    alerts = list(replay_logs(folder / "access.log", [folder / "rules.yml"], "nginx-access"))
    found = [(a.extra["log"]["line"], sorted(a.extra["log"]["lines"])) for a in alerts]
    assert found == naive(correlation, events)
    assert all(START <= a.timestamp // 10**9 <= START + 50 for a in alerts)
