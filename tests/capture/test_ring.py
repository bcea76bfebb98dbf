"""Live capture on a veth pair in a namespace of its own: exact counts, tags, loopback, workers, privileges."""

import json
import os
import sys
from pathlib import Path

import pytest
from waiting import PATIENCE_SECONDS

from sentinel import process
from sentinel.capture.ring import Ring, interface_losses
from sentinel.errors import CapabilityError, SentinelError

pytestmark = pytest.mark.netns


def live(scenario):
    enter = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    script = Path(__file__).with_name("live.py")
    done = process.run([*enter, sys.executable, str(script), scenario], timeout_seconds=PATIENCE_SECONDS)
    return json.loads(done.stdout)


def test_every_packet_is_seen_or_counted_as_lost():
    result = live("exact")
    assert result["seen"] + result["dropped"] == result["sent"]
    assert result["rows"] == result["seen"]


def test_a_full_ring_loses_exactly_what_it_says():
    result = live("overflow")
    assert result["dropped"] > 0
    assert result["seen"] + result["dropped"] == result["sent"]
    assert result["rows"] == result["seen"]


def test_a_ring_that_is_emptied_while_the_judge_is_busy_loses_nothing_until_the_bound():
    result = live("backlog")
    assert result["wide"] == {"rows": 20_000, "sorted": True, "sent": 20_000, "dropped": 0}
    narrow = result["narrow"]
    assert narrow["dropped"] > 0
    assert narrow["rows"] + narrow["dropped"] == narrow["sent"]
    assert narrow["sorted"]


def test_frames_times_and_stripped_tags():
    result = live("contents")
    assert result["rows"] == result["expected"]
    assert [tag & 0xFFF for tag in result["tags"]] == [0, 5]
    assert result["recent"]


def test_loopback_shows_a_packet_once():
    assert live("loopback") == {"rows": 5}


def test_workers_share_the_flows():
    result = live("fanout")
    assert sum(result["seen"]) == 2000
    assert min(result["seen"]) > 0
    assert result["shared"] == 0


def test_privileges_are_gone_once_the_socket_is_open():
    result = live("dropped_privileges")
    assert result["held"]
    assert "CAP_NET_RAW" not in result["left"]
    assert result["rows"] == 1
    assert "CAP_NET_RAW" in result["refused"]


def test_an_interface_that_is_not_there():
    with pytest.raises(SentinelError, match="no such interface"):
        Ring("nptest-none")


def test_missing_capability_says_how_to_grant_it(monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr("sentinel.capture.ring.socket.socket", refuse)
    monkeypatch.setattr("sentinel.capture.ring._hardware_type", lambda _: 1)
    with pytest.raises(CapabilityError, match=r"CAP_NET_RAW.*setcap"):
        Ring("lo")


def test_losses_of_an_interface_are_the_kernels_own():
    (shown,) = json.loads(process.run(["ip", "-json", "-statistics", "link", "show", "lo"]).stdout)
    received = shown["stats64"]["rx"]
    assert interface_losses("lo") == (received["dropped"], received.get("over_errors", 0))
    assert interface_losses("nptest-none") == (0, 0)
