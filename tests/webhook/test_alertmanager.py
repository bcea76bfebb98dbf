"""An EVE alert in Alertmanager's words."""

from datetime import UTC, datetime, timedelta

from sentinel.webhook.alertmanager import annotations_of, labels_of, postable

EVE = {
    "timestamp": "2026-03-02T08:00:00.000000+0000",
    "event_type": "alert",
    "host": "shop-web-1",
    "src_ip": "192.0.2.7",
    "alert": {
        "rule_id": "r1",
        "level": "high",
        "signature": "something bad",
        "source": "log",
        "category": "execution",
    },
    "log": {"file": "/var/log/nginx/access.log", "line": 7},
    "http": {"http_method": "GET", "url": "/x", "status": 404},
}


def test_labels_identify_and_annotations_tell_where():
    assert labels_of(EVE, {"team": "shop"}) == {
        "alertname": "something bad",
        "rule_id": "r1",
        "level": "high",
        "severity": "critical",
        "source": "log",
        "instance": "shop-web-1",
        "src_ip": "192.0.2.7",
        "team": "shop",
    }
    assert annotations_of(EVE, 3) == {
        "summary": "something bad",
        "category": "execution",
        "request": "GET /x 404",
        "log": "/var/log/nginx/access.log:7",
        "times": "3",
    }


def test_it_ends_after_a_while_from_now_or_from_when_it_was_seen():
    old = postable(EVE, {"alertname": "x"}, 1, 60)
    assert old["startsAt"] == "2026-03-02T08:00:00+00:00"
    assert datetime.fromisoformat(old["endsAt"]) > datetime.now(UTC)
    later = datetime.now(UTC) + timedelta(days=1)
    ahead = postable({**EVE, "timestamp": later.isoformat()}, {"alertname": "x"}, 1, 60)
    assert datetime.fromisoformat(ahead["endsAt"]) == later + timedelta(seconds=60)


def test_any_object_has_a_name_and_bounded_text():
    assert labels_of({"alert": "text", "host": 5}, {})["alertname"] == "sentinel"
    long = {"alert": {"signature": "x" * 9_999}, "timestamp": "never"}
    assert len(labels_of(long, {})["alertname"]) == 256
    assert len(annotations_of(long, 1)["summary"]) == 1024
    assert postable(long, {}, 1, 60)["startsAt"]
