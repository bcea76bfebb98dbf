"""The firewall as a component: keeps the applied version in the kernel, and its DNS names fresh.

Enforcing: the policy is applied at the first start (confirmed by probe) and when a reload brings another one; from then
on the applied version is kept in place. A policy file that was edited without a reload or an apply changes nothing.
Observing: drift is reported, the kernel is left alone.
"""

from __future__ import annotations

import select
import threading
import time
from typing import TYPE_CHECKING, Any

from sentinel import metrics
from sentinel.errors import SentinelError
from sentinel.firewall import (
    apply,
    bans,
    differences,
    docker,
    drift,
    kernel,
    listing,
    names,
    netlink,
    policy,
    transaction,
    versions,
)
from sentinel.firewall.ruleset import Kind

if TYPE_CHECKING:
    from pathlib import Path

    from sentinel.firewall.settings import FirewallSettings
    from sentinel.ledger import Ledger
    from sentinel.state import State

WAKE_SECONDS = 0.25  # how soon a stop is noticed
NAMES_SECONDS = 1.0
OVERDUE_SECONDS = 2.0
FULL_EVERY = 10  # of the periodic compares one reads all elements, the others the structure


class FirewallComponent:
    name = "firewall"

    def __init__(self, settings: FirewallSettings, state: State, ledger: Ledger) -> None:
        self._settings, self._state, self._ledger = settings, state, ledger
        metrics.firewall_name_age.set(0)  # until a policy relies on names
        for outcome in bans.Outcome:
            metrics.bans.begin(outcome=outcome.value)
        self._keeper = drift.Keeper(state, ledger, settings.enforce)

    def run(self, stop: threading.Event) -> None:
        """Blocks until `stop`. Subscribes before it compares, so that nothing happens unseen in between."""
        events = netlink.Events()
        answering = threading.Thread(
            target=self._keep_names, args=(stop,), name="firewall-names", daemon=True
        )
        try:
            if self._settings.enforce and versions.expected(self._state) is None:
                self._bring_in("first start")
            answering.start()
            self._watch(events, stop)
        finally:
            events.close()

    def reload(self, settings: FirewallSettings) -> None:
        """A new policy is applied as a whole or not at all; on an error the old settings and ruleset stay."""
        policy.load(settings.policy)
        old, self._settings = self._settings, settings
        try:
            if settings.enforce and self._differs(settings.policy):
                self._bring_in("reload")
        except SentinelError:
            self._settings = old
            raise
        self._keeper = drift.Keeper(self._state, self._ledger, settings.enforce)

    def _differs(self, path: Path) -> bool:
        version = versions.expected(self._state)
        return version is None or versions.policy_text(self._state, version.number) != policy.load(path).text

    def _bring_in(self, reason: str) -> None:
        settings = self._settings
        apply.apply(
            settings.policy,
            self._state,
            self._ledger,
            author="sentinel",
            reason=reason,
            confirm_seconds=settings.confirm_seconds,
            resolver=settings.resolver,
        )

    def _watch(self, events: netlink.Events, stop: threading.Event) -> None:
        due, look, round_number = 0.0, 0.0, 0
        while not stop.is_set():
            select.select([events], [], [], WAKE_SECONDS)
            burst = events.read()
            if burst:
                self._keeper.check(burst)
            if time.monotonic() >= look:
                self._take_back_overdue()
                look = time.monotonic() + OVERDUE_SECONDS
            if time.monotonic() >= due:
                self._keeper.check(None if round_number % FULL_EVERY == 0 else netlink.Burst())
                self._count_published()
                round_number += 1
                due = time.monotonic() + self._settings.compare_seconds

    def _count_published(self) -> None:
        version = versions.expected(self._state)
        if version is not None:
            found = docker.bypassing(versions.ruleset(self._state, version.number))
            metrics.firewall_published_ports.set(len(found))

    def _take_back_overdue(self) -> None:
        number = versions.overdue(self._state, time.time_ns())
        if number is not None:
            apply.roll_back_pending(self._state, self._ledger, number, "not confirmed in time")

    def status(self) -> dict[str, Any]:
        """What `sentinel status` shows; also keeps the gauge of live bans fresh."""
        version = versions.expected(self._state)
        live = bans.count(self._state)
        metrics.bans_live.set(live)
        return {
            "enforce": self._settings.enforce,
            "version": version.number if version else None,
            "bans": live,
        }

    # --- DNS names, in a thread of their own: a slow resolver must not delay a repair ---------------------------

    def _keep_names(self, stop: threading.Event) -> None:
        resolver = names.dns(self._settings.resolver)
        number, wanted = 0, list[str]()
        while not stop.wait(NAMES_SECONDS):
            version = versions.expected(self._state)
            if version is None:
                continue
            if version.number != number:
                compiled = versions.ruleset(self._state, version.number)
                number, wanted = version.number, sorted({name for one in compiled.sets for name in one.names})
            if wanted:
                self._refresh(names.Names(self._state, wanted, resolver))

    def _refresh(self, found: names.Names) -> None:
        changed = found.look_up()
        with versions.locked(self._state):  # or a compare in between would call the difference drift
            found.save()
            if changed and self._settings.enforce:
                refresh_sets(self._state)


def refresh_sets(state: State) -> None:
    """Put the present answers into the sets that rely on names, in one transaction. The caller holds the lock."""
    version = versions.expected(state)
    live = listing.read(kernel.listing())
    if version is None or not live:
        return
    compiled = versions.ruleset(state, version.number)
    placed = names.resolved(state, compiled).placed(transaction.slot(live))
    now = time.time_ns()
    scripts = [
        differences.of_policy_set(wanted, kernel.elements(wanted.name), now)[1]
        for named, wanted in zip(compiled.sets, placed.sets, strict=True)
        if named.names and named.kind is Kind.ADDRESSES
    ]
    if any(scripts):
        kernel.run_script("".join(scripts))
