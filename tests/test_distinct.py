"""Different values of a buffer's spans."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sentinel.distinct import told_apart


@given(st.lists(st.binary(max_size=9), max_size=60))
def test_codes_lead_back_to_the_values(cells):
    ends = np.cumsum([len(cell) for cell in cells], dtype=np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), ends])[: len(ends)]
    values, codes = told_apart(b"".join(cells), starts, ends)
    assert [values[code] for code in codes.tolist()] == cells


def test_texts_written_once_are_told_apart_by_place():
    starts = np.array([0, 2, 0, 2, 0, 0, 0, 2, 2], np.int64)
    values, codes = told_apart(b"abcd", starts, starts + 2)
    assert [values[code] for code in codes.tolist()] == [b"ab" if start == 0 else b"cd" for start in starts]
