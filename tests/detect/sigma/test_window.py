"""Windows by event time against a naive count over all events kept in a list."""

from __future__ import annotations

import itertools
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.detect.sigma.tree import Correlation, Expression, Kind, Limit, Rule
from sentinel.detect.sigma.window import Watch, Window, longest_run, median, percentile

SPAN = 10
RULES = [Rule(id=str(n), title=str(n)) for n in range(3)]


def naive_ordered(values):
    """The longest subsequence of increasing rule numbers, by trying all subsets."""
    best = 0
    for mask in range(1 << min(len(values), 10)):
        chosen = [v for i, v in enumerate(values[:10]) if mask >> i & 1]
        if all(a < b for a, b in itertools.pairwise(chosen)):
            best = max(best, len(chosen))
    return best


SUMMARIES = {
    Kind.EVENT_COUNT: len,
    Kind.VALUE_COUNT: lambda values: len(set(values)),
    Kind.TEMPORAL: lambda values: len(set(values)),
    Kind.TEMPORAL_ORDERED: naive_ordered,
    Kind.VALUE_SUM: sum,
    Kind.VALUE_AVG: statistics.fmean,
    Kind.VALUE_MEDIAN: statistics.median,
    Kind.VALUE_PERCENTILE: lambda values: sorted(values)[max(-(-len(values) * 90 // 100), 1) - 1],
}


def naive(kind, limit, events):
    kept, fired, findings = [], None, []
    for number, (time, value) in enumerate(events):
        if fired is not None and abs(time - fired) <= SPAN:
            continue
        kept.append((time, number, value))
        kept.sort()
        for end in sorted({t for t, _, _ in kept if t >= time and t - SPAN <= time}):
            window = [(t, n, v) for t, n, v in kept if end - SPAN <= t <= end]
            if limit.holds(SUMMARIES[kind]([v for _, _, v in window])):
                findings.append([n for _, n, _ in window])
                kept, fired = [], end
                break
    return findings


def ours(kind, limit, events):
    watch = Watch.of(
        Correlation(
            id="c", title="c", kind=kind, rules=RULES, timespan_ns=SPAN, limits=(limit,), percentile=90
        )
    )
    window = Window()
    found = (watch.arrive(window, time, value, number) for number, (time, value) in enumerate(events))
    return [lines for lines in found if lines is not None]


@settings(max_examples=150)
@given(
    st.sampled_from(sorted(SUMMARIES, key=lambda kind: kind.value)),
    st.sampled_from(["gt", "gte", "lt", "lte", "eq", "neq"]),
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 2)), max_size=10),
)
def test_every_type_agrees_with_counting_over_all_events(kind, operator, number, events):
    limit = Limit(operator, number)
    assert ours(kind, limit, events) == naive(kind, limit, events)


def test_lines_out_of_order_give_the_finding_they_give_in_order():
    limit = Limit("gte", 3)
    in_order = [(0, 0), (5, 0), (9, 0)]
    assert [len(lines) for lines in ours(Kind.EVENT_COUNT, limit, in_order)] == [3]
    assert [len(lines) for lines in ours(Kind.EVENT_COUNT, limit, [in_order[i] for i in (2, 0, 1)])] == [3]


def test_a_clock_that_jumped_does_not_hide_what_follows():
    century = 10**12
    events = [(century, 0), *((n, 0) for n in range(3))]
    assert ours(Kind.EVENT_COUNT, Limit("gte", 3), events) == [[1, 2, 3]]


def test_a_window_stays_bounded():
    watch = Watch.of(
        Correlation(
            id="c",
            title="c",
            kind=Kind.VALUE_COUNT,
            rules=RULES,
            timespan_ns=10**9,
            limits=(Limit("gte", 5),),
        )
    )
    window = Window()
    for time in range(20_000):
        assert watch.arrive(window, time, 1, time) is None
    assert len(window.times) <= watch.largest


@pytest.mark.parametrize(
    ("expression", "events", "found"),
    [
        (
            Expression(
                "and", (Expression("rule", index=0), Expression("not", (Expression("rule", index=1),)))
            ),
            [(0, 0)],
            True,
        ),
        (
            Expression("and", (Expression("rule", index=0), Expression("rule", index=1))),
            [(0, 0), (30, 1)],
            False,
        ),
        (
            Expression("or", (Expression("rule", index=2), Expression("rule", index=1))),
            [(0, 0), (3, 1)],
            True,
        ),
    ],
)
def test_temporal_conditions_may_be_expressions(expression, events, found):
    watch = Watch.of(
        Correlation(
            id="c", title="c", kind=Kind.TEMPORAL, rules=RULES, timespan_ns=SPAN, expression=expression
        )
    )
    window = Window()
    assert any(watch.arrive(window, time, value, 0) is not None for time, value in events) is found


def test_summaries():
    assert percentile([5, 1, 4, 2, 3], 50) == 3
    assert percentile([1], 99) == 1
    assert median([4, 1, 3, 2]) == 2.5
    assert longest_run([2, 0, 1, 2], 3) == 3
