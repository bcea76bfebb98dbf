"""After a reboot: the confirmed ruleset, with what is left of bans and `until`; never one nobody confirmed."""

import pytest

from sentinel.errors import FirewallError
from sentinel.firewall import apply, bans, boot, kernel, versions
from sentinel.firewall.apply import Confirm
from sentinel.firewall.settings import BanSettings

pytestmark = pytest.mark.netns


def test_last_confirmed_version_with_bans(namespace, state, ledger, policy_file):
    apply.apply(policy_file("inbound: [{allow: tcp/80}]\n"), state, ledger, confirm=Confirm.NOW)
    bans.Bans(state, ledger, BanSettings(mode="active")).add("203.0.113.7", 500)
    apply.apply(
        policy_file("inbound: [{allow: tcp/443}]\n"), state, ledger, confirm=Confirm.WAIT, confirm_seconds=60
    )
    with namespace.inside(namespace.new()):  # the machine starts again
        assert boot.restore(state.path.parent) == "version 1"
        assert "tcp dport 80" in kernel.listing()
        assert len(kernel.elements("ban_4_32")) == 1
    assert versions.history(state)[0].standing is versions.Standing.ROLLED_BACK


def test_without_a_readable_state_the_file(namespace, state, ledger, policy_file):
    apply.apply(policy_file("inbound: [{allow: tcp/80}]\n"), state, ledger, confirm=Confirm.NOW)
    state.close()
    state.path.write_bytes(b"damaged" * 1_000)
    with namespace.inside(namespace.new()):
        assert "last-good.nft" in boot.restore(state.path.parent)
        assert "tcp dport 80" in kernel.listing()


def test_nothing_to_restore(namespace, state, tmp_path):
    assert "nothing to restore" in boot.restore(state.path.parent)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "state.db").write_bytes(b"damaged" * 1_000)
    with pytest.raises(FirewallError, match="no last good ruleset"):
        boot.restore(tmp_path / "empty")
