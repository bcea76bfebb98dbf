"""Indexes over-report and never under-report."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from sentinel.detect.header import header_fits
from sentinel.detect.index import AddressIndex, HeaderIndex
from sentinel.detect.suricata import Context, parse_rule
from sentinel.model import Packet

ADDRESSES = st.sampled_from(
    ["any", "10.0.0.0/30", "!10.0.0.1", "[10.0.0.1,10.0.0.3]", "10.0.0.2", "fd00::/126"]
)
PORTS = st.sampled_from(["any", "80", "!80", "[80,443]", "1:100"])
RULES = st.lists(
    st.builds(
        lambda proto, a, b, c, d, arrow: f"alert {proto} {a} {b} {arrow} {c} {d} (sid:1;)",
        st.sampled_from(["tcp", "udp", "icmp"]), ADDRESSES, PORTS, ADDRESSES, PORTS, st.sampled_from(["->", "<>"]),
    ).map(lambda text: parse_rule(text, Context({}))),
    max_size=6,
)  # fmt: skip
PACKETS = st.builds(
    lambda hosts, proto, sport, dport: Packet(
        1, 0, b"", hosts[0].version, hosts[0].packed, hosts[1].packed, proto, sport, dport, l4=34
    ),
    st.sampled_from(["10.0.0.%d", "fd00::%d"]).flatmap(
        lambda net: st.tuples(st.integers(0, 4), st.integers(0, 4)).map(
            lambda pair: [ipaddress.ip_address(net % n) for n in pair]
        )
    ),
    st.sampled_from([6, 17, 1]), st.sampled_from([80, 443, 1024]), st.sampled_from([80, 443, 1024]),
)  # fmt: skip


@given(RULES, PACKETS)
def test_supersets(rules, packet):
    fitting = {n for n, rule in enumerate(rules) if header_fits(rule, packet)}
    assert fitting <= set(HeaderIndex(rules, range(len(rules))).find(packet))
    assert fitting <= set(AddressIndex(rules, range(len(rules))).find(packet))
