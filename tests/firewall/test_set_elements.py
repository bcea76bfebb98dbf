"""Ban elements by netlink are the elements that nft would have made."""

import pytest

from sentinel.errors import FirewallError
from sentinel.firewall import apply, kernel, networks, set_elements
from sentinel.firewall.apply import Confirm
from sentinel.firewall.nft import BanElement

pytestmark = pytest.mark.netns
SECOND = 1_000_000_000


@pytest.fixture
def table(namespace, state, ledger, policy_file):
    apply.apply(policy_file("{}"), state, ledger, confirm=Confirm.NOW)


def element(seconds, left=None, number=0xCB007107):
    return BanElement(4, 32, number, seconds * SECOND, (left or seconds) * SECOND)


def test_put_again_with_another_time_and_remove(table):
    set_elements.put([element(1_000, 500), BanElement(6, 64, 0x20010DB8 << 96, 60 * SECOND, 60 * SECOND)])
    [found] = kernel.elements("ban_4_32")
    assert (found.first, found.timeout) == (0xCB007107, 1_000)
    assert 498 <= found.expires <= 500
    set_elements.put([element(50)])
    assert [e.timeout for e in kernel.elements("ban_4_32")] == [50]
    assert len(kernel.elements("ban_6_64")) == 1
    set_elements.remove([networks.Network(4, 0xCB007107, 32), networks.Network(4, 1, 32)])
    assert kernel.elements("ban_4_32") == []


def test_the_new_element_counts(table):
    set_elements.put([element(100)])
    assert "counter packets 0" in kernel.full_listing().split("set ban_4_32")[1].split("}")[0]


def test_many_in_one_transaction(table):
    set_elements.put(element(100, number=number) for number in range(1, 129))
    assert len(kernel.elements("ban_4_32")) == 128


def test_without_a_table(namespace):
    with pytest.raises(FirewallError, match="not in the kernel"):
        set_elements.put([element(100)])
