"""What `status` shows, from the state and the kernel."""

import firewall_lab
import pytest

from sentinel.firewall import apply, overview
from sentinel.firewall.apply import Confirm

pytestmark = pytest.mark.netns


def test_before_and_after_an_apply(namespace, state, ledger, policy_file):
    empty = overview.overview(state, 0)
    assert (empty.in_kernel, empty.in_sync, empty.versions, empty.published) == (False, True, [], [])
    text = "inbound: [{allow: tcp/22, until: 2199-01-01T00:00:00Z}]\n"
    apply.apply(policy_file(text), state, ledger, confirm=Confirm.NOW)
    found = overview.overview(state, 0)
    assert (found.in_kernel, found.in_sync, found.bans, found.names) == (True, True, 0, {})
    assert [one.what for one in found.temporary] == ["inbound 1"]
    firewall_lab.nft("flush chain inet sentinel inbound")
    assert not overview.overview(state, 0).in_sync
