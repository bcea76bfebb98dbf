"""What a policy's author should know, with the line; and nothing false."""

import random

import firewall_lab
import pytest

from sentinel import yamlfile
from sentinel.firewall import explain, lint, policy
from sentinel.firewall.policy import Direction

NOW = 1_795_000_000_000_000_000
SAFE = "failsafe: [{allow: tcp/22, from: 10.0.0.0/8}]\n"


def findings(text):
    return [(one.line, one.message) for one in lint.lint(policy.parse(text, "p.yml"), NOW)]


@pytest.mark.parametrize(
    ("rules", "line", "message"),
    [
        ("[{allow: tcp/1-100},\n {allow: tcp/80, from: 10.0.0.0/8}]", 3, "is shadowed by inbound 1 (line 2)"),
        ("[{allow: [tcp/80, udp/5]},\n {allow: [udp/5, tcp/80]}]", 3, "is a duplicate of inbound 1"),
        ("[{deny: any, from: 10.0.0.0/8},\n {allow: tcp/80, from: 10.1.0.0/16}]", 3, "contradicts inbound 1"),
        ("[{allow: tcp/80},\n {allow: tcp/81, until: 2020-01-01}]", 3, "has expired"),
        ("[{allow: tcp/80},\n {allow: icmp, from: '2001:db8::/32'}]", 3, "can match nothing"),
    ],
)
def test_finds(rules, line, message):
    [(where, text)] = findings(SAFE + f"inbound: {rules}\n".replace("inbound: [", "inbound: ["))
    assert where == line
    assert message in text


def test_says_when_nothing_protects_access():
    assert findings("inbound: []\n") == [
        (1, "no failsafe rules: nothing protects an administrator's access from the next mistake")
    ]


@pytest.mark.parametrize(
    "rules",
    [
        "[{allow: tcp/80, rate: 1/second}, {deny: tcp/80}]",
        "[{allow: tcp/80, until: 2199-01-01}, {allow: tcp/80}]",
        "[{allow: tcp/80, interface: eth0}, {deny: tcp/80}]",
        "[{deny: tcp/80, from: 10.0.0.0/8}, {allow: tcp/80}]",
    ],
)
def test_stays_silent(rules):
    assert findings(SAFE + f"inbound: {rules}\n") == []


@pytest.mark.parametrize("seed", range(8))
def test_a_covered_rule_never_decides(seed):
    """Against the evaluator: no packet is decided by a rule that lint calls covered."""
    chaos = random.Random(seed)
    wanted = firewall_lab.RandomPolicy(chaos)
    parsed = policy.parse(yamlfile.dump(wanted.data), "p.yml")
    found = lint.lint(parsed, NOW)
    covered = {p.message.split(" is ")[0].split(" contradicts")[0] for p in found if " (line " in p.message}
    for direction, interface, *rest in wanted.tuples(400):
        family, source, destination, protocol, port, source_port = rest
        icmp = "echo-request" if protocol.startswith("icmp") else ""
        packet = explain.Packet(
            Direction(direction),
            family,
            source,
            destination,
            protocol,
            port,
            source_port,
            icmp,
            interface,
            "eth1",
        )
        assert explain.decide(parsed, packet, NOW).rule not in covered
