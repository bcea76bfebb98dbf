"""The prefilter over-reports and never under-reports."""

from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.detect.matcher import FEW, Matcher
from sentinel.detect.view import View

patterns = st.lists(
    st.tuples(st.binary(min_size=1, max_size=5), st.booleans()).map(
        lambda p: (p[0].lower() if p[1] else p[0], p[1])
    ),
    min_size=1,
    max_size=2 * FEW,
)


@settings(max_examples=150)
@given(patterns, st.binary(max_size=30), st.data())
def test_superset_of_plain_search(given_patterns, noise, data):
    chosen = data.draw(st.lists(st.sampled_from(given_patterns), max_size=3))
    haystack = noise.join([b"", *(pattern.upper() if nocase else pattern for pattern, nocase in chosen), b""])
    matcher = Matcher((pattern, nocase, i) for i, (pattern, nocase) in enumerate(given_patterns))
    wanted = {
        i
        for i, (pattern, nocase) in enumerate(given_patterns)
        if pattern in (haystack.lower() if nocase else haystack)
    }
    assert wanted <= matcher.scan(View(haystack))


def test_many_patterns_with_cache(tmp_path):
    entries = [(b"needle-%d-" % i, False, i) for i in range(200)]
    for _ in range(2):
        assert Matcher(entries, tmp_path).scan(View(b"..needle-7-..needle-199-")) == {7, 199}
    assert list(tmp_path.glob("*.hsdb"))
