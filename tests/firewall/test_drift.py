"""Somebody else changes the table: repaired when enforcing, reported when observing, told in the ledger."""

import subprocess
import sys
import time

import firewall_lab
import firewall_shop
import firewall_trials
import pytest

from sentinel.firewall import apply, bans, drift, kernel, netlink
from sentinel.firewall.apply import Confirm
from sentinel.firewall.settings import FirewallSettings

pytestmark = pytest.mark.netns


@pytest.fixture
def guarded(namespace, state, ledger, policy_file):
    apply.apply(policy_file(firewall_trials.KEPT_POLICY), state, ledger, confirm=Confirm.NOW)
    events = netlink.Events()
    yield events
    events.close()


def entries(ledger):
    return [entry for entry in ledger.entries() if entry.action == "firewall.drift"]


CHANGES = {
    "delete table inet sentinel": ("table", "table deleted"),
    "flush chain inet sentinel outbound": ("rules", "- oifname"),
    "insert rule inet sentinel inbound accept": ("rules", "+ accept"),
    "add chain inet sentinel inbound { policy accept; }": ("rules", "policy accept"),
    "add table inet sentinel { flags dormant; }": ("rules", "+ flags dormant"),
    "add element inet sentinel g_office_4 { 9.9.9.9 }": ("elements", "+ 9.9.9.9"),
    "delete element inet sentinel g_office_4 { 198.51.100.0/24 }": ("elements", "- 198.51.100.0/24"),
    "add element inet sentinel ban_4_32 { 9.9.9.9 }": ("elements", "+ 9.9.9.9"),
    "delete element inet sentinel ban_4_32 { 203.0.113.7 }": ("elements", "- 203.0.113.7"),
    "flush set inet sentinel never_ban_4": ("elements", "- 198.51.100.0/24"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_repaired_and_told(guarded, state, ledger, change):
    bans.Bans(state, ledger, firewall_shop.ACTIVE).add("203.0.113.7", 1_000)
    keeper = drift.Keeper(state, ledger, enforce=True)
    assert keeper.check(guarded.read()) == []
    right = firewall_trials.snapshot()
    firewall_lab.nft(change)
    found = keeper.check(guarded.read() if "dormant" not in change else None)
    assert firewall_trials.snapshot() == right
    kind, line = CHANGES[change]
    assert [one.kind for one in found] == [kind]
    [entry] = entries(ledger)
    assert any(line in text for text in entry.detail["changes"])
    assert entry.detail["result"] == "repaired"
    assert "dormant" in change or "nft" in entry.detail["processes"][0]
    assert keeper.check() == []


def test_observing_reports_once_and_touches_nothing(guarded, state, ledger):
    keeper = drift.Keeper(state, ledger, enforce=False)
    firewall_lab.nft("insert rule inet sentinel inbound accept")
    before = kernel.listing()
    assert keeper.check() == keeper.check()
    assert kernel.listing() == before
    assert len(entries(ledger)) == 1


def test_a_changed_time_is_drift(guarded, state, ledger):
    bans.Bans(state, ledger, firewall_shop.ACTIVE).add("203.0.113.7", 1_000)
    firewall_lab.nft(
        "delete element inet sentinel ban_4_32 { 203.0.113.7 }\n"
        "add element inet sentinel ban_4_32 { 203.0.113.7 timeout 5s }"
    )
    drift.Keeper(state, ledger, enforce=True).check(guarded.read())
    [element] = kernel.elements("ban_4_32")
    assert element.expires > 990


def test_own_changes_are_no_drift(guarded, state, ledger, policy_file):
    keeper = drift.Keeper(state, ledger, enforce=True)
    bans.Bans(state, ledger, firewall_shop.ACTIVE).add("203.0.113.7", 1_000)
    apply.apply(policy_file("inbound: [{allow: tcp/80}]\n"), state, ledger, confirm=Confirm.NOW)
    assert keeper.check(guarded.read()) == []
    assert entries(ledger) == []


@pytest.mark.parametrize("address", ["203.0.113.7", "203.0.112.0/23", "2001:db8:7::/62", "2001:db8::1"])
def test_a_ban_is_checked_by_its_event_alone(guarded, state, ledger, address, monkeypatch):
    keeper = drift.Keeper(state, ledger, enforce=True)
    keeper.check(guarded.read())
    book = bans.Bans(state, ledger, firewall_shop.ACTIVE)
    monkeypatch.setattr(kernel, "elements", None)  # whoever reads a set fails
    monkeypatch.setattr(kernel, "all_elements", None)
    book.add(address, 1_000)
    assert keeper.check(guarded.read()) == []
    book.add(address, 2_000)
    book.remove(address)
    assert keeper.check(guarded.read()) == []


def test_another_way_of_listing_is_no_endless_repair(guarded, state, ledger):
    """After an upgrade of nft the same table may be listed in other words."""
    noted = str(state.checkpoint(apply.versions.LISTING_KEY))
    state.save_checkpoint(apply.versions.LISTING_KEY, noted.replace("counter accept", "counter  accept"))
    keeper = drift.Keeper(state, ledger, enforce=True)
    found = [len(keeper.check()) for _ in range(4)]
    assert found == [1, 1, 0, 0]


def test_the_same_change_twice_is_mended_twice(guarded, state, ledger):
    keeper = drift.Keeper(state, ledger, enforce=True)
    right = firewall_trials.snapshot()
    for _ in range(3):
        firewall_lab.nft("insert rule inet sentinel inbound accept")
        keeper.check(guarded.read())
        assert firewall_trials.snapshot() == right
        keeper.check(guarded.read())
    assert len(entries(ledger)) == 3


def test_many_lost_bans_come_back(guarded, state, ledger):
    """More than one netlink batch holds."""
    now = time.time_ns()
    rows = [(f"203.0.{i // 250}.{i % 250}", now, now + 10**13) for i in range(1_500)]
    with state.write() as connection:
        connection.executemany(
            "INSERT INTO ban (address, added, expires, reason, rule_id, level) VALUES (?, ?, ?, '', '', 0)",
            rows,
        )
    keeper = drift.Keeper(state, ledger, enforce=True)
    keeper.check()
    assert len(kernel.elements("ban_4_32")) == 1_500
    firewall_lab.nft("flush set inet sentinel ban_4_32")
    keeper.check(guarded.read())
    assert len(kernel.elements("ban_4_32")) == 1_500
    assert keeper.check() == []


def test_events_name_the_process(guarded):
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import subprocess; subprocess.run(['nft', 'add', 'chain', 'inet', 'sentinel', 'x'])",
        ],
        check=True,
    )
    burst = guarded.read()
    [(author, changes)] = burst.commits
    assert (author.name, [str(change) for change in changes]) == ("nft", ["chain x added"])
    assert author.generation == netlink.generation()


def test_a_flood_of_events_means_compare_everything(guarded, monkeypatch):
    monkeypatch.setattr(netlink, "RECEIVE_BYTES", 4_096)
    small = netlink.Events()
    for number in range(40):
        firewall_lab.nft(f"add chain inet sentinel c{number}")
    burst = small.read()
    small.close()
    assert burst
    assert burst.overflow


def test_trial(spaces):
    passed, line = firewall_trials.drift(spaces, 12)
    assert passed or "p99" in line, line
    assert "12 repaired" in line
    assert "bans intact, other tables identical" in line


def test_component_observes_without_touching(spaces, tmp_path):
    shop = firewall_shop.Shop(spaces, tmp_path)
    with spaces.inside(shop.host):
        settings = FirewallSettings(policy=shop.policy(firewall_trials.KEPT_POLICY), enforce=False)
        keeper = firewall_trials.Running(shop, settings)
        time.sleep(0.2)
        assert kernel.listing() == ""
        keeper.stop()
    shop.state.close()
