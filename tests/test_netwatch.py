"""The network component as a daemon on veth pairs in a namespace of its own: workers, reload, settings, large packets."""

import base64
import json
import os
import sys
from pathlib import Path

import pytest

from sentinel import process
from sentinel.config import NetworkSettings
from sentinel.netwatch import share

pytestmark = pytest.mark.netns


@pytest.fixture
def live(tmp_path):
    def run(scenario):
        enter = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
        script = Path(__file__).with_name("netlive.py")
        done = process.run(
            [*enter, sys.executable, str(script), scenario, str(tmp_path)], timeout_seconds=180
        )
        return json.loads(done.stdout)

    return run


def test_two_workers_share_the_flows_and_lose_nothing(live):
    result = live("workers")
    assert result["packets"] == [500, 500]
    assert result["dropped"] == 0
    assert sum(result["alerts"].values()) == 1000
    assert result["flows"] == 200
    assert result["shared"] == 0
    assert min(result["alerts"].values()) > 0
    assert result["restarts"] == 0


def test_a_worker_that_dies_is_replaced(live):
    result = live("killed_worker")
    assert result["restarted"]
    assert sum(result["alerts"].values()) == 200
    assert min(result["alerts"].values()) > 0


def test_a_reload_under_traffic_loses_no_packet(live):
    result = live("reload")
    assert result["seen"] == result["sent"]
    assert result["dropped"] == 0
    assert result["alerts"] == result["sent"], "every packet was judged by the old rules or by the new ones"
    assert result["order"] == "b" * result["order"].count("b") + "a" * result["order"].count("a")
    assert result["order"].count("a") > 0
    old, new = result["hashes"]
    assert len(old) == len(new) == 1
    assert old != new
    assert result["load_seconds"] > 0
    assert result["reloads"] == 1
    assert "last reload: ok" in result["answer"]


def test_a_reload_that_fails_changes_nothing(live):
    result = live("refused_reload")
    assert "last reload: refused" in result["answer"]
    assert result["alerts"] == 1
    assert result["refused"] == 1


def test_settings_about_alerts(live):
    result = live("settings")
    alerts = result["alerts"]
    assert set(alerts) == {"needle", "reputation", "hushed"}, "sid 2 is suppressed by the threshold file"
    assert alerts["needle"]["event_type"] == alerts["reputation"]["event_type"] == "alert"
    assert base64.b64decode(alerts["needle"]["payload"]) == b"needle hidden"
    assert base64.b64decode(alerts["needle"]["packet"]).hex() == result["frame"]
    assert alerts["needle"]["packet_info"] == {"linktype": 1}
    assert alerts["needle"]["community_id"].startswith("1:")
    assert alerts["needle"]["in_iface"] == "nfwatch1"
    assert alerts["hushed"]["event_type"] == "alert_excepted"
    assert alerts["hushed"]["exception"]["reason"] == "CHG-1"
    assert result["active"] == 1


def test_filter_promiscuous_mode_and_tags(live):
    result = live("capture_options")
    assert result["promiscuous"]
    assert result["alerts"] == [["10.0.0.1", 5, None], ["10.0.0.7", 5, [42]]]


def test_packets_larger_than_the_mtu(live):
    result = live("large_packets")
    assert result["alerts"] == ["end"]
    assert result["packets"] < 20


def test_workers_share_the_bounds():
    settings = NetworkSettings.model_validate(
        {"workers": 4, "flows": 100_000, "stream_memory_megabytes": 128}
    )
    assert share(settings).flows == 25_000
    assert share(settings).stream_memory_megabytes == 32
