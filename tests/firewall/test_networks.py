"""A ban's network and its pieces cover the same addresses."""

from hypothesis import given
from hypothesis import strategies as st

from sentinel.firewall import intervals, networks
from sentinel.firewall.ruleset import BAN_LENGTHS


@given(st.sampled_from([(4, 9, 32), (6, 41, 64)]), st.data())
def test_pieces_are_the_network(kind, data):
    family, shortest, longest = kind
    length = data.draw(st.integers(shortest, longest))
    bits = intervals.BITS[family]
    first = data.draw(st.integers(0, (1 << length) - 1)) << (bits - length)
    network = networks.parse(f"{intervals.format_address(family, first)}/{length}")
    pieces = network.pieces()
    assert (network.family, network.first, network.length) == (family, first, length)
    assert {piece.length for piece in pieces} <= set(BAN_LENGTHS[family])
    assert intervals.merge([(p.first, p.last, None) for p in pieces]) == (
        (network.first, network.last, None),
    )
    assert all(network.covers(piece) for piece in pieces)
    assert networks.parse(str(network)) == network


def test_an_ipv6_host_is_its_slash_64():
    assert str(networks.parse("2001:db8::dead:beef")) == "2001:db8::/64"
    assert str(networks.parse("2001:db8::dead:0/112")) == "2001:db8::/64"
