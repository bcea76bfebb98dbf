"""Groups of addresses and ports: the same answer as set arithmetic over single values."""

import ipaddress
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.detect.addresses import ANY_ADDRESS, addresses, ports, split_list, subtract, union

VARIABLES = {"HOME": "[10.0.0.0/8,!10.9.0.0/16]", "OUT": "!$HOME", "WEB": "[80,8000:8100]", "LOOP": "$LOOP"}


def packed(text):
    return ipaddress.ip_address(text).packed


@pytest.mark.parametrize(
    ("group", "inside", "outside"),
    [
        ("any", ["1.2.3.4", "::1"], []),
        ("10.0.0.0/8", ["10.255.0.1"], ["11.0.0.1", "::1"]),
        ("[10.0.0.1,10.0.0.9]", ["10.0.0.9"], ["10.0.0.5"]),
        ("10.0.0.1-10.0.0.9", ["10.0.0.5"], ["10.0.0.10"]),
        ("!10.0.0.0/8", ["9.255.255.255"], ["10.1.2.3", "::1"]),
        ("[!10.0.0.0/8,!fd00::/8]", ["9.255.255.255", "::1"], ["10.1.2.3", "fd00::1"]),
        ("[fd00::1,!10.0.0.0/8]", ["9.255.255.255", "fd00::1"], ["10.1.2.3", "::1"]),
        ("$HOME", ["10.1.1.1"], ["10.9.1.1"]),
        ("$OUT", ["10.9.1.1", "8.8.8.8"], ["10.1.1.1"]),
        ("[$HOME,!10.1.0.0/16]", ["10.2.0.1"], ["10.1.0.1", "10.9.0.1"]),
        ("[!$HOME,!8.8.8.8]", ["9.9.9.9"], ["8.8.8.8", "10.1.1.1"]),
        ("fe80::/10", ["fe80::1"], ["10.0.0.1", "2001::1"]),
        ("10.0.0.0/255.0.0.0", ["10.4.5.6"], ["11.0.0.0"]),
    ],
)
def test_address_groups(group, inside, outside):
    found = addresses(group, VARIABLES)
    assert all(found.has(packed(text)) for text in inside)
    assert not any(found.has(packed(text)) for text in outside)


@pytest.mark.parametrize(
    "group", ["$NONE", "300.1.1.1", "[10.0.0.1", "!any", "$LOOP", "[10.0.0.1,!10.0.0.1]", "[,]"]
)
def test_bad_address_groups_are_refused(group):
    with pytest.raises(ValueError):
        addresses(group, VARIABLES)


@pytest.mark.parametrize(
    ("group", "inside", "outside"),
    [
        ("80", [80], [81]),
        ("1024:", [1024, 65535], [1023]),
        (":1023", [0, 1023], [1024]),
        ("[80,443,!443]", [80], [443]),
        ("$WEB", [80, 8050], [8101]),
        ("!$WEB", [81], [8000]),
    ],
)
def test_port_groups(group, inside, outside):
    found = ports(group, VARIABLES)
    assert all(found.has(port) for port in inside)
    assert not any(found.has(port) for port in outside)


@pytest.mark.parametrize("group", ["x", "70000", "90:80", "", ":"])
def test_bad_port_groups_are_refused(group):
    with pytest.raises(ValueError):
        ports(group, VARIABLES)


ranges = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 8)).map(lambda p: (p[0], p[0] + p[1])), max_size=6
)


@given(ranges, ranges)
def test_ranges_are_sets(wanted, holes):
    left = {value for low, high in wanted for value in range(low, high + 1)}
    cut = {value for low, high in holes for value in range(low, high + 1)}
    result = subtract(union(wanted), union(holes))
    assert {value for low, high in result for value in range(low, high + 1)} == left - cut
    assert all(a[1] < b[0] for a, b in itertools.pairwise(result))


def test_nested_lists_stay_whole():
    assert split_list("[a, !b,[c,[d]]]") == ["a", "!b", "[c,[d]]"]
    assert ANY_ADDRESS.everything
