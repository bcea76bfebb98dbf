r"""Can a regular expression match text of ordinary requests alone? Most needles cannot: they want a quote, a bracket, a space.

In: an expression over bytes. Out: False only if every match holds a byte that is not PLAIN; then values of plain bytes
need not be scanned for it. Where Python's parser does not know the syntax, the answer is True.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

# The standard library's own parser of expressions: there is no public name for it since `sre_parse` went.
_parser: Any = re._parser  # type: ignore[attr-defined]  # noqa: SLF001
_op: Any = re._constants  # type: ignore[attr-defined]  # noqa: SLF001

EVERY = frozenset(range(256))
PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-=&?%,~+:@") | frozenset(
    range(128, 256)
)
PLAIN_BYTES = bytes(sorted(PLAIN))
_SPACES = frozenset(b" \t\n\r\f\v")
_CATEGORIES = {_op.CATEGORY_SPACE: _SPACES, _op.CATEGORY_NOT_SPACE: EVERY - _SPACES}
_REPEATS = {_op.MAX_REPEAT, _op.MIN_REPEAT, _op.POSSESSIVE_REPEAT}


def may_be_plain(expression: bytes) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return _sequence(_parser.parse(expression.decode("latin-1")))
    except (re.error, Warning, ValueError, OverflowError, RecursionError):
        return True


def _sequence(items: Any) -> bool:
    return all(_item(op, value) for op, value in items)


def _item(op: Any, value: Any) -> bool:
    if op is _op.LITERAL:
        return value in PLAIN or value not in EVERY
    if op is _op.IN:
        negated = value[0][0] is _op.NEGATE
        vague = frozenset() if negated else PLAIN  # what \w and its like are taken for
        wanted: frozenset[int] = frozenset().union(*(_members(op, member, vague) for op, member in value))
        return bool(PLAIN - wanted if negated else PLAIN & wanted)
    if op is _op.BRANCH:
        return any(_sequence(items) for items in value[1])
    if op is _op.SUBPATTERN:
        return _sequence(value[3])
    if op is _op.ATOMIC_GROUP:
        return _sequence(value)
    if op in _REPEATS:
        return value[0] == 0 or _sequence(value[2])
    return True  # any byte, anchors, assertions, references


def _members(op: Any, value: Any, vague: frozenset[int]) -> frozenset[int]:
    if op is _op.NEGATE:
        return frozenset()
    if op is _op.LITERAL:
        return frozenset({value})
    if op is _op.RANGE:
        return frozenset(range(value[0], value[1] + 1))
    return _CATEGORIES.get(value, vague)
