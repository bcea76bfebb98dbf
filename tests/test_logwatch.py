"""The log plane as the daemon runs it: followed files -> rules -> journal, with reload and Sentinel's own alerts."""

import json
import threading

import pytest
from waiting import until

from sentinel import pipeline
from sentinel.capture.settings import LogFile
from sentinel.config import LogsSettings
from sentinel.errors import InvalidInputError
from sentinel.outputs import Journal
from sentinel.pipeline import LogWatch
from sentinel.state import State

RULE = """
title: {title}
id: 6f4a1c1e-7f0a-4c0e-9f5d-2a9f3c7d1b4{digit}
logsource: {{category: webserver}}
detection:
    found: {{cs-uri-query|contains: "{word}"}}
    condition: found
level: high
"""
LINE = '192.0.2.7 - - [02/Mar/2026:08:00:00 +0000] "GET /{} HTTP/1.1" 200 5 "-" "-"\n'


class Plane:
    def __init__(self, folder):
        self.folder = folder
        self.log = folder / "access.log"
        self.log.touch()
        self.state = State(folder / "state")
        self.journal = Journal(folder / "logs.jsonl")
        self.stop = threading.Event()
        self.watch = None
        self.thread = None

    def settings(self, *rules, **more):
        paths = []
        for digit, word in enumerate(rules):
            path = self.folder / f"{word}.yml"
            path.write_text(RULE.format(title=word, word=word, digit=digit))
            paths.append(str(path))
        return LogsSettings(rules=paths, files=[LogFile(path=str(self.log), format="nginx-access", **more)])

    def start(self, settings):
        self.watch = LogWatch(settings, self.state, self.journal)
        self.thread = threading.Thread(target=self.watch.run, args=(self.stop,))
        self.thread.start()
        until(lambda: self.state.checkpoint(f"log:{self.log}") is not None)

    def write(self, text):
        with self.log.open("a") as file:
            file.write(text)

    def alerts(self):
        return [json.loads(line) for line in self.journal.path.read_text().splitlines()]

    def close(self):
        self.stop.set()
        if self.thread is not None:
            self.thread.join()
        self.journal.close()
        self.state.close()


@pytest.fixture
def plane(tmp_path):
    plane = Plane(tmp_path)
    yield plane
    plane.close()


def test_an_alert_names_the_line(plane):
    plane.start(plane.settings("attack"))
    plane.write(LINE.format("fine") + LINE.format("attack"))
    until(plane.alerts)

    (alert,) = plane.alerts()
    assert (alert["src_ip"], alert["log"]["line"], alert["timestamp"][:19]) == (
        "192.0.2.7",
        2,
        "2026-03-02T08:00:00",
    )
    assert plane.watch.status()["lines"] == 2


def test_a_reload_brings_new_rules_and_loses_no_line(plane):
    plane.start(plane.settings("first"))
    plane.write(LINE.format("first"))
    until(plane.alerts)
    plane.watch.reload(plane.settings("first", "second"))
    plane.write(LINE.format("second") + LINE.format("first"))
    until(lambda: len(plane.alerts()) == 3)

    assert sorted(alert["alert"]["signature"] for alert in plane.alerts()) == ["first", "first", "second"]


def test_a_reload_with_a_broken_rule_keeps_the_old(plane):
    plane.start(plane.settings("first"))
    (plane.folder / "bad.yml").write_text("title: x\ndetection: 5\n")

    with pytest.raises(InvalidInputError):
        plane.watch.reload(LogsSettings(rules=[str(plane.folder / "bad.yml")], files=[]))

    plane.write(LINE.format("first"))
    until(plane.alerts)


def test_a_format_that_stops_fitting_is_an_alert(plane):
    plane.start(plane.settings("first"))
    plane.write("another program writes here now\n" * 300)
    until(plane.alerts)

    assert plane.alerts()[0]["alert"]["rule_id"] == "sentinel-log-format"
    assert str(plane.log) in plane.alerts()[0]["alert"]["signature"]


def test_a_log_that_goes_quiet_is_an_alert(plane, monkeypatch):
    monkeypatch.setattr(pipeline, "LIVENESS_SECONDS", 0.0)
    monkeypatch.setattr("sentinel.capture.liveness.LEARNING_SECONDS", 0.0)
    monkeypatch.setattr("sentinel.capture.liveness.SHORTEST_SECONDS", 0.0)
    plane.start(plane.settings("first"))
    until(plane.alerts)

    assert plane.alerts()[0]["alert"]["rule_id"] == "sentinel-log-quiet"


def test_a_field_that_never_occurs_is_an_alert(plane, monkeypatch):
    monkeypatch.setattr("sentinel.detect.sigma.blind.LINES", 10)
    settings = plane.settings("first")
    rule = plane.folder / "first.yml"
    rule.write_text(rule.read_text().replace("cs-uri-query", "cs-cookie"))
    plane.start(settings)
    plane.write(LINE.format("fine") * 20)
    until(plane.alerts)

    (alert,) = plane.alerts()
    assert alert["alert"]["rule_id"] == "sentinel-log-blind"
    assert "1 rules cannot match, since cs-cookie never occurs: first" in alert["alert"]["signature"]
