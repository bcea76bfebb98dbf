"""Keeps the kernel's table as it was applied: kernel listing against kernel listing, elements against the ruleset.

`install` noted how the kernel lists the table (without counters and elements); any other listing is drift, whatever
was done. Elements are compared where events say that somebody touched them, and all of them now and then. Bans are
compared with their rows. Repair is one transaction, of the chains or sets that differ where that is enough, so that
its time does not grow with the sets; observe mode only reports, once for each finding.
"""

from __future__ import annotations

import difflib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sentinel import metrics
from sentinel.errors import FirewallError
from sentinel.firewall import (
    apply,
    bans,
    differences,
    kernel,
    listing,
    names,
    netlink,
    transaction,
    versions,
)
from sentinel.firewall.networks import Network
from sentinel.firewall.ruleset import FAMILY, TABLE, Kind, Ruleset

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sentinel.firewall.listing import Listing
    from sentinel.firewall.netlink import Burst
    from sentinel.firewall.nft import BanElement, Listed
    from sentinel.firewall.ruleset import Set
    from sentinel.ledger import Ledger
    from sentinel.state import State

MOST_REPAIRS = 3  # of the same, where other tables change so often that nobody can tell who did it
MOST_SINGLE_ELEMENTS = 256
MOST_SINGLE_READINGS = 3  # beyond that one reading of the table is cheaper
LINES_KEPT = 12  # of a difference, in the ledger


@dataclass(frozen=True, slots=True)
class Drift:
    kind: str  # table, rules, elements
    subject: str
    lines: tuple[str, ...]
    script: str = ""  # mends it
    bans: tuple[Sequence[BanElement], Sequence[Network]] = ((), ())  # these are put in and taken out

    @property
    def small(self) -> bool:
        """Can it be mended alone? Else the whole table is replaced."""
        return bool(self.script or any(self.bans))


