"""Keeps the kernel's table as it was applied: kernel listing against kernel listing, elements against the ruleset.

`install` noted how the kernel lists the table (without counters and elements); any other listing is drift, whatever
was done. Elements are compared where events say that somebody touched them, and all of them now and then. Bans are
compared with their rows. Repair is one transaction, of the chains or sets that differ where that is enough, so that
its time does not grow with the sets; observe mode only reports, once for each finding.
"""

from __future__ import annotations

import difflib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sentinel import metrics
from sentinel.errors import FirewallError
from sentinel.firewall import apply, bans, kernel, listing, names, netlink, nft, transaction, versions
from sentinel.firewall.networks import Network
from sentinel.firewall.ruleset import BAN_LENGTHS, FAMILY, TABLE, Kind, Ruleset, ban_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sentinel.firewall.intervals import Interval
    from sentinel.firewall.listing import Listing
    from sentinel.firewall.netlink import Burst
    from sentinel.firewall.nft import BanElement, Listed
    from sentinel.firewall.ruleset import Set
    from sentinel.ledger import Ledger
    from sentinel.state import State

NANOSECONDS = 1_000_000_000
ABOUT_TO_END_SECONDS = 2  # such elements may be gone or not: the kernel's clock decides
TIME_TOLERANCE_SECONDS = 5.0  # nft prints whole seconds in JSON; more than this is somebody's change
MOST_SINGLE_READINGS = 3  # beyond that one reading of the table is cheaper
LINES_KEPT = 12  # of a difference, in the ledger
BAN_SETS = {
    ban_set(family, length): (family, length) for family in BAN_LENGTHS for length in BAN_LENGTHS[family]
}


@dataclass(frozen=True, slots=True)
class Drift:
    kind: str  # table, rules, elements
    subject: str
    lines: tuple[str, ...]
    script: str = ""  # mends it; empty: the whole table is replaced


@dataclass(slots=True)
class Keeper:
    state: State
    ledger: Ledger
    enforce: bool
    _reported: tuple[Drift, ...] = ()
    _own: set[int] = field(default_factory=set)  # generations that are our own repairs
    _cache: tuple[int, Ruleset] | None = None

    def check(self, burst: Burst | None = None) -> list[Drift]:
        """Compare and, when enforcing, repair. Without a burst everything is compared."""
        if burst is not None and burst.commits and not burst.overflow:
            burst.commits = [commit for commit in burst.commits if commit[0].generation not in self._own]
            if not burst.commits:
                return []
        started = time.monotonic()
        with versions.locked(self.state):
            version = versions.expected(self.state)
            if version is None:
                return []
            found = self._compare(version.number, burst)
            if found and self.enforce:
                self._repair(version.number, found)
                metrics.firewall_repair_seconds.observe(time.monotonic() - started)
            metrics.firewall_version.set(version.number)
            metrics.firewall_pending.set(version.standing is versions.Standing.PENDING)
        metrics.firewall_in_sync.set(not found or self.enforce)
        self._report(found, burst)
        return found

    # --- comparing ------------------------------------------------------------------------------------------

    def _compare(self, number: int, burst: Burst | None) -> list[Drift]:
        wanted = listing.read(str(self.state.checkpoint(versions.LISTING_KEY) or ""))
        while True:
            live = listing.read(kernel.listing())
            found = [_structural(wanted, live, self._ruleset(number))] if live != wanted else []
            if found and not found[0].script:
                return found  # all of it is replaced, with the elements
            try:
                return found + list(self._elements(number, burst))
            except FirewallError:  # a set went away after the listing
                if listing.read(kernel.listing()) == live:
                    raise

    def _elements(self, number: int, burst: Burst | None) -> Iterator[Drift]:
        ruleset = self._ruleset(number)
        names_known = {one.name for one in ruleset.sets if one.kind is not Kind.RATE}
        whole = burst is None or burst.overflow
        dirty = names_known if whole or burst is None else names_known & burst.touched_sets()
        if not dirty:
            return
        many = len(dirty) > MOST_SINGLE_READINGS
        listed = kernel.all_elements() if many else {name: kernel.elements(name) for name in dirty}
        now = time.time_ns()
        for one in ruleset.sets:
            if one.name in dirty and one.kind is not Kind.BANS:
                yield from _policy_set(one, listed[one.name], now)
        if dirty & BAN_SETS.keys():
            yield from self._bans(dirty & BAN_SETS.keys(), listed, now)

    def _ruleset(self, number: int) -> Ruleset:
        if self._cache is None or self._cache[0] != number:
            self._cache = (number, versions.ruleset(self.state, number))
        return names.resolved(self.state, self._cache[1])

    def _bans(self, dirty: set[str], listed: dict[str, list[Listed]], now: int) -> Iterator[Drift]:
        wanted: dict[str, list[BanElement]] = {}
        for element in bans.live_elements(self.state, now):
            wanted.setdefault(element.set_name, []).append(element)
        for name in sorted(dirty):
            yield from _ban_drift(name, wanted.get(name, []), listed[name])

    # --- repair and report ----------------------------------------------------------------------------------

    def _repair(self, number: int, found: list[Drift]) -> None:
        before = netlink.generation()
        if not self._mended(found):
            apply.install(self.state, versions.ruleset(self.state, number))
        self._own = {before + 1} if netlink.generation() == before + 1 else set()

    def _mended(self, found: list[Drift]) -> bool:
        """By the small scripts, where all have one, and where the result is as it should be."""
        if not all(drift.script for drift in found):
            return False
        try:
            kernel.run_script("".join(drift.script for drift in found))
        except FirewallError:  # it changed again meanwhile
            return False
        wanted = str(self.state.checkpoint(versions.LISTING_KEY) or "")
        return found[0].kind == "elements" or listing.read(kernel.listing()) == listing.read(wanted)

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


