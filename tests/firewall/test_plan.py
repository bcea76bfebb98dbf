"""What an apply would change, and whose session it would cut."""

import socket

import firewall_shop
import firewall_trials
import pytest

from sentinel.errors import FirewallError
from sentinel.firewall import apply, plan, policy, probes
from sentinel.firewall import compile as compiler
from sentinel.firewall.apply import Confirm

pytestmark = pytest.mark.netns


@pytest.fixture
def shop(spaces, tmp_path):
    found = firewall_shop.Shop(spaces, tmp_path)
    with spaces.inside(found.host):
        apply.apply(found.policy(firewall_trials.GOOD), found.state, found.ledger, confirm=Confirm.NOW)
        yield found
    found.state.close()


def planned(shop, text):
    wanted = policy.parse(text, "new.yml")
    return plan.plan(wanted, compiler.compile_policy(wanted), shop.state)


def test_the_same_policy_changes_nothing(shop):
    assert not planned(shop, firewall_trials.GOOD).changes


def test_shows_rules_and_elements(shop):
    lines = planned(
        shop,
        firewall_trials.GOOD.replace("[10.90.0.2]", "[10.90.0.2, 10.91.0.0/16]").replace(
            "inbound: [", "inbound: [{allow: tcp/80}, "
        ),
    ).lines
    assert "+ g_admins_4: 10.91.0.0/16" in lines
    assert '+ inbound: tcp dport 80 counter accept comment "inbound 1"' in lines
    assert not any(line.startswith("- g_") for line in lines)


def test_many_elements_are_summed_up(shop):
    many = ", ".join(f"10.91.{i}.0/25" for i in range(100))
    lines = planned(shop, firewall_trials.GOOD.replace("10.90.0.2", f"10.90.0.2, {many}")).lines
    assert "+ g_admins_4: and 80 more" in lines


def test_a_live_session_is_seen_and_protected(shop):
    listener = shop.serve(22)
    session = shop.connect(22)
    assert firewall_shop.wait_for(lambda: len(probes.sockets().inbound()) == 1, 2)
    [seen] = probes.sockets().inbound()
    assert str(seen).startswith("10.90.0.2 port ")
    for text in firewall_trials.LOCKOUTS:
        found = planned(shop, text)
        assert found.cut == found.refused == (str(seen),)
    with pytest.raises(FirewallError, match="nothing was changed"):
        plan.refuse_lockout(policy.parse(firewall_trials.LOCKOUTS[0], "p"), shop.state)
    for text in ("# failsafe", "inbound: [{allow: any, interface: shop0}]\n"):
        assert (
            planned(
                shop, firewall_trials.GOOD.replace("failsafe", "# failsafe") if text[0] == "#" else text
            ).refused
            == ()
        )
    session.close()
    listener.close()


def test_probes_miss_a_peer_that_no_longer_answers(shop):
    with shop.spaces.inside(shop.client):
        peer = socket.create_server(("10.90.0.3", 8443))
    text = "outbound: [{allow: tcp/8443, to: 10.90.0.3}]\nfailsafe: [{allow: tcp/22, from: 10.90.0.2}]\n"
    wanted = policy.parse(text, "p.yml")
    before = probes.observe(wanted)
    assert before.peers == (("10.90.0.3", 8443),)
    assert probes.failures(wanted, before, {}) == []
    peer.close()
    assert probes.failures(wanted, before, {}) == ["10.90.0.3 port 8443 no longer answers"]


def test_a_failed_probe_rolls_back(shop):
    with shop.spaces.inside(shop.client):
        peer = socket.create_server(("10.90.0.3", 8443))
    text = (
        firewall_trials.GOOD + "default: {outbound: drop}\n"
        "outbound: [{deny: tcp/8443, to: 10.90.0.0/24}, {allow: tcp/8443, to: 10.90.0.3}]\n"
    )
    with pytest.raises(
        FirewallError, match=r"version 2 was rolled back: 10\.90\.0\.3 port 8443 no longer answers"
    ):
        apply.apply(shop.policy(text, "two.yml"), shop.state, shop.ledger, confirm=Confirm.PROBE)
    assert apply.versions.expected(shop.state).number == 1
    peer.close()
