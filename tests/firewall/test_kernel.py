"""What is missing is said in one line: the program, the privilege, the kernel's feature."""

import subprocess
import sys

import firewall_lab
import pytest

from sentinel import process
from sentinel.errors import CapabilityError, FirewallError, ProgramError
from sentinel.firewall import docker, kernel, policy


def test_no_nft(monkeypatch):
    monkeypatch.setattr(process, "find", lambda program: None)
    with pytest.raises(CapabilityError, match="apt-get install nftables"):
        kernel.listing()


@pytest.mark.netns
def test_no_privilege():
    """Without capabilities over the network namespace: the real refusal."""
    code = (
        "from sentinel.errors import CapabilityError\nfrom sentinel.firewall import kernel\n"
        "try: kernel.run_script('table inet sentinel {}')\nexcept CapabilityError as error: print(error)\n"
    )
    said = subprocess.run(
        ["unshare", "--user", sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert said.count("\n") == 1
    assert "CAP_NET_ADMIN" in said


@pytest.mark.parametrize(
    "stderr",
    [
        "netlink: Error: cache initialization failed: Protocol not supported",
        "Error: Could not process rule: Operation not supported",
    ],
)
def test_no_feature(stderr):
    error = kernel._translated(ProgramError("nft: exit status 1", returncode=1, stderr=stderr))
    assert isinstance(error, CapabilityError)
    assert "kernel lacks a feature" in str(error)


@pytest.mark.netns
def test_other_refusals_keep_nfts_word(namespace):
    with pytest.raises(FirewallError, match="syntax error"):
        kernel.run_script("nonsense")
    assert kernel.listing() == kernel.full_listing() == ""


@pytest.mark.netns
def test_published_ports_are_reported(namespace):
    firewall_lab.nft(
        "table ip nat {\n chain DOCKER { tcp dport 8080 dnat to 172.17.0.2:80\n udp dport 53 dnat to 172.17.0.3\n }\n"
        " chain PREROUTING { type nat hook prerouting priority dstnat; fib daddr type local jump DOCKER\n }\n}\n"
    )
    open_policy = policy.parse("inbound: [{allow: tcp/22}]\n", "p.yml")
    assert [str(one) for one in docker.bypassing(open_policy)] == [
        "tcp/8080 -> 172.17.0.2 port 80 (table ip nat) bypasses the inbound rules",
        "udp/53 -> 172.17.0.3 (table ip nat) bypasses the inbound rules",
    ]
    assert docker.bypassing(policy.parse("default: {forward: drop}\n", "p.yml")) == []
