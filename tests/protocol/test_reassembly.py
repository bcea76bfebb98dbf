"""Overlaps by target policy, against a model that decides byte by byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.protocol.reassembly import MAXIMUM_SEGMENTS, Reassembly, new_wins

POLICIES = ["bsd", "windows", "old-linux", "linux", "solaris", "hpux11", "last", "first"]
SEGMENTS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("windows", b"AAAA"), ("linux", b"BBBB"), ("solaris", b"BBBB"), ("last", b"BBBB"), ("bsd", b"AAAA")],
)
def test_longer_segment_with_the_same_start(policy, expected):
    data = Reassembly()
    data.insert(0, b"AAAA", policy)
    assert data.insert(0, b"BBBBB", policy) is True
    assert data.contiguous(0) == (expected + b"B", 0)


@given(SEGMENTS, st.sampled_from(POLICIES))
def test_matches_a_bytewise_model(segments, policy):
    data, model, seen = Reassembly(), {}, []
    for number, (start, size) in enumerate(segments):
        end = start + size
        payload = bytes([number + 65]) * size
        data.insert(start, payload, policy)
        old = dict(model)
        for offset in range(start, end):
            losers = [s for s in seen if s[0] <= offset < s[1] and not new_wins(policy, start, end, *s)]
            if offset not in old or not losers:
                model[offset] = number + 65
        seen.append((start, end))
        found = {start + i: byte for start, block in data.blocks for i, byte in enumerate(block)}
        assert found == model
        assert data.held_bytes == len(model)
        assert all(a[0] + len(a[1]) < b[0] for a, b in zip(data.blocks, data.blocks[1:], strict=False))


@given(SEGMENTS, st.integers(0, 90))
def test_slide_forgets_exactly_what_is_before(segments, offset):
    data = Reassembly()
    for start, size in segments:
        data.insert(start, b"x" * size, "windows")
    kept = {start + i for start, block in data.blocks for i in range(len(block)) if start + i >= offset}
    data.slide(offset)
    assert {start + i for start, block in data.blocks for i in range(len(block))} == kept
    assert data.held_bytes == len(kept)
    assert data.contiguous(max(offset, 100)) == (b"", 0)


def test_a_flood_of_tiny_segments_keeps_the_bytes():
    data = Reassembly()
    for start in range(3 * MAXIMUM_SEGMENTS):
        data.insert(start, b"x", "windows")
    assert len(data.segments) <= MAXIMUM_SEGMENTS
    assert data.contiguous(0) == (b"x" * 3 * MAXIMUM_SEGMENTS, 0)
