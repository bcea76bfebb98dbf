"""Published container ports, as nft and as iptables write them."""

import firewall_lab
import pytest

from sentinel import process
from sentinel.firewall import compile as compiler
from sentinel.firewall import docker, policy

pytestmark = pytest.mark.netns


def reported(text="inbound: [{allow: tcp/22}]\n"):
    compiled = compiler.compile_policy(policy.parse(text, "p.yml"))
    return [str(one) for one in docker.bypassing(compiled)]


def test_rules_of_nft(namespace):
    firewall_lab.nft(
        "table ip nat {\n chain DOCKER { tcp dport 8080 dnat to 172.17.0.2:80\n udp dport 53 dnat to 172.17.0.3\n"
        " meta l4proto tcp th dport 9000-9010 dnat to 172.17.0.4\n tcp dport 1 accept\n }\n"
        " chain PREROUTING { type nat hook prerouting priority dstnat; fib daddr type local jump DOCKER\n }\n}\n"
        "table inet netavark { chain c { ip daddr 192.0.2.1 tcp dport { 81, 82 } dnat ip to 10.88.0.2:80\n }\n}\n"
    )
    assert reported() == [
        "tcp/8080 -> 172.17.0.2:80 (table ip nat) bypasses the inbound rules",
        "tcp/81, 82 -> 10.88.0.2:80 (table inet netavark) bypasses the inbound rules",
        "tcp/9000-9010 -> 172.17.0.4 (table ip nat) bypasses the inbound rules",
        "udp/53 -> 172.17.0.3 (table ip nat) bypasses the inbound rules",
    ]
    assert reported("default: {forward: drop}\n") == []


def test_rules_of_iptables_as_docker_makes_them(namespace):
    for command in (
        "-N DOCKER",
        "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
        "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80",
        "-A DOCKER -d 127.0.0.1/32 ! -i docker0 -p udp -m udp --dport 5353 -j DNAT --to-destination 172.17.0.3:53",
    ):
        process.run(["iptables", "-t", "nat", *command.split()])
    assert reported() == [
        "tcp/8080 -> 172.17.0.2:80 (table ip nat) bypasses the inbound rules",
        "udp/5353 -> 172.17.0.3:53 (table ip nat) bypasses the inbound rules",
    ]


def test_an_nft_that_does_not_know_iptables_targets():
    text = 'table ip nat {\n\tchain DOCKER {\n\t\tiifname != "docker0" tcp dport 8080 counter xt target "DNAT"\n\t}\n}\n'
    assert [str(one) for one in docker.published(text)] == [
        "tcp/8080 -> a container (table ip nat) bypasses the inbound rules"
    ]
