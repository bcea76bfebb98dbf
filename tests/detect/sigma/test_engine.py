"""Rules over lines, through the real parser: what is alerted on, in which order, about whom."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sentinel.pipeline import log_engine, replay_logs
from sentinel.protocol.logs.clock import zone_of
from sentinel.protocol.logs.parser import LogParser
from sentinel.trial import batch_of

UNION = """
title: Union select
id: 0c4f6d3e-8f4d-4b37-9d1f-0d8b8f6b4c11
level: high
logsource: {category: webserver}
detection:
  found: {cs-uri-query|re|i: 'union\\s+select'}
  condition: found
"""
LINE = '{} - - [02/Mar/2026:00:00:37 +0000] "GET {} HTTP/1.1" 200 18503 "-" "Mozilla/5.0"\n'


@pytest.fixture
def replay(tmp_path):
    def run(rule, lines, log_format="nginx-access"):
        rules = tmp_path / "rules"
        rules.mkdir(exist_ok=True)
        (rules / "rule.yml").write_text(rule)
        log = tmp_path / "access.log"
        log.write_text("".join(lines))
        return list(replay_logs(log, [rules], log_format))

    return run


def test_each_matching_line_gives_an_alert_with_its_number_and_its_client(replay):
    alerts = replay(
        UNION,
        [
            LINE.format("198.51.100.7", "/a?id=union+select+1"),
            LINE.format("198.51.100.8", "/a?id=union+square"),
            LINE.format("2001:db8::9", "/a?id=UNION%20%20SELECT"),
        ],
    )
    assert [(a.src_ip, a.extra["log"]["line"]) for a in alerts] == [("198.51.100.7", 1), ("2001:db8::9", 3)]
    assert {a.level for a in alerts} == {"high"}
    assert alerts[0].extra["http"]["url"] == "/a?id=union+select+1"


@pytest.mark.parametrize(
    "target",
    [
        "/a?id=union%20select",
        "/a?id=union%2520select",
        "/a?id=union%25%32%30select",
        "/a?id=un%69on+select",
        "/a?id=union&#32;select",
        "/a?id=%u0075nion%u0020select",
        "/a?id=union%c0%a0select",
        "/a?id=\\\\x75nion select",
    ],
)
def test_the_decoded_request_is_matched_too(replay, target):
    assert len(replay(UNION, [LINE.format("198.51.100.7", target)])) == 1


def test_a_fresh_engine_judges_as_the_first_did_and_remembers_nothing(tmp_path):
    """Screens know parts of conditions by identity: a copy that made them anew would find other rules' verdicts."""
    from sentinel.detect.sigma.engine import LogEngine
    from sentinel.detect.sigma.read import read
    from sentinel.trial import columns_of

    file = tmp_path / "rules.yml"
    file.write_text(
        "---\n".join(
            f"title: r{n}\nid: 0c4f6d3e-8f4d-4b37-9d1f-0000000000{n:02d}\nlogsource: {{category: webserver}}\n"
            f"detection:\n  a: {{cs-method: [GET, POST], cs-uri-query|contains: word{n}}}\n  b: {{sc-status: [200, {300 + n}]}}\n"
            "  condition: a and not b\n"
            for n in range(30)
        )
    )
    loaded = read([file])
    engine = LogEngine(loaded.rules, loaded.correlations)
    columns = columns_of(
        [LINE.format("198.51.100.7", f"/word{n}").replace(" 200 ", " 404 ") for n in range(30)],
        "nginx-access",
    )
    wanted = [alert.signature for alert in engine.scan(columns)]
    assert len(wanted) >= 30
    for _ in range(20):
        assert [alert.signature for alert in engine.fresh().scan(columns)] == wanted
    assert engine.fresh().correlator is not engine.correlator
    conditions = [rule.condition for rule in engine.rules]
    assert all(
        rule.condition is condition for rule, condition in zip(engine.fresh().rules, conditions, strict=True)
    )


REFUSED = """
title: Refused
name: refused
id: 11111111-0000-4000-8000-000000000001
logsource: {category: authentication}
detection: {found: {event.outcome: failure}, condition: found}
---
title: Series
id: 11111111-0000-4000-8000-000000000002
level: high
correlation: {type: event_count, rules: [refused], group-by: [source.ip], timespan: 1m, condition: {gte: 3}}
"""
SSHD = "{} host sshd[7]: Failed password for root from 198.51.100.7 port 4000 ssh2\n"


@pytest.mark.parametrize(
    ("clocks", "found"),
    [
        # 25 October 2026: at 3:00 summer time clocks in Berlin show 2:00 again; these are 15 s apart, and an hour
        (["Oct 25 02:59:40", "Oct 25 02:59:50", "Oct 25 02:00:05"], True),
        (["Oct 25 01:59:50", "Oct 25 02:00:05", "Oct 25 03:00:10"], False),
        # 29 March 2026: 1:59:59 is followed by 3:00:00
        (["Mar 29 01:59:40", "Mar 29 01:59:55", "Mar 29 03:00:05"], True),
        (["Mar 29 00:59:40", "Mar 29 00:59:55", "Mar 29 03:00:05"], False),
        # the turn of the year, in a format that writes none
        (["Dec 31 23:59:40", "Dec 31 23:59:55", "Jan  1 00:00:05"], True),
    ],
)
def test_windows_hold_over_changes_of_the_wall_clock(tmp_path, clocks, found):
    (tmp_path / "rule.yml").write_text(REFUSED)
    engine = log_engine([tmp_path / "rule.yml"])
    parser = LogParser("syslog", zone=zone_of("Europe/Berlin"))
    parser.clock.reference = lambda: int(datetime(2027, 1, 2, tzinfo=UTC).timestamp()) * 10**9
    signatures = []
    for clock in clocks:  # each line a batch of its own, as they arrive
        columns = parser.parse(batch_of([SSHD.format(clock).rstrip("\n")]))
        signatures += [alert.signature for alert in engine.scan(columns)]
    assert ("Series" in signatures) is found


def test_zones_written_in_the_lines_count_as_one_time(replay):
    line = '198.51.100.7 - - [02/Mar/2026:{}] "POST /x HTTP/1.1" 401 5 "-" "x"\n'
    rule = REFUSED.replace("event.outcome: failure", "sc-status: 401").replace("authentication", "webserver")
    clocks = ["10:00:00 +0000", "11:00:20 +0100", "05:00:40 -0500"]
    assert "Series" in [alert.signature for alert in replay(rule, map(line.format, clocks))]
    assert "Series" not in [a.signature for a in replay(rule, [line.format(c[:9] + "+0000") for c in clocks])]
