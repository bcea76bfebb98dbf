"""The component: journals in, alerts at a real receiver, nothing lost over a restart."""

import json
import threading

import pytest
from waiting import until

from sentinel.config import WebhookSettings
from sentinel.webhook import component, post


def eve(rule="r1", level="high", address="192.0.2.7"):
    return json.dumps(
        {
            "timestamp": "2026-03-02T08:00:00.000000+0000",
            "event_type": "alert",
            "src_ip": address,
            "alert": {"rule_id": rule, "level": level, "signature": f"rule {rule}", "source": "log"},
        }
    )


@pytest.fixture
def journal(tmp_path):
    path = tmp_path / "logs.jsonl"
    path.write_text(eve("before") + "\n")
    return path


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch):
    monkeypatch.setattr(post, "FIRST_PAUSE_SECONDS", 0.01)


class Running:
    def __init__(self, receiver, journal, state, **more):
        settings = WebhookSettings.model_validate({"url": receiver.url, **more})
        self.webhook = component.Webhook(settings, [journal], state)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.webhook.run, args=(self.stop,))

    def __enter__(self):
        self.thread.start()
        return self.webhook

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def append(path, *lines):
    with path.open("a") as file:
        file.write("".join(f"{line}\n" for line in lines))


def names(receiver):
    return [alert["labels"]["rule_id"] for alert in receiver.alerts]


def test_new_alerts_of_the_level_are_sent_once_with_their_number(receiver, journal, state):
    first = component.Webhook(WebhookSettings.model_validate({"url": receiver.url}), [journal], state)
    first.run(_stopped())  # the very first start: what was there before is not news
    append(
        journal,
        eve("r1"),
        eve("r1"),
        "no JSON",
        '{"event_type": "stats"}',
        eve("low", level="low"),
        eve("r2"),
    )
    with Running(receiver, journal, state) as webhook:
        until(lambda: webhook.status()["sent"] == 2)
        append(journal, eve("r1"), eve("r3"))
        until(lambda: webhook.status() == {"sent": 3, "repeated": 1, "given_up": 0})
    assert names(receiver) == ["r1", "r2", "r3"]
    assert receiver.alerts[0]["annotations"]["times"] == "2"


def _stopped():
    stop = threading.Event()
    stop.set()
    return stop


def test_what_comes_while_it_is_down_is_sent_after_the_next_start(receiver, journal, state):
    component.Webhook(WebhookSettings.model_validate({"url": receiver.url}), [journal], state).run(_stopped())
    receiver.answers = [503] * 10_000
    append(journal, eve("r1"))
    with Running(receiver, journal, state):
        until(lambda: receiver.requests)
    receiver.answers = []
    append(journal, eve("r2"))
    with Running(receiver, journal, state) as webhook:
        until(lambda: webhook.status()["sent"] == 2)
    assert names(receiver) == ["r1", "r2"]


def test_refused_alerts_are_counted_and_do_not_stop_the_others(receiver, journal, state):
    component.Webhook(WebhookSettings.model_validate({"url": receiver.url}), [journal], state).run(_stopped())
    receiver.answers = [400]
    with Running(receiver, journal, state) as webhook:
        append(journal, eve("r1"))
        until(lambda: webhook.status()["given_up"] == 1)
        append(journal, eve("r2"))
        until(lambda: webhook.status()["sent"] == 1)
    assert names(receiver) == ["r2"]


def test_memory_of_identities_is_bounded_and_requests_too(receiver, journal, state, monkeypatch):
    monkeypatch.setattr(component, "REMEMBERED", 5)
    component.Webhook(WebhookSettings.model_validate({"url": receiver.url}), [journal], state).run(_stopped())
    with Running(receiver, journal, state) as webhook:
        append(journal, *(eve(f"r{n}") for n in range(250)))
        until(lambda: webhook.status()["sent"] == 250)
        assert len(webhook._sent) == 5
    assert len(receiver.requests) >= 3


def test_reload_takes_other_settings(receiver, journal, state):
    webhook = component.Webhook(WebhookSettings.model_validate({"url": receiver.url}), [journal], state)
    webhook.reload(WebhookSettings.model_validate({"url": receiver.url, "minimum_level": "critical"}))
    assert list(webhook._wanted([eve().encode(), eve("r2", "critical").encode()])) == [
        json.loads(eve("r2", "critical"))
    ]
