"""What was written is read again, for each kind of correlation; a state taken back goes on where it was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.detect.sigma import correlate
from sentinel.detect.sigma.correlate import Correlator
from sentinel.detect.sigma.memory import Events, Reader, Writer
from sentinel.detect.sigma.tree import Correlation, Kind, Limit, Rule
from sentinel.detect.sigma.values import View
from sentinel.model import Column, Columns

times = st.integers(-(2**62), 2**62)
VALUES = {
    Kind.EVENT_COUNT: st.just(True),
    Kind.VALUE_COUNT: st.binary(max_size=40),
    Kind.TEMPORAL: st.integers(0, 9),
    Kind.TEMPORAL_ORDERED: st.integers(0, 9),
}


@pytest.mark.parametrize("kind", list(Kind))
@given(data=st.data())
def test_events_come_back(kind, data):
    cell = st.tuples(
        st.just(()),
        st.binary(max_size=20),
        times,
        VALUES.get(kind, st.floats(allow_nan=False)),
        st.integers(0, 2**40),
    )
    cells = data.draw(st.lists(cell, max_size=20))
    events = Events(*map(list, zip(*cells, strict=True))) if cells else Events()
    events.rows = [0] * len(cells)
    writer = Writer(kind)
    writer.events(events)
    writer.integers([7, -7])
    reader = Reader(kind, writer.data())
    assert reader.events() == events
    assert reader.integers() == [7, -7]


RULES = [Rule(id=str(number), title=str(number)) for number in range(2)]
SPAN = 20
SECRET = b"of this test"


def correlation(kind, limit, rules=RULES, **more):
    return Correlation(
        id=f"{kind.value}{len(more)}",
        title=kind.value,
        kind=kind,
        rules=list(rules),
        group_by=("who",),
        timespan_ns=SPAN,
        limits=(Limit("gte", limit),),
        value_fields=("what",),
        **more,
    )


KINDS = [*Kind]
events = st.lists(
    st.tuples(
        st.integers(0, 1), st.sampled_from([b"a", b"b", b""]), st.integers(0, 60), st.sampled_from([b"1", b"2", b"", b"x" * 40])
    ),
    max_size=40,
)  # fmt: skip


def correlations():
    made = [
        correlation(kind, 3 if kind not in {Kind.TEMPORAL, Kind.TEMPORAL_ORDERED} else 2) for kind in KINDS
    ]
    chained = correlation(Kind.EVENT_COUNT, 2, [made[KINDS.index(Kind.EVENT_COUNT)]], description="chained")
    return [chained, *made]


def run(correlator, batch):
    """Findings of one batch of (rule, who, time, what)."""
    if not batch:
        correlator.changes = []
        return []
    rows = np.arange(len(batch), dtype=np.int64)
    of = np.array([rule for rule, *_ in batch])
    columns = {
        "who": Column.of([who for _, who, _, _ in batch]),
        "what": Column.of([what for *_, what in batch]),
    }
    times = np.array([time for _, _, time, _ in batch], np.int64)
    view = View(Columns(len(batch), "log", times, rows + 1, columns))
    found = correlator.arrive([(rule, rows[of == number]) for number, rule in enumerate(RULES)], view)
    return [(f.correlation.id, f.row, f.key, f.lines) for f in found]


@settings(max_examples=150, deadline=None)
@given(st.lists(events, max_size=6), st.sets(st.integers(0, 5)), st.integers(1, 4))
def test_a_state_taken_back_goes_on_as_if_nothing_had_happened(batches, stops, most):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(correlate, "MOST_RECORDS", most)
        made = correlations()
        steady = Correlator(made)
        stored = []
        killed = Correlator(made)
        killed.restore([], SECRET)
        for number, batch in enumerate(batches):
            if number in stops:
                killed = Correlator(made)
                killed.restore(stored, SECRET)
            assert run(killed, batch) == run(steady, batch)
            replaced = {name for name, whole, _ in killed.changes if whole}
            stored = [change for change in stored if change[0] not in replaced] + killed.changes


def test_how_events_are_cut_into_batches_does_not_matter():
    @given(events, st.integers(1, 10))
    @settings(max_examples=100, deadline=None)
    def check(batch, size):
        whole, cut = Correlator(correlations()), Correlator(correlations())
        together = [(name, key) for name, _, key, _ in sorted(run(whole, batch), key=lambda f: f[1])]
        apart = []
        for at in range(0, len(batch), size):
            found = run(cut, batch[at : at + size])
            apart += [(name, key) for name, _, key, _ in sorted(found, key=lambda f: f[1])]
        assert apart == together

    check()


def test_a_state_of_another_meaning_is_not_taken_back():
    old = Correlator([correlation(Kind.EVENT_COUNT, 3)])
    old.restore([], SECRET)
    run(old, [(0, b"a", 1, b""), (0, b"a", 2, b"")])
    new = Correlator([correlation(Kind.EVENT_COUNT, 4)])
    new.restore(old.changes, SECRET)
    assert new.sizes() == 0
    assert old.names != new.names


def test_events_in_windows_are_bounded(monkeypatch):
    monkeypatch.setattr(correlate, "EVENTS", 200)
    correlator = Correlator([correlation(Kind.EVENT_COUNT, 1000)])
    for number in range(0, 2000, 100):
        run(
            correlator,
            [(0, b"%d" % (number // 400 + place % 20), number + place, b"") for place in range(100)],
        )
        assert sum(len(window.times) for window in correlator.groups[0].again.values()) <= 200
    assert correlator.groups[0].held <= 200
    assert correlator.evicted


def test_groups_that_are_over_are_let_go():
    correlator = Correlator([correlation(Kind.EVENT_COUNT, 3)])
    for hour in range(20):
        second = hour * 3600 * 10**9
        run(correlator, [(0, b"%d" % (hour * 10 + n // 2), second + n, b"") for n in range(20)])
        assert correlator.sizes() <= 20
    assert not correlator.evicted
