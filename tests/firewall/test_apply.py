"""Applying, confirming, rolling back: with the watchdog as the process it is."""

import firewall_lab
import firewall_load
import firewall_shop
import firewall_trials
import pytest

from sentinel.errors import FirewallError
from sentinel.firewall import apply, kernel, versions, watchdog
from sentinel.firewall.apply import Confirm
from sentinel.firewall.versions import Standing

pytestmark = pytest.mark.netns
ONE = "inbound: [{allow: tcp/80}]\n"
TWO = "inbound: [{allow: tcp/443}]\n"


def standings(state):
    return [version.standing for version in versions.history(state)]


def test_confirmed_by_probe(namespace, state, ledger, policy_file):
    version = apply.apply(
        policy_file(ONE), state, ledger, author="ada", reason="CHG-1", confirm=Confirm.PROBE
    )
    assert version.standing is Standing.CURRENT
    assert "tcp dport 80" in kernel.listing()
    assert (
        (versions.folder(state) / "last-good.nft").read_text().startswith("table inet sentinel\ndelete table")
    )
    assert [entry.action for entry in ledger.entries()] == ["firewall.apply", "firewall.confirm"]
    assert versions.history(state)[0].author == "ada"


def test_unconfirmed_goes_back_by_itself(namespace, state, ledger, policy_file):
    apply.apply(policy_file(ONE), state, ledger, confirm=Confirm.NOW)
    apply.apply(policy_file(TWO), state, ledger, confirm=Confirm.WAIT, confirm_seconds=0.5)
    assert "tcp dport 443" in kernel.listing()
    with pytest.raises(FirewallError, match="waits for confirmation"):
        apply.apply(policy_file(ONE), state, ledger)
    assert firewall_shop.wait_for(lambda: Standing.ROLLED_BACK in standings(state), 10)
    assert "tcp dport 80" in kernel.listing()
    with pytest.raises(FirewallError, match="no version waits"):
        apply.confirm_pending(state, ledger)


def test_the_first_version_goes_back_to_what_was_there(namespace, state, ledger, policy_file):
    kernel.run_script("table inet sentinel { chain old { tcp dport 7 accept; }\n}\n")
    before = kernel.listing()
    apply.apply(policy_file(ONE), state, ledger, confirm=Confirm.WAIT, confirm_seconds=60)
    apply.roll_back(state, ledger)
    assert kernel.listing() == before


def test_confirmed_in_time_stays(namespace, state, ledger, policy_file):
    version = apply.apply(policy_file(ONE), state, ledger, confirm=Confirm.WAIT, confirm_seconds=1.0)
    apply.confirm_pending(state, ledger)
    script = watchdog.script_path(state, version.number)
    assert firewall_shop.wait_for(lambda: not script.exists(), 10)  # the watchdog saw it and ended
    assert standings(state) == [Standing.CURRENT]
    assert "tcp dport 80" in kernel.listing()


def test_rollback_to_any_version(namespace, state, ledger, policy_file):
    for text in (ONE, TWO, "inbound: [{allow: tcp/22}]\n"):
        apply.apply(policy_file(text), state, ledger, confirm=Confirm.NOW)
    assert apply.roll_back(state, ledger).number == 4
    assert "tcp dport 443" in kernel.listing()
    apply.roll_back(state, ledger, 1, reason="oops")
    assert "tcp dport 80" in kernel.listing()
    assert versions.policy_text(state, 5) == ONE
    with pytest.raises(FirewallError, match="no firewall version 99"):
        apply.roll_back(state, ledger, 99)


def test_what_the_kernel_refuses_changes_nothing(namespace, state, ledger, policy_file, monkeypatch):
    apply.apply(policy_file(ONE), state, ledger, confirm=Confirm.NOW)
    before = kernel.full_listing()
    from sentinel.firewall import nft

    monkeypatch.setattr(nft, "PRIORITY", "nonsense")
    with pytest.raises(FirewallError, match="nft refused"):
        apply.apply(policy_file(TWO), state, ledger, confirm=Confirm.WAIT)
    assert kernel.full_listing() == before
    assert standings(state) == [Standing.FAILED, Standing.CURRENT]


def test_damaged_state_still_goes_back(namespace, state, ledger, policy_file):
    """The fallback of the watchdog: its script needs no database."""
    apply.apply(policy_file(ONE), state, ledger, confirm=Confirm.NOW)
    apply.apply(policy_file(TWO), state, ledger, confirm=Confirm.WAIT, confirm_seconds=1.0)
    state.close()
    for path in state.path.parent.glob("state.db*"):
        path.write_bytes(b"not a database, " * 500)
    assert firewall_shop.wait_for(lambda: "tcp dport 80" in kernel.listing(), 10)


def test_without_a_watchdog_nothing_is_applied(namespace, state, ledger, policy_file, monkeypatch):
    monkeypatch.setattr(watchdog.sys, "executable", "/bin/false")
    with pytest.raises(FirewallError, match="nothing was changed"):
        apply.apply(policy_file(ONE), state, ledger)
    assert kernel.listing() == ""


def test_foreign_tables_are_never_touched(namespace, state, ledger, policy_file):
    firewall_lab.nft(firewall_trials.FOREIGN)
    before = firewall_trials._foreign()
    apply.apply(policy_file(ONE), state, ledger, confirm=Confirm.WAIT, confirm_seconds=60)
    apply.roll_back(state, ledger)
    apply.apply(policy_file(TWO), state, ledger)
    assert firewall_trials._foreign() == before


def test_systemd_timer_command(state):
    version = versions.Version(7, 0, Standing.PENDING, "", "", "")
    command = watchdog.timer_command(["/usr/bin/python", "-m", "x"], version, 60)
    assert command[0] == "systemd-run"
    assert "--on-active=60s" in command
    assert command[-4:] == ["--", "/usr/bin/python", "-m", "x"]


def test_lockout_trial(spaces):
    passed, line = firewall_trials.lockouts(spaces, 2)
    assert passed, line


def test_under_load_trial(spaces):
    passed, line = firewall_load.under_load(spaces, 5, 300)
    assert passed, line


def test_switching_trial(spaces):
    passed, line = firewall_load.switching(spaces, 5, 300)
    assert passed, line


def test_flush_trial(spaces):
    passed, line = firewall_load.flushes(spaces, 3, 300)
    assert passed, line


def test_until_trial(spaces):
    passed, line = firewall_trials.until(spaces)
    assert passed, line
