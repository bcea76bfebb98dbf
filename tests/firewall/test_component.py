"""The component as it runs: applies at first start, repairs, reloads or keeps the old, follows DNS names."""

import firewall_lab
import firewall_shop
import firewall_trials
import pytest

from sentinel.errors import InvalidInputError
from sentinel.firewall import apply, kernel, names, versions, watchdog
from sentinel.firewall.settings import FirewallSettings

pytestmark = pytest.mark.netns


@pytest.fixture
def shop(spaces, tmp_path):
    found = firewall_shop.Shop(spaces, tmp_path)
    with spaces.inside(found.host):
        yield found
    found.state.close()


def test_enforces_from_the_first_start(shop):
    settings = FirewallSettings(policy=shop.policy("inbound: [{allow: tcp/80}]\n"), enforce=True)
    running = firewall_trials.Running(shop, settings)
    right = kernel.listing()
    assert "tcp dport 80" in right
    firewall_lab.nft("flush chain inet sentinel inbound")
    assert firewall_shop.wait_for(lambda: kernel.listing() == right, 5)
    shop.policy("inbound: [{allow: tcp/443}]\n")
    running.component.reload(settings)
    assert "tcp dport 443" in kernel.listing()
    shop.policy("inbound: [{allow: nonsense}]\n")
    with pytest.raises(InvalidInputError):
        running.component.reload(settings)
    assert "tcp dport 443" in kernel.listing()
    running.stop()
    assert running.component.status() == {"enforce": True, "version": 2, "bans": 0}


def test_answers_reach_the_kernel(shop, monkeypatch):
    answers = {"api.pay.example": ["203.0.113.5", "2001:db8::5"]}
    monkeypatch.setattr(names, "dns", lambda server: lambda name: (answers[name], 60))
    text = "outbound: [{allow: tcp/443, to: [api.pay.example, 192.0.2.1]}]\ndefault: {outbound: drop}\n"
    running = firewall_trials.Running(shop, FirewallSettings(policy=shop.policy(text), enforce=True))
    assert firewall_shop.wait_for(lambda: len(kernel.elements("outbound_1_to_4")) == 2, 5)
    assert len(kernel.elements("outbound_1_to_6")) == 1
    firewall_lab.nft("flush set inet sentinel outbound_1_to_4")
    assert firewall_shop.wait_for(lambda: len(kernel.elements("outbound_1_to_4")) == 2, 5)
    running.stop()
    assert versions.find(shop.state, versions.Standing.CURRENT).number == 1


def test_takes_back_what_a_dead_watchdog_left(shop, monkeypatch):
    """The watchdog died with its unit's control group; the daemon that starts again does its work."""
    apply.apply(
        shop.policy("inbound: [{allow: tcp/80}]\n"), shop.state, shop.ledger, confirm=apply.Confirm.NOW
    )
    monkeypatch.setattr(watchdog, "arm", lambda *_: None)
    path = shop.policy("inbound: [{allow: tcp/443}]\n", "two.yml")
    apply.apply(path, shop.state, shop.ledger, confirm=apply.Confirm.WAIT, confirm_seconds=-10)
    running = firewall_trials.Running(shop, FirewallSettings(policy=path, enforce=True))
    assert firewall_shop.wait_for(lambda: "tcp dport 80" in kernel.listing(), 5)
    running.stop()
    assert versions.history(shop.state)[0].standing is versions.Standing.ROLLED_BACK
