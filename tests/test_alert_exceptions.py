"""Exceptions: what they cover, when they end, what they leave in the journal."""

import json
from datetime import UTC, datetime

import pytest

from sentinel import metrics, yamlfile
from sentinel.alert_exceptions import EVENT_TYPE, AlertException, Exceptions, Seen, tally
from sentinel.config import Config
from sentinel.errors import InvalidInputError
from sentinel.model import Alert
from sentinel.outputs import Journal
from sentinel.respond.responder import alerts_of

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
AT_NOON = int(NOON.timestamp()) * 10**9


def alert(rule="9", src="192.0.2.1", dst="10.0.0.2", url="/shell.php?x=1", moment=AT_NOON):
    return Alert(moment, "network", rule, "Shell", src_ip=src, dest_ip=dst, extra={"http": {"url": url}})


def exception(until="2026-11-25T12:00:01Z", **fields):
    return AlertException.model_validate({"until": until, "reason": "CHG-7", **fields})


def covers(one, **fields):
    return Exceptions([one]).covering(alert(**fields)) is not None


def test_a_rule_an_address_a_path_must_all_fit():
    one = exception(rule=9, address="192.0.2.0/24", path="/shell*")
    assert covers(one)
    assert not covers(one, rule="10")
    assert not covers(one, src="198.51.100.1")
    assert not covers(one, url="/other")


def test_an_address_is_looked_for_at_both_ends():
    assert covers(exception(address="10.0.0.2"))
    assert covers(exception(address="192.0.2.1"), src="::ffff:192.0.2.1", dst="")
    assert not covers(exception(address="2001:db8::/32"))
    assert not covers(exception(address="10.0.0.2"), src="", dst="")


def test_a_path_is_compared_without_host_and_query():
    assert covers(exception(path="/shell.php"))
    assert covers(exception(path="/shell.php"), url="https://shop.example/shell.php?x=1")
    assert not covers(exception(path="/shell"))


def test_the_end_is_compared_with_the_time_of_the_alert():
    one = exception(rule=9)
    assert covers(one, moment=AT_NOON + 999_999_999)
    assert not covers(one, moment=AT_NOON + 1_000_000_000)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("{rule: 9, reason: x}", "until"),
        ("{rule: 9, until: 2026-12-01T00:00:00Z}", "reason"),
        ("{until: 2026-12-01T00:00:00Z, reason: x}", "would hide every alert"),
        ("{address: shop, until: 2026-12-01T00:00:00Z, reason: x}", "'shop' is no address or network"),
    ],
)
def test_an_exception_that_is_none_is_refused_with_its_line(fields, message):
    with pytest.raises(InvalidInputError) as refused:
        yamlfile.parse(f"exceptions:\n  - {fields}\n", Config, "sentinel.yml")
    assert message in str(refused.value)
    assert "sentinel.yml:2" in str(refused.value)


def test_the_journal_keeps_what_is_hidden_and_nobody_acts_on_it(tmp_path):
    journal = Journal(tmp_path / "network.jsonl", exceptions=Exceptions([exception(rule=9)]))
    journal.append([alert("9"), alert("10")])
    journal.close()
    first, second = map(json.loads, journal.path.read_text().splitlines())
    assert first["event_type"] == EVENT_TYPE
    assert first["exception"] == {"until": "2026-11-25T12:00:01+00:00", "reason": "CHG-7"}
    assert first["alert"]["rule_id"] == "9"
    assert second["event_type"] == "alert"
    assert "exception" not in second

    class Batch:
        def rows(self):
            return journal.path.read_bytes().splitlines()

    assert [eve["alert"]["rule_id"] for eve in alerts_of(Batch())] == ["10"]


def test_an_ended_exception_is_reported_once(caplog):
    exceptions = Exceptions([exception(rule=9), exception(rule=10, until="2030-01-01")])
    exceptions.report(AT_NOON)
    assert not caplog.records
    exceptions.report(AT_NOON + 2 * 10**9)
    exceptions.report(AT_NOON + 3 * 10**9)
    assert [record.message for record in caplog.records] == [
        "exception has ended and hides nothing: rule 9 (CHG-7)"
    ]
    figures = {
        dict(series.labels)["state"]: value
        for series, value in metrics.held().items()
        if series.name == metrics.alert_exceptions.name
    }
    assert figures == {"active": 1, "ended": 1}


def test_a_tally_counts_hidden_and_visible_alerts(tmp_path):
    journal = Journal(tmp_path / "network.jsonl")
    journal.append([alert("9", moment=AT_NOON - 10**9), alert("9"), alert("10")])
    journal.exceptions = Exceptions([exception(rule=9)])
    journal.append([alert("9", url="/a")])
    journal.close()
    events = [json.loads(line) for line in journal.path.read_text().splitlines()] + [{"event_type": "alert"}]
    wide, narrow = tally([exception(rule=9), exception(path="/a")], events, AT_NOON)
    assert (wide.hidden, wide.visible, wide.last) == (1, 1, AT_NOON)
    assert (narrow.hidden, narrow.visible) == (1, 0)


def test_an_alert_and_its_eve_are_the_same_subject():
    one = alert()
    assert Seen.of_eve(one.to_eve()) == Seen.of(one)
