"""Rates: what Suricata counts, in event time."""

import pytest

from sentinel.detect.thresholds import Thresholds, Verdict, read_filters
from sentinel.model import Packet

SECOND = 1_000_000_000


def packet(second, src=b"\x0a\0\0\1", dst=b"\x0a\0\0\2"):
    return Packet(1, int(second * SECOND), b"", 4, src, dst, 6)


def written(thresholds, rule, packets):
    return [thresholds.verdict(rule, each) is Verdict.WRITE for each in packets]


@pytest.mark.parametrize(
    ("options", "seconds", "expected"),
    [
        ("threshold:type limit, track by_src, count 2, seconds 10;", [0, 1, 2, 9, 11], [1, 1, 0, 0, 1]),
        ("threshold:type threshold, track by_src, count 2, seconds 10;", [0, 1, 2, 3], [0, 1, 0, 1]),
        ("threshold:type both, track by_src, count 2, seconds 10;", [0, 1, 2, 3, 12, 13], [0, 1, 0, 0, 0, 1]),
        ("detection_filter:track by_src, count 2, seconds 10;", [0, 1, 2, 3, 20], [0, 0, 1, 1, 0]),
    ],
)
def test_kinds(rule, options, seconds, expected):
    found = rule(options)
    assert written(Thresholds(), found, [packet(second) for second in seconds]) == list(map(bool, expected))


def test_tracks_are_apart(rule):
    found = rule("threshold:type limit, track by_src, count 1, seconds 60;")
    packets = [packet(0), packet(1), packet(2, src=b"\x0a\0\0\x09")]
    assert written(Thresholds(), found, packets) == [True, False, True]
    by_rule = rule("threshold:type limit, track by_rule, count 1, seconds 60;")
    assert written(Thresholds(), by_rule, packets) == [True, False, False]


def filters(text):
    found, problems = read_filters(text, "threshold.config", {"NET": "10.0.0.0/24"})
    assert problems == []
    return Thresholds(found)


def test_suppression(rule):
    found = rule('content:"x";')
    assert written(filters("suppress gen_id 1, sig_id 1"), found, [packet(0)]) == [False]
    assert written(filters("suppress gen_id 1, sig_id 2"), found, [packet(0)]) == [True]
    by_src = filters("suppress gen_id 1, sig_id 1, track by_src, ip [$NET, 1.2.3.4]")
    assert written(by_src, found, [packet(0), packet(0, src=b"\x0b\0\0\1")]) == [False, True]
    either = filters("suppress gen_id 0, sig_id 0, track by_either, ip 10.0.0.2")
    assert written(either, found, [packet(0)]) == [False]


def test_filters_replace_and_turn_to_pass(rule):
    found = rule('content:"x";')
    limited = filters("threshold gen_id 1, sig_id 1, type limit, track by_src, count 1, seconds 60")
    assert written(limited, found, [packet(0), packet(1)]) == [True, False]
    rate = filters(
        "rate_filter gen_id 1, sig_id 1, track by_src, count 2, seconds 10, new_action pass, timeout 30"
    )
    verdicts = [rate.verdict(found, packet(second)) for second in (0, 1, 2, 40)]
    assert verdicts == [Verdict.WRITE, Verdict.PASS, Verdict.PASS, Verdict.WRITE]


def test_every_bad_line_is_named():
    text = "# fine\nnonsense\nsuppress gen_id 1, sig_id x\nthreshold gen_id 1, sig_id 1, type often\n"
    _, problems = read_filters(text, "t", {})
    assert [problem.line for problem in problems] == [2, 3, 4]


def test_suppress_takes_addresses_to_the_end_of_the_line():
    filters, problems = read_filters(
        "suppress gen_id 1, sig_id 1, track by_src, ip 10.0.0.1, 10.0.0.2\n"
        "suppress gen_id 1, sig_id 2, track by_src, ip !10.0.0.1\n",
        "x",
        {},
    )
    assert [problem.line for problem in problems] == [2]
    assert all(filters[0].threshold.addresses.has(bytes([10, 0, 0, last])) for last in (1, 2))
