"""Durations as operators write them: `90s`, `15m`, `6h`, `1d12h` (or a number of seconds) -> seconds.

A text without a unit is refused: whoever writes `6` may mean hours.
"""

from __future__ import annotations

import re

UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_PART = r"\d+(?:\.\d+)?"


def seconds(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    text = value.replace(" ", "") if isinstance(value, str) else ""
    if not re.fullmatch(rf"({_PART}[smhdwy])+", text):
        raise ValueError(f"{value!r} is not a duration such as 90s, 15m, 6h or 1d12h")
    return sum(float(part[:-1]) * UNIT_SECONDS[part[-1]] for part in re.findall(rf"{_PART}[smhdwy]", text))
