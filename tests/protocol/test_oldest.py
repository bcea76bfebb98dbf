"""The order of `Oldest` is that of the table, whatever is taken out, put in or replaced meanwhile."""

from hypothesis import given
from hypothesis import strategies as st

from sentinel.protocol import oldest
from sentinel.protocol.oldest import Oldest


@given(st.lists(st.integers(-1, 40), max_size=200), st.integers(1, 5))
def test_it_gives_what_came_first(steps, run):
    table, model = {}, []
    given_out = Oldest(table)
    before, oldest.RUN = oldest.RUN, run
    try:
        for step in steps:
            if step >= 0:  # put in, or replaced: then it is the newest
                table.pop(step, None)
                table[step] = object()
                model = [key for key in model if key != step] + [step]
            elif model:
                key = given_out.pop()
                assert key == model.pop(0)
                del table[key]
    finally:
        oldest.RUN = before