def _structural(wanted: Listing, live: Listing, ruleset: Ruleset) -> Drift:
    place = f"table {FAMILY} {TABLE}"
    if not live:
        return Drift("table", place, ("table deleted",))
    changed = [
        f"{line[0]} {line[1:].strip()}"
        for line in difflib.unified_diff(list(_lines(wanted)), list(_lines(live)), lineterm="", n=0)
        if not line.startswith(("---", "+++", "@@"))
    ]
    return Drift("rules", place, tuple(changed[:LINES_KEPT]), transaction.rules_only(wanted, live, ruleset))


def _lines(found: Listing) -> Iterator[str]:
    yield from found.loose
    for (kind, name), lines in sorted(found.blocks.items()):
        yield f"{kind} {name}"
        yield from lines


def _policy_set(one: Set, elements: list[Listed], now: int) -> Iterator[Drift]:
    listed = {(element.first, element.last): element.expires for element in elements}
    soon = now + ABOUT_TO_END_SECONDS * NANOSECONDS
    wanted = {(first, last): until for first, last, until in one.elements if until is None or until > soon}
    ending = {(first, last) for first, last, until in one.elements if until is not None and until <= soon}
    lines = [f"- {_text(one, key)}" for key in wanted.keys() - listed.keys()]
    lines += [f"+ {_text(one, key)}" for key in listed.keys() - wanted.keys() - ending]
    lines += [
        f"~ {_text(one, key)}: other time"
        for key in wanted.keys() & listed.keys()
        if not _same_time(wanted[key], listed[key], now)
    ]
    if lines:
        yield Drift(
            "elements", f"set {one.name}", tuple(sorted(lines)[:LINES_KEPT]), refill(one, one.elements, now)
        )


def refill(one: Set, elements: Iterable[Interval], now: int) -> str:
    """All elements anew; within one transaction nobody sees the empty set."""
    place = f"{FAMILY} {TABLE} {one.name}"
    texts = ", ".join(nft.element_texts(one, elements, now))
    return f"flush set {place}\n" + (f"add element {place} {{ {texts} }}\n" if texts else "")


def _same_time(until: int | None, expires: float | None, now: int) -> bool:
    if until is None or expires is None:
        return until is None and expires is None
    return abs(nft.time_left(until, now) / NANOSECONDS - expires) <= TIME_TOLERANCE_SECONDS


def _text(one: Set, key: tuple[int, int]) -> str:
    return nft.element_text(one, *key)


def _ban_drift(name: str, wanted: list[BanElement], elements: list[Listed]) -> Iterator[Drift]:
    family, length = BAN_SETS[name]
    listed = {element.first: element.expires for element in elements}
    soon = ABOUT_TO_END_SECONDS * NANOSECONDS
    known = {element.network: element for element in wanted}
    missing = [
        element
        for element in wanted
        if element.left > soon
        and (element.network not in listed or not _same_time(element.left, listed[element.network], 0))
    ]
    extra = [Network(family, first, length) for first in listed.keys() - known.keys()]
    if missing or extra:
        lines = [f"- {element.key()}" for element in missing]
        lines += [f"+ {network}" for network in extra]
        script = bans.removal(extra) + bans.addition(missing)
        yield Drift("elements", f"set {name}", tuple(lines[:LINES_KEPT]), script)
