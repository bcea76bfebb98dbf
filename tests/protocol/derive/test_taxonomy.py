"""Path, query and extension of request targets, for whole columns at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sentinel.model import Column, Columns
from sentinel.protocol.derive import taxonomy


@given(st.lists(st.one_of(st.none(), st.text("/a.?=&", max_size=12)), min_size=1, max_size=30))
def test_parts_agree_with_cutting_each_target(targets):
    import numpy as np

    rows = len(targets)
    column = Column.of([None if t is None else t.encode() for t in targets])
    columns = Columns(rows, "t", np.zeros(rows, np.int64), np.arange(rows), {"url.original": column})
    path, query = taxonomy.path(columns), taxonomy.query(columns)
    for row, target in enumerate(targets):
        if target is None:
            assert path.get(row) is None
            assert query.get(row) is None
            continue
        before, mark, after = target.encode().partition(b"?")
        assert path.get(row) == before
        assert query.get(row) == (after if mark else None)
    assert taxonomy.path(Columns(1, "t", np.zeros(1, np.int64), np.ones(1, np.int64))) is None
