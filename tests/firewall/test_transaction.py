"""One table takes another's place in a real kernel, whatever stands there."""

import firewall_trials
import pytest

from sentinel.firewall import apply, bans, kernel, listing, nft, policy, transaction, versions
from sentinel.firewall import compile as compiler
from sentinel.firewall.apply import Confirm

pytestmark = pytest.mark.netns
OTHER = (
    "default: {inbound: accept}\ngroups: {office: [192.0.2.0/24]}\ninbound: [{allow: tcp/80, from: office}]\n"
)


@pytest.fixture
def applied(namespace, state, ledger, policy_file):
    def again(text=firewall_trials.KEPT_POLICY):
        apply.apply(policy_file(text), state, ledger, confirm=Confirm.NOW)
        return listing.read(kernel.listing())

    again()
    return again


def handles():
    """Kernel handles of the base chains: they stay the same while the chains stay."""
    found = {}
    for name in ("inbound", "outbound", "forward"):
        text = firewall_trials.subprocess.run(
            ["nft", "-a", "list", "chain", "inet", "sentinel", name],
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        found[name] = text.split(f"chain {name} {{ # handle ")[1].split("\n")[0]
    return found


def fresh(text):
    """How a policy is listed in an empty kernel."""
    kernel.run_script(nft.REMOVE + nft.table(compiler.compile_policy(policy.parse(text, "p.yml")), 0))
    return listing.read(kernel.listing())


def test_base_chains_stay_and_sets_alternate(applied):
    before = handles()
    slots = []
    for text in (OTHER, firewall_trials.KEPT_POLICY, OTHER):
        live = applied(text)
        slots.append(transaction.slot(live))
        assert handles() == before
        assert len({name.removesuffix(".2") for name in live.names("set")}) == len(live.names("set"))
    assert slots == [".2", "", ".2"]


def test_the_result_is_that_of_a_fresh_table(applied):
    applied(OTHER)
    twice = applied(firewall_trials.KEPT_POLICY)
    assert twice == fresh(firewall_trials.KEPT_POLICY)


@pytest.mark.parametrize(
    "strange",
    [
        "add counter inet sentinel mine",
        "add map inet sentinel m { type ipv4_addr : verdict; }",
        "delete chain inet sentinel forward\nadd chain inet sentinel forward { type filter hook forward priority 5; }",
        "add table inet sentinel { flags dormant; }",
        "delete table inet sentinel\nadd table inet sentinel",
    ],
)
def test_what_cannot_stay_is_replaced_as_a_whole(applied, strange):
    firewall_trials.nft(strange.replace("delete chain", "flush chain inet sentinel forward\ndelete chain"))
    assert applied(firewall_trials.KEPT_POLICY) == fresh(firewall_trials.KEPT_POLICY)


def test_what_a_killed_apply_left_is_no_obstacle(applied, state):
    compiled = versions.ruleset(state, 1).placed(".2")
    kernel.run_script(transaction.prepare(listing.read(kernel.listing()), compiled, 0))
    assert transaction.slot(applied(OTHER)) == ".2"


def test_a_flushed_chain_is_closed(applied):
    for name in ("inbound", "outbound", "forward"):
        firewall_trials.nft(f"flush chain inet sentinel {name}")
    assert kernel.listing().count("policy drop;") == 3


def test_bans_stay_and_lost_ones_come_back(applied, state, ledger):
    book = bans.Bans(state, ledger, firewall_trials.ACTIVE)
    book.add("203.0.113.7", 1_000)
    book.add("203.0.113.8", 1_000)
    firewall_trials.nft("delete element inet sentinel ban_4_32 { 203.0.113.8 }")
    applied(OTHER)
    assert sorted(one.first & 255 for one in kernel.elements("ban_4_32")) == [7, 8]


def test_rules_are_mended_without_the_sets(applied, state):
    wanted = listing.read(kernel.listing())
    firewall_trials.nft(
        "flush chain inet sentinel inbound\nadd chain inet sentinel x\nadd rule inet sentinel outbound jump x\n"
        "add set inet sentinel y { type ipv4_addr; }"
    )
    script = transaction.rules_only(wanted, listing.read(kernel.listing()), versions.ruleset(state, 1))
    assert "add element" not in script
    assert "elements" not in script
    kernel.run_script(script)
    assert listing.read(kernel.listing()) == wanted


def test_a_lost_set_needs_more_than_rules(applied, state):
    wanted = listing.read(kernel.listing())
    firewall_trials.nft("flush chain inet sentinel bans\ndelete set inet sentinel never_ban_4")
    assert transaction.rules_only(wanted, listing.read(kernel.listing()), versions.ruleset(state, 1)) == ""
