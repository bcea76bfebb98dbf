"""State and ledger -> metric values at scrape time, for everything that must survive restarts and go stale visibly."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sentinel import metrics
from sentinel.backup import history
from sentinel.metrics import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentinel.ledger import Ledger
    from sentinel.state import State

HEAD_DIGITS = 12  # 48 bits: exact in Prometheus' float64


def read(state: State, ledger: Ledger) -> Iterator[Figure]:
    yield from _components(state)
    yield from _ledger(ledger)
    yield from history.figures(state)


def _components(state: State) -> Iterator[Figure]:
    now = time.time_ns()
    for row in state.read("SELECT name, updated FROM component"):
        yield Figure(metrics.report_age, (now - row["updated"]) / 1e9, {"component": row["name"]})


def _ledger(ledger: Ledger) -> Iterator[Figure]:
    head = ledger.head()
    yield Figure(metrics.ledger_sequence, head.sequence if head else 0)
    yield Figure(metrics.ledger_head, int(head.hash[:HEAD_DIGITS], 16) if head else 0)
