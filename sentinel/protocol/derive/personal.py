"""Personal data in log lines -> pii.* columns, which hold a masked sample and a keyed hash, never the value.

    pii.resident_id   18 digits with GB 11643-1999 check digit, a date that exists and a province code
    pii.card          13 to 19 digits with an issuer number in use (ISO/IEC 7812) and a Luhn check digit
    pii.mobile        mainland mobile number: 1, then 3 to 9, then nine digits
    pii.email         an address in the request target

A value is `SAMPLE #HASH`: 110101********1237 #9f2c... The same person has the same hash as long as the key is the same.
`masked` replaces what is found in a value, so that alerts may show a request.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from sentinel.model import Column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from sentinel.model import Columns

SHORTEST_RUN = 11  # digits in a row: a mobile number; identity and card numbers are longer
HASH_BYTES = 8
PROVINCES = {11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46, 50, 51, 52, 53, 54,
             61, 62, 63, 64, 65, 71, 81, 82, 83}  # fmt: skip
WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
CHECK_DIGITS = b"10X98765432"
_DIGITS = re.compile(rb"(?<![0-9A-Za-z_.-])[0-9]{11,19}[Xx]?(?![0-9A-Za-z_])")
# What is shown is masked more widely than what counts as found: digits inside words, and numbers written in groups.
_ANY_DIGITS = re.compile(rb"(?<![0-9])(?:[0-9]{17}[Xx]|[0-9]{11,19})(?![0-9])")
_GROUPED = re.compile(
    rb"(?<![0-9])[0-9]{3,6}(?:(?:[ .+-]|%20|%2D)[0-9]{2,8}){1,5}[Xx]?(?![0-9])", re.IGNORECASE
)
_SEPARATOR = re.compile(rb"[ .+-]|%20|%2D", re.IGNORECASE)
_MOBILE = re.compile(rb"1[3-9][0-9]{9}")
# Issuer numbers: UnionPay 62, Visa, Mastercard, American Express, JCB, Discover, Diners; with their lengths.
_CARD = re.compile(
    rb"62[0-9]{14,17}|4[0-9]{15}|5[1-5][0-9]{14}|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12}"
    rb"|3[47][0-9]{13}|35(?:2[89]|[3-8][0-9])[0-9]{12}|6(?:011|5[0-9]{2})[0-9]{12}|3(?:0[0-5]|[68][0-9])[0-9]{11}"
)
_MAIL_SIGN = re.compile(rb"@|%40")
_EMAIL = re.compile(
    rb"(?i)[a-z0-9][a-z0-9._+-]{0,63}(?:@|%40)[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){0,4}\.[a-z]{2,24}"
)


def is_resident_id(text: bytes) -> bool:
    if len(text) != 18 or not text[:17].isdigit() or int(text[:2]) not in PROVINCES:
        return False
    total = sum(weight * (digit - 48) for weight, digit in zip(WEIGHTS, text, strict=False))
    if CHECK_DIGITS[total % 11] != text[17:].upper()[0]:
        return False
    try:
        born = date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        return False
    return 1900 <= born.year <= 2100


def is_card(text: bytes) -> bool:
    return _CARD.fullmatch(text) is not None and luhn(text)


def luhn(digits: bytes) -> bool:
    """ISO/IEC 7812-1, annex B."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = (digit - 48) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def is_mobile(text: bytes) -> bool:
    return _MOBILE.fullmatch(text) is not None


def _stars(keep_first: int, keep_last: int) -> Callable[[bytes], bytes]:
    def mask(text: bytes) -> bytes:
        return text[:keep_first] + b"*" * (len(text) - keep_first - keep_last) + text[len(text) - keep_last :]

    return mask


def _mask_email(text: bytes) -> bytes:
    name, sign, domain = re.split(rb"(@|%40)", text, maxsplit=1)
    return name[:1] + b"***" + sign + domain


# Asked in this order: an identity number of 18 digits may also satisfy Luhn.
KINDS: dict[str, tuple[Callable[[bytes], bool], Callable[[bytes], bytes]]] = {
    "resident_id": (is_resident_id, _stars(6, 4)),
    "card": (is_card, _stars(6, 4)),
    "mobile": (is_mobile, _stars(3, 4)),
}


@dataclass(frozen=True, slots=True)
class Hit:
    kind: str
    start: int
    end: int
    sample: bytes


