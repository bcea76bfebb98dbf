"""Durations, listings and single rules as nft writes them."""

import json

import pytest

from sentinel.firewall import nft
from sentinel.firewall.nft import Listed
from sentinel.firewall.ruleset import Limit, Rule


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "1ms"),
        (1_500_000_000, "1500ms"),
        (99_999_999_000_000, "99999999ms"),
        (86_400 * 2 * 10**9, "2d"),
        (86_401 * 2 * 10**9, "2d2000ms"),
    ],
)
def test_duration_has_at_most_eight_digits_a_unit(nanoseconds, text):
    assert nft.duration(nanoseconds) == text


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (Rule("accept", in_interfaces=("lo",)), 'iifname "lo" accept'),
        (
            Rule("drop", family=6, source="ban_6_48", source_length=48, counter=True),
            "ip6 saddr & ffff:ffff:ffff:: @ban_6_48 counter drop",
        ),
        (
            Rule("reject", family=4, protocol="tcp", ports=((1, 5), (9, 9))),
            "meta nfproto ipv4 tcp dport { 1-5, 9 } reject with icmpx admin-prohibited",
        ),
        (
            Rule("return", family=6, rate_set="r", limit=Limit(1, "hour", 5, over=True)),
            "update @r { ip6 saddr limit rate over 1/hour burst 5 packets } return",
        ),
        (
            Rule(limit=Limit(10, "second", 20), log="x: "),
            'limit rate 10/second burst 20 packets log prefix "x: "',
        ),
        (
            Rule("accept", gate="g", protocol="ospf", comment="c"),
            'meta nfproto @g meta l4proto 89 accept comment "c"',
        ),
    ],
)
def test_rule(rule, text):
    assert nft.rule_text(rule) == text


def test_elements_of_every_shape():
    elements = ["192.0.2.1", {"prefix": {"addr": "10.0.0.0", "len": 8}}, {"range": ["10.0.0.1", "10.0.0.3"]}, {"elem": {"val": "192.0.2.9", "timeout": 60, "expires": 5, "counter": {"packets": 2, "bytes": 99}}}]  # fmt: skip
    listing = {"nftables": [{"metainfo": {}}, {"set": {"name": "s", "type": "ipv4_addr", "elem": elements}}, {"set": {"name": "e", "type": "ipv6_addr"}}, {"set": {"name": "g", "type": "nf_proto", "elem": ["ipv6"]}}]}  # fmt: skip
    assert nft.parse_sets(json.dumps(listing).encode()) == {
        "s": [Listed(0xC0000201, 0xC0000201), Listed(0x0A000000, 0x0AFFFFFF), Listed(0x0A000001, 0x0A000003), Listed(0xC0000209, 0xC0000209, 60, 5, 2, 99)],
        "e": [],
        "g": [Listed(10, 10)],
    }  # fmt: skip
