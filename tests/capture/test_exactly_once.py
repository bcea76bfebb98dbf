"""Ten kill -9 of the log plane under a rotating writer; `make soak-logs` does two hundred."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

SOAK = Path(__file__).parents[1] / "soak" / "kill_logs.py"


def test_every_planted_line_and_every_series_alerts_exactly_once(tmp_path):
    spec = importlib.util.spec_from_file_location("kill_logs", SOAK)
    module = importlib.util.module_from_spec(spec)
    sys.modules["kill_logs"] = module
    spec.loader.exec_module(module)

    result = module.soak(tmp_path, kills=8, seed=7)

    assert result.planted > 50
    assert result.series > 5
    assert sum(result.rotations.values()) >= 5
    assert result.missing == []
    assert result.doubled == []
