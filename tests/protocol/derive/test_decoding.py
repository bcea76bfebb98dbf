"""Decoding: what an application would see."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.model import Column
from sentinel.protocol.derive.decoding import LONGEST, decode, decoded


@pytest.mark.parametrize(
    ("raw", "seen"),
    [
        (b"/a%20b", b"/a b"),
        (b"/a%2520b", b"/a b"),
        (b"/a%252520b", b"/a b"),
        (b"a+b%2Bc", b"a b+c"),
        (b"%u0041%U0042", b"AB"),
        (b"%c0%af", b"/"),
        (b"%e0%80%af", b"/"),
        (b"%ef%bc%9cscript", b"<script"),
        (b"&lt;b&#62;&#x3e;", b"<b>>"),
        (b"\\x3cscript\\x3e", b"<script>"),
        (b"\\u003cscript", b"<script"),
        (b"100%", b"100%"),
        (b"%zz", b"%zz"),
        (b"%u4e2d", "中".encode()),
    ],
)
def test_forms(raw, seen):
    assert decode(raw, plus=True) == seen


@given(st.lists(st.one_of(st.none(), st.binary(max_size=40)), max_size=30), st.booleans())
def test_a_column_is_present_exactly_where_decoding_changed_something(cells, plus):
    column = Column.of(cells)
    made = decoded(column, plus=plus)
    for row, cell in enumerate(cells):
        got = None if made is None else made.get(row)
        if cell is None:
            assert got is None
        elif got is not None:
            assert got == decode(cell, plus=plus) != cell


PIECES = [b"%41", b"%2541", b"%u0041", b"%", b"%4", b"+", b"\\x41", b"\\", b"&lt;", b"%26lt;", b"&#65", b"%c0%af", b"%ef%bc%9c", b"%0a", b"\n", b"%e4%b8%ad", b"a", b";", b"#"]  # fmt: skip


@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=5).map(b"".join), max_size=12))
def test_many_values_are_decoded_as_each_alone(cells):
    made = decoded(Column.of(cells), plus=True)
    got = [None] * len(cells) if made is None else made.values()
    alone = [decode(cell, plus=True) for cell in cells]
    assert [cell if value is None else value for cell, value in zip(cells, got, strict=True)] == alone


@given(st.binary(max_size=300))
def test_decoding_never_raises_and_never_grows_much(raw):
    assert len(decode(raw, plus=True)) <= 4 * len(raw) + 8


def test_an_endless_value_is_cut():
    assert len(decode(b"%41" * LONGEST, plus=False)) <= LONGEST
