"""Bans in a real kernel: what is dropped, for how long, and what outlives what."""

import time

import pytest

from sentinel.errors import FirewallError, UsageError
from sentinel.firewall import apply, bans, kernel, networks, versions
from sentinel.firewall.apply import Confirm
from sentinel.firewall.bans import Bans, Outcome
from sentinel.firewall.settings import BanSettings

pytestmark = pytest.mark.netns
POLICY = "inbound: [{allow: tcp/80}]\nnever_ban: [198.51.100.0/24]\n"


def settings(**more):
    return BanSettings.model_validate({"mode": "active"} | more)


@pytest.fixture
def applied(namespace, state, ledger, policy_file):
    def again(text=POLICY):
        apply.apply(policy_file(text), state, ledger, confirm=Confirm.NOW)

    again()
    return again


def in_kernel(name):
    return [element.first for element in kernel.elements(name)]


def test_an_address_a_slash_64_and_a_network(applied, state, ledger):
    book = Bans(state, ledger, settings())
    assert book.add("203.0.113.7", 100, "scan", "2001").outcome is Outcome.BANNED
    assert book.add("2001:db8:1:2:3:4:5:6", 100).network == "2001:db8:1:2::/64"
    assert book.add("192.0.2.0/23", 100).network == "192.0.2.0/23"
    assert in_kernel("ban_4_32") == [0xCB007107]
    assert in_kernel("ban_6_64") == [0x20010DB8000100020000000000000000]
    assert sorted(in_kernel("ban_4_24")) == [0xC0000200, 0xC0000300]
    listed = {ban.address: ban for ban in book.list()}
    assert (listed["203.0.113.7"].reason, listed["203.0.113.7"].rule_id) == ("scan", "2001")
    assert 95 < listed["192.0.2.0/23"].seconds_left(time.time_ns()) <= 100


def test_never_ban_budget_and_observe(applied, state, ledger):
    book = Bans(state, ledger, settings(budget_per_minute=2))
    assert book.add("198.51.100.9").outcome is Outcome.NEVER
    assert [book.add(f"203.0.113.{i}").outcome for i in range(3)] == [Outcome.BANNED] * 2 + [Outcome.BUDGET]
    assert Bans(state, ledger, settings(mode="observe")).add("192.0.2.1").outcome is Outcome.OBSERVED
    assert sorted(in_kernel("ban_4_32")) == [0xCB007100, 0xCB007101]
    history = state.read("SELECT address, action FROM ban_history ORDER BY time")
    assert [row["action"] for row in history] == ["never_ban", "ban", "ban", "budget", "observed"]


def test_a_wide_ban_spares_never_ban_inside(applied, state, ledger):
    assert Bans(state, ledger, settings()).add("198.51.0.0/16", 60).outcome is Outcome.BANNED
    rules = kernel.listing().split("chain bans {")[1].split("}")[0]
    assert rules.index("@never_ban_4 return") < rules.index("@ban_4_16 counter drop")


def test_escalates_and_never_shortens(applied, state, ledger):
    book = Bans(state, ledger, settings(escalate=["1h", "1d", "7d"]))
    lengths = [book.add("203.0.113.7") for _ in range(4)]
    now = time.time_ns()
    assert [round((result.expires - now) / 3.6e12) for result in lengths] == [1, 24, 168, 168]
    book.add("203.0.113.7", 60)
    assert book.list()[0].seconds_left(now) > 600_000


def test_neighbours_become_their_network(applied, state, ledger):
    book = Bans(state, ledger, settings(aggregate_after=3))
    for i in range(3):
        book.add(f"203.0.113.{i}", 100 + i)
        book.add(f"2001:db8:7:{i}::1", 100)
    assert {ban.address for ban in book.list()} >= {"203.0.113.0/24", "2001:db8:7::/48"}
    assert book.covering("203.0.113.200")[0].address == "203.0.113.0/24"


@pytest.mark.parametrize("whole", [False, True])
def test_outlives_a_new_table_with_time_and_hits(applied, state, ledger, whole):
    book = Bans(state, ledger, settings())
    book.add("203.0.113.7", 1_000)
    book.add("2001:db8::1", 2_000)
    row = "delete element inet sentinel ban_4_32 { 203.0.113.7 }\nadd element inet sentinel ban_4_32 { 203.0.113.7 counter packets 5 bytes 300 timeout 1000s expires 999s }\n"
    kernel.run_script(row)  # the kernel counted five packets
    if whole:
        apply.rebuild(state, versions.ruleset(state, 1))
    else:
        applied("inbound: [{allow: tcp/443}]\n")
    [element] = kernel.elements("ban_4_32")
    assert (element.packets, element.bytes, element.timeout) == (5, 300, 1_000)
    assert 990 <= element.expires <= 1_000
    assert [ban.hits for ban in book.list()] == [5, 0]
    assert len(in_kernel("ban_6_64")) == 1


def test_expired_bans_do_not_come_back(applied, state, ledger):
    book = Bans(state, ledger, settings())
    book.add("203.0.113.7", 0.2)
    book.add("203.0.113.8", 1_000)
    time.sleep(0.3)
    applied()
    assert in_kernel("ban_4_32") == [0xCB007108]
    assert [ban.address for ban in book.list()] == ["203.0.113.8"]


def test_unban(applied, state, ledger):
    book = Bans(state, ledger, settings())
    book.add("203.0.113.7", 100)
    assert book.remove("203.0.113.7", "mistake")
    assert not book.remove("203.0.113.7")
    assert in_kernel("ban_4_32") == []
    assert [entry.action for entry in ledger.entries()][-2:] == ["firewall.ban", "firewall.unban"]


def test_without_a_policy_it_says_what_to_do(namespace, state, ledger):
    with pytest.raises(FirewallError, match="sentinel firewall apply"):
        Bans(state, ledger, settings()).add("203.0.113.7")
    assert Bans(state, ledger).add("203.0.113.7").outcome is Outcome.OBSERVED  # the default mode


@pytest.mark.parametrize("text", ["nonsense", "10.0.0.1-10.0.0.9", "0.0.0.0/0", "2001::/16", "10.0.0.1/24"])
def test_refuses(text):
    with pytest.raises(UsageError):
        networks.parse(text)


def test_script_of_many_and_of_few_agree(state, monkeypatch):
    """The quick way for many single addresses writes what the careful way writes."""
    now = time.time_ns()
    with state.write() as connection:
        for i in range(5):
            connection.execute(
                "INSERT INTO ban (address, added, expires, reason, rule_id, level) VALUES (?, ?, ?, '', '', 0)",
                (
                    ("203.0.113.1", "192.0.2.0/24", "2001:db8::/64", "10.0.0.9", "10.0.0.10")[i],
                    now,
                    now + (i + 1) * 10**12 * 60,
                ),
            )
    monkeypatch.setattr(kernel, "listing", lambda: "")
    quick = bans.script(state, now)
    careful = {str(e) for e in bans.live_elements(state, now)}
    assert {
        line.strip(" ,\t") for part in quick.split("\n") for line in part.split(", ") if "expires" in line
    } == careful