@dataclass(slots=True)
class Keeper:
    state: State
    ledger: Ledger
    enforce: bool
    _reported: tuple[Drift, ...] = ()
    _own: range = range(0)  # generations that our last repair made
    _repaired: tuple[tuple[str, ...], ...] = ()  # the lines of what the last repair was about
    _again: int = 0  # how often the same was found once more though nobody did it again
    _unproven: bool = False  # the structure was among it, and nobody has looked at the result yet
    _cache: tuple[int, Ruleset] | None = None

    def check(self, burst: Burst | None = None) -> list[Drift]:
        """Compare and, when enforcing, repair. Without a burst everything is compared."""
        if burst is not None and burst.commits and not burst.overflow:
            burst.commits = [commit for commit in burst.commits if commit[0].generation not in self._own]
            if not burst.commits and not self._needs_proof():
                return []
        started = time.monotonic()
        with versions.locked(self.state):
            version = versions.expected(self.state)
            if version is None:
                return []
            found = self._compare(version.number, burst)
            self._unproven = False
            if found and self.enforce:
                self._repair(version.number, found, somebody=bool(burst and burst.commits))
                metrics.firewall_repair_seconds.observe(time.monotonic() - started)
            metrics.firewall_version.set(version.number)
            metrics.firewall_pending.set(version.standing is versions.Standing.PENDING)
        metrics.firewall_in_sync.set(not found or self.enforce)
        self._report(found, burst)
        return found

    def _needs_proof(self) -> bool:
        """Did the last repair work? Where a stranger has committed since, its own event asks, and names it."""
        return self._unproven and netlink.generation() == self._own.stop - 1

    # --- comparing ------------------------------------------------------------------------------------------

    def _compare(self, number: int, burst: Burst | None) -> list[Drift]:
        wanted = versions.noted(self.state)
        while True:
            live = listing.read(kernel.listing())
            placed = self._placed(number, wanted)
            found = [_structural(wanted, live, placed)] if live != wanted else []
            if found and not found[0].small:
                return found  # all of it is replaced, with the elements
            try:
                return found + list(self._elements(placed, burst))
            except FirewallError:  # a set went away after the listing
                if listing.read(kernel.listing()) == live:
                    raise

    def _elements(self, placed: Ruleset, burst: Burst | None) -> Iterator[Drift]:
        dirty = {one.name for one in placed.sets if one.kind is not Kind.RATE}
        now = time.time_ns()
        if burst is not None and not burst.overflow:
            dirty &= burst.touched_sets()
            dirty -= {
                name for name in dirty & differences.BAN_SETS.keys() if self._as_wanted(name, burst, now)
            }
        if not dirty:
            return
        many = len(dirty) > MOST_SINGLE_READINGS
        listed = kernel.all_elements() if many else {name: kernel.elements(name) for name in dirty}
        took = time.time_ns() - now
        for one in placed.sets:
            if one.name in dirty and one.kind is not Kind.BANS:
                yield from _policy_set(one, listed[one.name], now, took)
        if dirty & differences.BAN_SETS.keys():
            wanted = bans.wanted_elements(self.state, now)
            for name in sorted(dirty & differences.BAN_SETS.keys()):
                yield from _ban_set(name, wanted[name], listed[name], took)

    def _as_wanted(self, name: str, burst: Burst, now: int) -> bool:
        """Are the elements that events told of as they should be? Every ban is such an event, and reading all of
        100,000 for each would cost seconds.
        """
        outcome = burst.outcome(name)
        if len(outcome) > MOST_SINGLE_ELEMENTS:
            return False
        family, length = differences.BAN_SETS[name]
        for key, milliseconds in outcome.items():
            wanted = bans.wanted_left(self.state, Network(family, int.from_bytes(key, "big"), length), now)
            expires = None if milliseconds is None else milliseconds / 1_000
            if not differences.same_time(wanted, expires, 0):
                return False
        return True

    def _placed(self, number: int, wanted: Listing) -> Ruleset:
        if self._cache is None or self._cache[0] != number:
            self._cache = (number, versions.ruleset(self.state, number))
        return names.resolved(self.state, self._cache[1]).placed(transaction.slot(wanted))

    # --- repair and report ----------------------------------------------------------------------------------

    def _repair(self, number: int, found: list[Drift], *, somebody: bool) -> None:
        """Small where that is enough. What is found again though nobody did it again was not mended by it: then the
        version is installed anew, and how the kernel lists it noted anew (another nft may use other words).
        """
        before = netlink.generation()
        lines = tuple(drift.lines for drift in found)
        compiled = versions.ruleset(self.state, number)
        self._again = self._again + 1 if lines == self._repaired and not somebody else 0
        if self._again and (before == self._own.stop - 1 or self._again >= MOST_REPAIRS):
            apply.install(self.state, compiled)
            self._repaired, commits = (), 0
        else:
            commits = _mend(found) if all(drift.small for drift in found) else 0
            if not commits:
                apply.rebuild(self.state, compiled)
                commits = 1
            self._repaired = lines
            self._unproven = any(drift.kind != "elements" for drift in found)
        after = netlink.generation()
        self._own = range(before + 1, after + 1) if after == before + commits else range(0)

    def _report(self, found: list[Drift], burst: Burst | None) -> None:
        if not self.enforce and tuple(found) == self._reported:
            return
        self._reported = tuple(found)
        authors = [
            f"{netlink.process_name(author.pid, author.name)} (pid {author.pid})"
            for author, _ in (burst.commits if burst else [])
        ]
        result = "repaired" if self.enforce else "observed"
        for drift in found:
            metrics.firewall_drift.inc(kind=drift.kind, result=result)
            self.ledger.append(
                "firewall.drift",
                drift.subject,
                result=result,
                changes=list(drift.lines),
                processes=authors[:LINES_KEPT],
            )


def _mend(found: list[Drift]) -> int:
    """The number of transactions; 0 when it changed again meanwhile."""
    script = "".join(drift.script for drift in found)
    try:
        if script:
            kernel.run_script(script)
        return bool(script) + sum(bans.mend(*drift.bans) for drift in found)
    except FirewallError:
        return 0


def _structural(wanted: Listing, live: Listing, placed: Ruleset) -> Drift:
    place = f"table {FAMILY} {TABLE}"
    if not live:
        return Drift("table", place, ("table deleted",))
    changed = [
        f"{line[0]} {line[1:].strip()}"
        for line in difflib.unified_diff(list(_lines(wanted)), list(_lines(live)), lineterm="", n=0)
        if not line.startswith(("---", "+++", "@@"))
    ]
    return Drift("rules", place, tuple(changed[:LINES_KEPT]), transaction.rules_only(wanted, live, placed))


def _lines(found: Listing) -> Iterator[str]:
    yield from found.loose
    for (kind, name), lines in sorted(found.blocks.items()):
        yield f"{kind} {name}"
        yield from lines


def _policy_set(one: Set, listed: list[Listed], now: int, took: int) -> Iterator[Drift]:
    lines, script = differences.of_policy_set(one, listed, now, took)
    if lines:
        yield Drift("elements", f"set {one.name}", lines[:LINES_KEPT], script)


def _ban_set(name: str, wanted: list[BanElement], listed: list[Listed], took: int) -> Iterator[Drift]:
    missing, extra = differences.of_ban_set(name, wanted, listed, took)
    if missing or extra:
        lines = [f"- {element.key()}" for element in missing] + [f"+ {network}" for network in extra]
        yield Drift("elements", f"set {name}", tuple(lines[:LINES_KEPT]), bans=(missing, extra))
