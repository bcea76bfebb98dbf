"""What is missing is said in one line: the program, the privilege, the kernel's feature."""

import subprocess
import sys

import pytest

from sentinel import process
from sentinel.errors import CapabilityError, FirewallError, ProgramError
from sentinel.firewall import kernel


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
