"""The prefilter: many patterns at once, what Hyperscan lacks is over-reported or named, and databases are kept."""

from __future__ import annotations

from sentinel.detect.prefilter import Pattern, Prefilter


def test_matches_are_reported_with_their_ends():
    made = Prefilter.compile([Pattern(b"abc"), Pattern(b"C", caseless=True)])
    assert sorted(zip(*made.scan(b"xabc"), strict=True)) == [(0, 4), (1, 4)]
    assert made.scan(b"") == ([], [])


def test_lookaround_is_over_reported_and_what_cannot_compile_is_named():
    made = Prefilter.compile([Pattern(b"(?<=x)abc"), Pattern(b"(?:a|$).*b"), Pattern(b"d")])
    assert made.refused == [1]
    assert set(made.scan(b"abcd")[0]) == {0, 2}


def test_a_compiled_set_comes_back_from_the_cache(tmp_path):
    patterns = [Pattern(b"abc"), Pattern(b"(?:a|$).*b")]
    first = Prefilter.compile(patterns, tmp_path)
    (stored,) = tmp_path.glob("*.hsdb")
    again = Prefilter.compile(patterns, tmp_path)
    assert again.refused == first.refused == [1]
    assert again.scan(b"abc") == first.scan(b"abc")
    stored.write_bytes(b"0\nrubbish")
    assert Prefilter.compile(patterns, tmp_path).scan(b"abc") == first.scan(b"abc")
