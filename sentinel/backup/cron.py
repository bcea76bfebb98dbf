"""Times an operator writes: `0 */6 * * *`, `@daily`, `every 6h`; checked without loading a scheduler.

In: the text. Out: five fields, or the seconds of an interval; ValueError says what is wrong. Days of the week come out
as names, because cron counts from Sunday (0 and 7, crontab(5)) and schedulers do not agree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sentinel.durations import seconds

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
RANGES = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12)}
_PART = re.compile(r"(\*|\w+)(?:-(\w+))?(?:/(\d+))?")


@dataclass(frozen=True, slots=True)
class Cron:
    minute: str
    hour: str
    day: str
    month: str
    weekday: str  # names


def parse(expression: str) -> Cron | float:
    """A Cron, or the seconds of an interval."""
    text = ALIASES.get(expression.strip(), expression.strip())
    if text.startswith("every "):
        period = seconds(text.removeprefix("every "))
        if period < 1:
            raise ValueError(f"{expression!r}: the shortest interval is 1s")
        return period
    fields = text.lower().split()
    if len(fields) != 5:
        raise ValueError(f"{expression!r} is neither a cron expression of five fields nor `every 6h`")
    try:
        for (name, (low, high)), field in zip(RANGES.items(), fields, strict=False):
            _check(name, field, low, high)
        minute, hour, day, month, weekday = fields
        return Cron(minute, hour, day, month, _weekdays(weekday))
    except ValueError as error:
        raise ValueError(f"{expression!r} is not a cron expression: {error}") from None


def _check(name: str, field: str, low: int, high: int) -> None:
    for part in field.split(","):
        match = _PART.fullmatch(part)
        ends = [end for end in (match[1], match[2]) if end not in {None, "*"}] if match else []
        numbers = [_number(name, end) for end in ends]
        if not match or any(not low <= number <= high for number in numbers):
            raise ValueError(f"{part!r} is no {name} ({low}-{high})")
        first, last = [*numbers, low, high][:2] if len(numbers) != 1 else (numbers[0], high)
        if first > last:
            raise ValueError(f"{part!r} runs backwards")
        # a step that never reaches a second value is a slip of the pen, not a schedule
        if match[3] and not 0 < int(match[3]) <= last - first:
            raise ValueError(f"{part!r}: the step of {match[3]} does not fit into {first}-{last}")


def _number(name: str, text: str) -> int:
    if name == "month" and text[:3] in MONTHS:
        return MONTHS.index(text[:3]) + 1
    return int(text) if text.isdigit() else -1


def _weekdays(field: str) -> str:
    if field == "*":
        return field
    names: list[str] = []
    for part in field.split(","):
        match = _PART.fullmatch(part)
        if not match or match[3] == "0":
            raise ValueError(f"{part!r} is not a day of the week")
        first = 0 if match[1] == "*" else _weekday(match[1])
        last = 6 if match[1] == "*" else _weekday(match[2] or match[1])
        if last < first:
            last += 7  # fri-mon
        names += [DAYS[day % 7] for day in range(first, last + 1, int(match[3] or 1))]
    return ",".join(dict.fromkeys(names))


def _weekday(text: str) -> int:
    if text.isdigit() and int(text) < len(DAYS):
        return int(text)
    if text[:3] in DAYS:
        return DAYS.index(text[:3])
    raise ValueError(f"{text!r} is not a day of the week")
