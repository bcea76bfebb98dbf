"""The shipped log rules raise nothing on traffic that only looks like attacks."""

from pathlib import Path

import pytest
from benign import Shop

from sentinel import trial
from sentinel.pipeline import cache_folder, log_engine

RULES = Path(__file__).parents[2] / "rules" / "logs"
LINES = 4_000


@pytest.fixture(scope="module")
def engine():
    return log_engine([RULES / "web"], cache=cache_folder())


@pytest.mark.parametrize("seed", [1, 2])
def test_a_shops_traffic_raises_nothing(engine, seed):
    lines = list(Shop(seed).lines(LINES))
    alerts = engine.fresh().scan(trial.columns_of(lines, "nginx-access"))
    assert [(alert.signature, lines[alert.extra["log"]["line"] - 1]) for alert in alerts] == []
