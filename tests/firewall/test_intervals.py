"""Merging is a set operation: checked address by address against the plain definition."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.firewall import intervals

ENTRIES = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 12), st.none() | st.integers(1, 5)).map(
        lambda t: (t[0], t[0] + t[1], t[2])
    ),
    max_size=12,
)


def longest(entries, number):
    """When the address leaves the list; 0 when it is not in it."""
    ends = [until for first, last, until in entries if first <= number <= last]
    return None if None in ends else max(ends, default=0)


@given(ENTRIES)
def test_merge_keeps_every_address_as_long_as_its_longest_entry(entries):
    merged = intervals.merge(entries)
    assert [longest(merged, n) for n in range(80)] == [longest(entries, n) for n in range(80)]
    assert all(a[1] < b[0] for a, b in itertools.pairwise(merged))
    assert all(a[1] + 1 < b[0] or a[2] != b[2] for a, b in itertools.pairwise(merged))


@given(ENTRIES, st.integers(0, 80), st.integers(0, 6))
def test_contains(entries, number, now):
    end = longest(entries, number)
    assert intervals.contains(intervals.merge(entries), number, now) == (end is None or end > now)


@given(st.sampled_from([4, 6]), st.data())
def test_text_and_number(family, data):
    first = data.draw(st.integers(0, (1 << intervals.BITS[family]) - 1))
    last = data.draw(st.integers(first, (1 << intervals.BITS[family]) - 1))
    assert intervals.parse(intervals.format_interval(family, first, last)) == (family, first, last)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10.0.0.1/24", "the network is 10.0.0.0/24"),
        ("10.0.0.0/33", "prefix length"),
        ("10.0.0.0/-1", "prefix length"),
        ("10.0.0.0/08", "prefix length"),
        ("10.0.0.9-10.0.0.1", "ends before"),
        ("10.0.0.1-::1", "mixes"),
        ("10.0.0.256", "not an IP address"),
        ("", "not an IP address"),
        ("2001:db8::1/64", "the network is 2001:db8::/64"),
        ("1.2.3.4\x00", "not an IP address"),
    ],
)
def test_refuses(text, message):
    with pytest.raises(ValueError, match=message):
        intervals.parse(text)