def numbers_in(value: bytes, runs: re.Pattern[bytes] = _DIGITS) -> Iterator[Hit]:
    for match in runs.finditer(value):
        for kind, (holds, mask) in KINDS.items():
            if holds(match[0]):
                yield Hit(kind, match.start(), match.end(), mask(match[0]))
                break


def emails_in(value: bytes) -> Iterator[Hit]:
    for match in _EMAIL.finditer(value):
        yield Hit("email", match.start(), match.end(), _mask_email(match[0]))


def _shown(value: bytes) -> Iterator[Hit]:
    """Numbers that must not be shown, however they are written."""
    yield from numbers_in(value, _ANY_DIGITS)
    for match in _GROUPED.finditer(value):
        plain = _SEPARATOR.sub(b"", match[0])
        hit = next(numbers_in(plain, _ANY_DIGITS), None)
        if hit is not None:
            yield Hit(hit.kind, match.start(), match.end(), hit.sample)


def masked(value: bytes) -> bytes:
    """The value with everything personal masked."""
    if len(value) - len(value.translate(None, b"0123456789")) < SHORTEST_RUN and not _MAIL_SIGN.search(value):
        return value
    hits = sorted([*_shown(value), *emails_in(value)], key=lambda hit: (hit.start, -hit.end))
    out, last = [], 0
    for hit in hits:
        if hit.start >= last:
            out += [value[last : hit.start], hit.sample]
            last = hit.end
    return b"".join(out) + value[last:] if hits else value


class PersonalData:
    """Makes pii.* columns; `key` makes hashes that nobody without it can compute from a list of all numbers."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def column(self, columns: Columns, name: str) -> Column | None:
        kind = name.removeprefix("pii.")
        source = columns.column("url.original")
        if source is None:
            source = columns.column("event.original")
        if source is None:
            return None
        if kind == "email":
            return self._emails(columns)
        return self._numbers(source, kind) if kind in KINDS else None

    def _numbers(self, source: Column, kind: str) -> Column | None:
        rows = long_runs(source)
        found: dict[int, bytes] = {}
        for row in rows.tolist():
            value = source.get(row) or b""
            hit = next((hit for hit in numbers_in(value) if hit.kind == kind), None)
            if hit is not None:
                found[row] = self._cell(value, hit)
        return _sparse(source, found)

    def _emails(self, columns: Columns) -> Column | None:
        source = columns.column("url.query")
        if source is None:
            return None
        found: dict[int, bytes] = {}
        for row in _having(source, b"@%").tolist():
            value = source.get(row) or b""
            hit = next(emails_in(value), None)
            if hit is not None:
                found[row] = self._cell(value, hit)
        return _sparse(source, found)

    def _cell(self, value: bytes, hit: Hit) -> bytes:
        plain = value[hit.start : hit.end].upper().replace(b"%40", b"@")
        digest = hashlib.blake2b(plain, key=self._key[:64], digest_size=HASH_BYTES).hexdigest()
        return hit.sample + b" #" + digest.encode()


def long_runs(column: Column) -> NDArray[np.int64]:
    """Rows with SHORTEST_RUN digits in a row, found by halving: pairs, fours, eights, then three more."""
    run = np.frombuffer(column.data, np.uint8) - np.uint8(48) < 10
    for step in (1, 2, 4, 3):
        if len(run) <= step:
            return np.zeros(0, np.int64)
        run = run[:-step] & run[step:]
    return _rows_with(column, np.flatnonzero(run))


def _having(column: Column, marks: bytes) -> NDArray[np.int64]:
    view = np.frombuffer(column.data, np.uint8)
    wanted = np.zeros(len(view), np.bool_)
    for mark in marks:
        wanted |= view == mark
    return _rows_with(column, np.flatnonzero(wanted))


def _rows_with(column: Column, places: NDArray[np.intp]) -> NDArray[np.int64]:
    if not len(places):
        return np.zeros(0, np.int64)
    starts, ends = column.spans()
    having = np.searchsorted(places, ends) > np.searchsorted(places, starts)
    if column.present is not None:
        having &= column.present
    return np.flatnonzero(having)


def _sparse(source: Column, found: dict[int, bytes]) -> Column | None:
    if not found:
        return None
    values: list[bytes | None] = [None] * len(source.spans()[0])
    for row, value in found.items():
        values[row] = value
    return Column.of(values)
