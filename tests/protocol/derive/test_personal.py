"""Personal data: check digits, dates and issuers decide; what leaves is masked and hashed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.model import Column
from sentinel.protocol.derive import personal
from sentinel.trial import columns_of


def resident_id(area, born, order):
    head = f"{area}{born}{order:03d}".encode()
    total = sum(w * (d - 48) for w, d in zip(personal.WEIGHTS, head, strict=True))
    return head + personal.CHECK_DIGITS[total % 11 : total % 11 + 1]


@given(
    st.integers(0, 999),
    st.dates(min_value=__import__("datetime").date(1930, 1, 1)),
    st.sampled_from(["110105", "440305", "820000"]),
)
def test_a_number_with_its_check_digit_is_one_and_any_other_digit_is_not(order, born, area):
    if born.year > 2100:
        return
    number = resident_id(area, born.strftime("%Y%m%d"), order)
    assert personal.is_resident_id(number)
    wrong = bytes([48 + (number[16] - 48 + 1) % 10])
    assert not personal.is_resident_id(number[:16] + wrong + number[17:])


@pytest.mark.parametrize("number", [b"110105194902310021", b"990105194912310021", b"11010519491231002"])
def test_impossible_dates_and_places_are_no_identity_numbers(number):
    assert not personal.is_resident_id(number)


@pytest.mark.parametrize(
    ("number", "holds"),
    [(b"4111111111111111", True), (b"6222020000000000000", True), (b"378282246310005", True), (b"4111111111111112", False), (b"9111111111111111", False), (b"1772410623000", False)],
)  # fmt: skip
def test_cards(number, holds):
    assert personal.is_card(number) is holds


def test_values_are_masked_and_hashed_with_the_key():
    line = '192.0.2.1 - - [02/Mar/2026:00:00:37 +0000] "GET /p?{} HTTP/1.1" 200 5 "-" "x"'
    columns = columns_of(
        [line.format("phone=13912345678"), line.format("mail=who%40example.net"), line.format("n=1")],
        "nginx-access",
    )
    one, other = personal.PersonalData(b"key"), personal.PersonalData(b"other")
    mobile = one.column(columns, "pii.mobile")
    assert mobile.get(0).startswith(b"139****5678 #")
    assert mobile.get(2) is None
    assert mobile.get(0) != other.column(columns, "pii.mobile").get(0)
    assert one.column(columns, "pii.email").get(1).startswith(b"w***%40example.net #")
    assert one.column(columns, "pii.card") is None
    assert one.column(columns, "pii.shoe_size") is None


@given(st.lists(st.text("0123456789ab-", max_size=25), min_size=1, max_size=20))
def test_long_runs_are_found_by_halving(texts):
    column = Column.of([text.encode() for text in texts])
    wanted = [
        i
        for i, text in enumerate(texts)
        if any(len(run) >= 11 for run in __import__("re").findall("[0-9]+", text))
    ]
    found = personal.long_runs(column).tolist()
    assert set(wanted) <= set(found)  # a run may reach into the next value: looked at, not believed


def test_masking_leaves_the_rest_alone():
    value = b"/a?id=11010519491231002X&x=1&card=4111111111111111&t=1772410623000"
    assert personal.masked(value) == b"/a?id=110105********002X&x=1&card=411111******1111&t=1772410623000"
    assert isinstance(personal.long_runs(Column.of([b"x"])), np.ndarray)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"/u/m13812345678x", b"/u/m138****5678x"),
        (b"card=4111 1111 1111 1111&n=1", b"card=411111******1111&n=1"),
        (b"card=4111-1111-1111-1111", b"card=411111******1111"),
        (b"card=4111%201111%201111%201111", b"card=411111******1111"),
        (b"tel=138-1234-5678", b"tel=138****5678"),
        (b"user_11010519491231002X.pdf", b"user_110105********002X.pdf"),
        (b"2026-03-02 10:00:00 t=1772445600123 10.0.0.1 4111-1111", b"2026-03-02 10:00:00 t=1772445600123 10.0.0.1 4111-1111"),
    ],
)  # fmt: skip
def test_what_is_shown_is_masked_however_it_is_written(value, shown):
    assert personal.masked(value) == shown
