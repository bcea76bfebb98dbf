"""The order of versions and their states."""

import os
import threading
import time

import pytest

from sentinel.errors import FirewallError
from sentinel.firewall import versions
from sentinel.firewall.ruleset import Ruleset
from sentinel.firewall.versions import Standing

EMPTY = Ruleset((), ()).to_json()


def add(state, **more):
    return versions.add(state, EMPTY, "digest", "policy", author="ada", reason="r", **more)


def test_what_the_kernel_should_hold(state):
    assert versions.expected(state) is None
    one = add(state)
    assert versions.expected(state) == one
    versions.mark(state, {one.number: Standing.CURRENT})
    two = add(state)
    assert versions.expected(state).number == two.number
    versions.mark(state, {two.number: Standing.ROLLED_BACK})
    assert versions.expected(state).number == one.number
    assert (versions.ruleset(state, one.number), versions.policy_text(state, one.number)) == (
        Ruleset((), ()),
        "policy",
    )
    with pytest.raises(FirewallError, match="no firewall version 9"):
        versions.ruleset(state, 9)


def test_old_versions_go_but_never_the_one_in_force(state):
    first = add(state)
    versions.mark(state, {first.number: Standing.CURRENT})
    for _ in range(versions.KEPT_VERSIONS + 5):
        versions.mark(state, {add(state).number: Standing.SUPERSEDED})
    kept = versions.history(state)
    assert kept[-1].number == first.number
    assert len(kept) <= versions.KEPT_VERSIONS + 1


def test_one_change_at_a_time(state):
    order = []

    def other():
        with versions.locked(state):
            order.append("other")

    with versions.locked(state):
        thread = threading.Thread(target=other)
        thread.start()
        order.append("first")
    thread.join()
    assert order == ["first", "other"]


def test_what_root_makes_belongs_to_the_daemon(state):
    directory = state.path.parent
    os.chown(directory, 65534, 65534)
    (directory / "ledger.jsonl").touch()
    with versions.locked(state):
        (versions.folder(state) / "installed.nft").write_text("x")
    owners = {
        path.name: path.stat().st_uid for path in (*directory.glob("*"), *(directory / "firewall").glob("*"))
    }
    assert {owners[name] for name in ("state.db", "ledger.jsonl", "firewall", "lock", "installed.nft")} == {
        65534
    }


def test_overdue(state):
    pending = add(state)
    now = time.time_ns()
    assert versions.overdue(state, now) is None
    state.save_checkpoint(versions.PENDING_KEY, {"version": pending.number, "deadline": now})
    assert versions.overdue(state, now) is None
    assert versions.overdue(state, now + versions.GRACE_NANOSECONDS + 1) == pending.number
    versions.mark(state, {pending.number: Standing.CURRENT})
    assert versions.overdue(state, now + versions.GRACE_NANOSECONDS + 1) is None
