import time

import pytest

from sentinel import figures
from sentinel.ledger import Ledger
from sentinel.state import State


@pytest.fixture
def values(tmp_path):
    def read():
        found = figures.read(State(tmp_path), Ledger(tmp_path))
        return {(f.metric.name, *f.labels.values()): f.value for f in found}

    return read


def test_the_ledgers_head_is_anchored(tmp_path, values):
    assert values()["sentinel_ledger_sequence",] == 0
    entry = [Ledger(tmp_path).append("x", "y") for _ in range(3)][-1]
    assert values()["sentinel_ledger_sequence",] == 3
    assert values()["sentinel_ledger_head",] == int(entry.hash[:12], 16)
    assert float(int(values()["sentinel_ledger_head",])) == values()["sentinel_ledger_head",]


def test_a_silent_component_ages(tmp_path, values):
    State(tmp_path).report("logs", "running", pid=1, since=0)
    with State(tmp_path).write() as connection:
        connection.execute("UPDATE component SET updated = ?", (time.time_ns() - 90 * 10**9,))
    assert values()["sentinel_component_report_age_seconds", "logs"] >= 90
