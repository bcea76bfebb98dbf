"""Reading the values of keywords: quotes, numbers, comparisons, comma lists.

Every function returns the value or raises ValueError with words for the rule's writer.
"""

from __future__ import annotations

import re

Comparison = tuple[
    str, int, int
]  # operator, first, second ("range" is exclusive at both ends, as in Suricata)

_COMPARISON = re.compile(r"(<=|>=|!=|<|>|=|!)?\s*(\w+)\s*(?:(<>|-)\s*(\w+))?")


def required(value: str | None) -> str:
    if value is None or value == "":
        raise ValueError("needs a value")
    return value


def unquoted(value: str | None) -> str:
    text = required(value).strip()
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return text[1:-1]
    return text


def negatable(value: str | None) -> tuple[bool, str]:
    """(negated, text without '!')."""
    text = required(value).strip()
    return (True, text[1:].strip()) if text.startswith("!") else (False, text)


def integer(text: str) -> int:
    try:
        return int(text, 16) if text.lower().startswith(("0x", "-0x")) else int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None


def comparison(value: str | None, names: dict[str, int] | None = None) -> Comparison:
    """Numbers and ranges: 5, !5, <5, >=5, 5-9, 5<>9."""
    text = required(value).strip()
    found = _COMPARISON.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is not a comparison")
    operator, first, between, second = found.groups()

    def number(word: str) -> int:
        return names[word.lower()] if names and word.lower() in names else integer(word)

    if between:
        if operator or number(first) >= number(second):
            raise ValueError(f"{text!r} is not a range")
        return ("range", number(first), number(second))
    return ({"!": "!=", None: "="}.get(operator, operator or "="), number(first), 0)


def compare(value: int, wanted: Comparison) -> bool:
    operator, first, second = wanted
    if operator == "=":
        return value == first
    if operator == "<":
        return value < first
    if operator == ">":
        return value > first
    if operator == "!=":
        return value != first
    if operator == "<=":
        return value <= first
    if operator == ">=":
        return value >= first
    return first < value < second


def words(value: str | None) -> list[str]:
    """Members of a comma list, trimmed."""
    return [word.strip() for word in required(value).split(",")]


def pairs(value: str | None) -> dict[str, str]:
    """A comma list of `key value` pairs; a lone word has an empty value."""
    found: dict[str, str] = {}
    for word in words(value):
        key, _, rest = word.partition(" ")
        found[key] = rest.strip()
    return found


def nothing(value: str | None) -> None:
    if value:
        raise ValueError("takes no value")
