"""The corners of Go's JSON: names, strings and times, there and back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.backup.repo.gojson import (
    EARLIEST_SECONDS,
    LATEST_SECONDS,
    SECOND,
    name_string,
    parse_time,
    quote,
    string,
    time_string,
    unquote,
    utc_offset,
)

# Left: bytes of a name. Right: what restic 0.14 wrote for it into a tree.
QUOTED = {
    b"plain name": "plain name",
    b'b\xff\xe4\n"': r"b\xff\xe4\n\"",
    b"tab\tbell\x07": r"tab\tbell\a",
    b"back\\slash": r"back\\slash",
    "soft\u00adhyphen".encode(): r"soft\u00adhyphen",
    "no\u00a0break".encode(): r"no\u00a0break",
    b"\x01\x7f": r"\x01\x7f",
    "größe 日本".encode(): "größe 日本",
    "\U000e0001".encode(): r"\U000e0001",
}


@pytest.mark.parametrize("name", QUOTED)
def test_names_as_restic_quotes_them(name):
    assert quote(name) == QUOTED[name]
    assert unquote(QUOTED[name]) == name


@given(st.binary(max_size=60))
def test_any_name_survives(name):
    assert unquote(json.loads(name_string(name))) == name


@given(st.text(max_size=60))
def test_any_text_survives(name):
    assert json.loads(string(name)) == name
    encoded = string(name)
    assert not set("<>&\u2028\u2029") & set(encoded)


@pytest.mark.parametrize("text", ["\\", "a\\q", "\\x1", "\\u12"])
def test_broken_escapes_are_refused(text):
    with pytest.raises(ValueError):
        unquote(text)


def test_strings_as_go_writes_them():
    assert string("<a>&\u2028") == r'"\u003ca\u003e\u0026\u2028"'
    assert string("a\bb\\b\f") == r'"a\u0008b\\b\u000c"'


@given(st.integers(EARLIEST_SECONDS * SECOND, (LATEST_SECONDS + 1) * SECOND - 1))
def test_times_survive(nanoseconds):
    assert parse_time(time_string(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00.5+01:00", 500_000_000),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("2015-01-02T18:10:13.48307196+01:00", 1_420_218_613_483_071_960),
        ("0001-01-01T00:00:00Z", EARLIEST_SECONDS * SECOND),
    ],
)
def test_times_as_restic_writes_them(text, nanoseconds):
    assert parse_time(text) == nanoseconds


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2015-01-02T18:10:13", "2015-13-02T18:10:13Z", "2015-01-02T18:10:13.Z"]
)
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError):
        parse_time(text)


@pytest.mark.parametrize("nanoseconds", [-(2**80), 2**80])
def test_times_beyond_the_calendar_are_the_nearest_there_is(nanoseconds):
    assert len(time_string(nanoseconds).partition(".")[0]) in {19, 20}


def test_offsets():
    assert utc_offset("2015-01-02T18:10:13-03:30") == -12_600
