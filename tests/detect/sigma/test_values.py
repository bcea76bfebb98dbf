"""Distinct values and forms of a column."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sentinel.detect.sigma.values import Values, View
from sentinel.model import Column
from sentinel.trial import columns_of


@given(st.lists(st.one_of(st.none(), st.binary(max_size=12)), min_size=1, max_size=50), st.integers(1, 12))
def test_codes_lead_back_to_the_values(cells, longest):
    cells = [None if cell is None else cell[:longest] for cell in cells]
    values = Values.of(Column.of(cells))
    distinct, codes = values.distinct()
    assert len(set(distinct)) == len(distinct) or len(values.data) < len(cells)
    assert [None if code < 0 else distinct[code] for code in codes.tolist()] == cells
    data, begins, rows = values.as_lines()
    lines = data.split(b"\n")
    assert [data[a : a + len(line)] for a, line in zip(begins.tolist(), lines, strict=False)] == lines[
        : len(rows)
    ]
    assert rows.tolist() == [i for i, cell in enumerate(cells) if cell is not None]
    assert lines[: len(rows)] == [cell.replace(b"\n", b"\x0b") for cell in cells if cell is not None]


def test_a_batch_of_lines_is_scanned_as_it_stands():
    lines = ["a", "", "bc"]
    values = View(columns_of(lines, "text")).raw("")
    data, begins, rows = values.as_lines()
    assert data is values.data
    assert (begins.tolist(), rows.tolist()) == ([0, 2, 3], [0, 1, 2])


def test_a_group_of_fields_has_all_their_forms():
    line = '192.0.2.1 - - [02/Mar/2026:00:00:37 +0000] "GET /%61 HTTP/1.1" 200 5 "-" "agent"'
    view = View(columns_of([line], "nginx-access"))
    assert [values.get(0) for values in view.forms("request.any")] == [b"/%61", b"/a", b"agent"]
    assert view.value("cs-method", 0) == b"GET"
    assert view.text("nothing", 0) == ""
