"""The evaluator against the kernel: random packets over random policies, the same verdict for each."""

import random

import firewall_lab
import pytest

from sentinel.firewall import explain, intervals, networks, policy
from sentinel.firewall.policy import Action, Direction

NOW = 1_800_000_000_000_000_000


def decide(text, direction, source, port, **more):
    family, number = intervals.parse_address(source)
    parsed = policy.parse(text, "policy.yml")
    fields = {"destination": number} if direction is Direction.OUTBOUND else {"source": number}
    return explain.decide(parsed, explain.Packet(direction, family, port=port, **fields), NOW, **more)


POLICY = """
groups: {office: [198.51.100.0/24, "2001:db8::/32"], payment: [api.pay.example]}
inbound:
  - {allow: tcp/443}
  - {allow: tcp/22, from: office}
  - {allow: tcp/5432, from: 10.0.8.0/24, until: 2026-12-01T00:00:00Z}
outbound:
  - {deny: tcp/25}
  - {allow: tcp/443, to: payment}
failsafe: [{allow: tcp/2222, from: office}]
never_ban: [192.0.2.1]
default: {outbound: drop}
"""


@pytest.mark.parametrize(
    ("direction", "address", "port", "action", "rule"),
    [
        (Direction.INBOUND, "203.0.113.9", 443, Action.ACCEPT, "inbound 1"),
        (Direction.INBOUND, "198.51.100.9", 22, Action.ACCEPT, "inbound 2"),
        (Direction.INBOUND, "203.0.113.9", 22, Action.DROP, "inbound default"),
        (Direction.INBOUND, "10.0.8.1", 5432, Action.DROP, "inbound default"),  # ended
        (Direction.INBOUND, "198.51.100.77", 2222, Action.ACCEPT, "failsafe 1"),  # before its ban
        (Direction.INBOUND, "198.51.100.77", 443, Action.DROP, "bans"),
        (Direction.INBOUND, "192.0.2.1", 443, Action.ACCEPT, "inbound 1"),  # never_ban comes first
        (Direction.OUTBOUND, "203.0.113.5", 443, Action.ACCEPT, "outbound 2"),
        (Direction.OUTBOUND, "203.0.113.6", 443, Action.DROP, "outbound default"),
        (Direction.OUTBOUND, "203.0.113.5", 25, Action.DROP, "outbound 1"),
    ],
)
def test_names_the_rule_that_decides(direction, address, port, action, rule):
    bans = [networks.parse("198.51.100.77"), networks.parse("192.0.2.0/24")]
    decision = decide(
        POLICY, direction, address, port, bans=bans, answers={"api.pay.example": ["203.0.113.5"]}
    )
    assert (decision.action, decision.rule) == (action, rule)


def test_points_at_the_line_and_says_what_it_does_not_know():
    decision = decide(
        "inbound:\n  - {allow: tcp/1}\n  - {allow: tcp/22, interface: eth0}\n",
        Direction.INBOUND,
        "192.0.2.1",
        22,
    )
    assert (decision.line, decision.unsure) == (3, ("incoming interface eth0",))


@pytest.mark.netns
@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_the_kernel(spaces, seed):
    lab = firewall_lab.Lab(spaces)
    try:
        assert firewall_lab.disagreements(lab, random.Random(seed), 300) == []
    finally:
        lab.close()
