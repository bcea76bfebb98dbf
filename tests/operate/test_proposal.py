"""What is proposed loads without problems and only observes."""

import pytest

from sentinel import config, yamlfile
from sentinel.operate import proposal
from sentinel.operate.survey import Listener, Survey

EMPTY = Survey((), (), (), (), ())
FULL = Survey(
    ("ens3", "ens4"),
    ("10.1.2.3", "198.51.100.7", "2001:db8::7"),
    (
        Listener("ssh", 22, local=False),
        Listener("https", 443, local=False),
        Listener("redis", 6379, local=True),
        Listener("http3", 443, local=False, protocol="udp"),
    ),
    (("/var/log/nginx/access.log", "nginx-access"), ("/var/log/auth.log", "syslog")),
    ("postgresql", "redis"),
)


@pytest.mark.parametrize("survey", [EMPTY, FULL], ids=["empty", "full"])
def test_the_configuration_loads_and_observes(survey):
    loaded = yamlfile.parse(proposal.configuration(survey), config.Config, "sentinel.yml")
    assert not loaded.firewall.enforce
    assert loaded.response.bans.mode.value == "observe"
    assert loaded.metrics.listen == "127.0.0.1:9480"


def test_without_an_interface_there_is_no_network_section_yet():
    text = proposal.configuration(EMPTY)
    assert yamlfile.parse(text, config.Config, "sentinel.yml").network is None
    assert "#   interfaces: [eth0]" in text


def test_what_was_found_is_in_it():
    loaded = yamlfile.parse(proposal.configuration(FULL), config.Config, "sentinel.yml")
    assert loaded.network.interfaces == ["ens3", "ens4"]
    assert [(file.path, file.format) for file in loaded.logs.files] == list(FULL.logs)
    assert loaded.network.vars["HOME_NET"][3:] == ["198.51.100.7", "2001:db8::7"]
    assert "restore-postgresql" in proposal.configuration(FULL)


@pytest.mark.parametrize("survey", [EMPTY, FULL], ids=["empty", "full"])
def test_the_policy_loads(survey, tmp_path):
    from sentinel.firewall.policy import load

    path = tmp_path / "policy.yml"
    path.write_text(proposal.policy(survey))
    load(path)


def test_only_what_listens_outside_is_allowed():
    text = proposal.policy(FULL)
    assert "allow: https" in text
    assert "http3: udp/443" in text
    assert "redis" not in text
