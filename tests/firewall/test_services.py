"""Services and rates: what is understood, what is refused, and that combining is a union."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.firewall import services
from sentinel.firewall.services import Rate, Service


@pytest.mark.parametrize(
    ("text", "service"),
    [
        ("tcp/22", Service("tcp", ((22, 22),))),
        ("udp/10-20,5,21", Service("udp", ((5, 5), (10, 21)))),
        ("tcp", Service("tcp")),
        ("gre", Service("gre")),
        ("icmp/echo-request", Service("icmp", (), ("echo-request",))),
        ("icmpv6", Service("icmpv6")),
    ],
)
def test_reads(text, service):
    assert services.parse(text) == service


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tcp/",
        "tcp/65536",
        "tcp/9-1",
        "tcp/-1",
        "tcp/ 5",
        "gre/5",
        "icmp/redirect",
        "http",
        "tcp/²",
        "/22",
    ],
)
def test_refuses(text):
    with pytest.raises(ValueError, match=r"."):
        services.parse(text)


PORTS = st.tuples(st.integers(0, 60), st.integers(0, 9)).map(lambda t: (t[0], t[0] + t[1]))
SERVICES = st.builds(
    lambda protocol, ports: services.parse(f"{protocol}/{ports[0]}-{ports[1]}"),
    st.sampled_from(["tcp", "udp"]),
    PORTS,
) | st.sampled_from([Service("tcp"), Service("gre")])


def covered(found, protocol, port):
    return any(
        s.protocol == protocol and (not s.ports or any(low <= port <= high for low, high in s.ports))
        for s in found
    )


@given(st.lists(SERVICES, max_size=6))
def test_combine_is_a_union(found):
    combined = services.combine(found)
    assert len({s.protocol for s in combined}) == len(combined)
    for protocol in ("tcp", "udp", "gre"):
        assert [covered(combined, protocol, p) for p in range(75)] == [
            covered(found, protocol, p) for p in range(75)
        ]


def test_rates():
    assert services.parse_rate("10/minute") == Rate(10, "minute", 5)
    assert services.parse_rate("100/second burst 200 per source") == Rate(100, "second", 200, per_source=True)
    for text in ("10", "0/minute", "10/week", "10/minute burst 0", "99999999999/second"):
        with pytest.raises(ValueError, match="not a rate"):
            services.parse_rate(text)
