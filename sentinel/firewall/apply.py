"""Policy file -> kernel, so that a mistake takes itself back.

    lock -> version (pending) -> arm the rollback in another process -> one transaction -> probes -> confirm
                                                                                      `-> roll back

The rollback is armed before the kernel changes, and it needs neither this process nor the daemon: see `watchdog`.
`restore` is the one way back, used by the watchdog, by `rollback` and by a failed probe alike.
"""

from __future__ import annotations

import enum
import time
from typing import TYPE_CHECKING

from sentinel import metrics
from sentinel.errors import FirewallError, SentinelError
from sentinel.firewall import (
    bans,
    boot,
    kernel,
    listing,
    names,
    netlink,
    nft,
    policy,
    probes,
    transaction,
    versions,
)
from sentinel.firewall import (
    compile as compiler,
)
from sentinel.firewall.ruleset import digest
from sentinel.firewall.versions import Standing, Version

if TYPE_CHECKING:
    from pathlib import Path

    from sentinel.firewall.ruleset import Ruleset
    from sentinel.ledger import Ledger
    from sentinel.state import State

NANOSECONDS = 1_000_000_000
BASELINE_ATTEMPTS = 5


class Confirm(enum.Enum):
    WAIT = "wait"  # somebody calls `confirm` before the deadline
    PROBE = "probe"  # confirmed when the probes pass
    NOW = "now"  # no rollback: for scripts in scratch namespaces


def apply(
    path: Path,
    state: State,
    ledger: Ledger,
    *,
    author: str = "",
    reason: str = "",
    confirm_seconds: float = 60.0,
    confirm: Confirm = Confirm.PROBE,
    force: bool = False,
    resolver: str = "",
) -> Version:
    """Bring the policy into the kernel. Returns the version: pending with WAIT, else current."""
    from sentinel.firewall import plan, watchdog

    wanted = policy.load(path)
    compiled = compiler.compile_policy(wanted)
    answers = names.Names(state, wanted.names, names.dns(resolver))
    answers.look_up()
    if not force:
        plan.refuse_lockout(wanted, state, answers.answers())
    before = probes.observe(wanted)
    with versions.locked(state):
        _no_pending(state)
        text = compiled.to_json()
        version = versions.add(state, text, digest(text), wanted.text, author=author, reason=reason)
        try:
            if confirm is not Confirm.NOW:
                _save_way_back(state)
                deadline = time.time_ns() + int(confirm_seconds * NANOSECONDS)
                state.save_checkpoint(versions.PENDING_KEY, {"version": version.number, "deadline": deadline})
                watchdog.arm(state, version, confirm_seconds)
            answers.save()
            install(state, compiled)
        except SentinelError as error:
            versions.mark(state, {version.number: Standing.FAILED})
            metrics.firewall_applies.inc(result="failed")
            ledger.append("firewall.apply", f"version {version.number}", result="failed", error=str(error))
            raise
    detail = {"author": author, "reason": reason, "digest": version.digest, "policy": str(path)}
    ledger.append("firewall.apply", f"version {version.number}", result="pending", **detail)
    if confirm is Confirm.WAIT:
        return version
    return _by_probe(wanted, before, version, state, ledger)


def _by_probe(
    wanted: policy.Policy, before: probes.Observation, version: Version, state: State, ledger: Ledger
) -> Version:
    failures = probes.failures(wanted, before, names.known(state))
    if failures:
        roll_back_pending(state, ledger, version.number, "; ".join(failures))
        raise FirewallError(f"version {version.number} was rolled back: {'; '.join(failures)}")
    return confirm_pending(state, ledger, version.number)


def confirm_pending(state: State, ledger: Ledger, number: int | None = None) -> Version:
    """The pending version stays, survives a reboot, and the watchdog ends."""
    with versions.locked(state):
        pending = versions.find(state, Standing.PENDING)
        if pending is None or number not in {None, pending.number}:
            raise FirewallError("no version waits for confirmation (it may have been rolled back)")
        previous = versions.find(state, Standing.CURRENT)
        changes = {pending.number: Standing.CURRENT}
        if previous:
            changes[previous.number] = Standing.SUPERSEDED
        versions.mark(state, changes)
        boot.keep(state)
    metrics.firewall_applies.inc(result="confirmed")
    ledger.append("firewall.confirm", f"version {pending.number}")
    return Version(
        pending.number, pending.applied, Standing.CURRENT, pending.author, pending.reason, pending.digest
    )


def roll_back_pending(state: State, ledger: Ledger, number: int, reason: str) -> bool:
    """Take the pending version back; False when it is no longer pending. The kernel comes first, the books later."""
    with versions.locked(state):
        pending = versions.find(state, Standing.PENDING)
        if pending is None or pending.number != number:
            return False
        restore_previous(state)
        versions.mark(state, {number: Standing.ROLLED_BACK})
    metrics.firewall_applies.inc(result="rolled-back")
    ledger.append("firewall.rollback", f"version {number}", reason=reason)
    return True


def roll_back(
    state: State, ledger: Ledger, number: int | None = None, *, author: str = "", reason: str = ""
) -> Version | None:
    """To the version before a pending one, to the one before the current one, or to any earlier `number`."""
    pending = versions.find(state, Standing.PENDING)
    if pending:
        roll_back_pending(state, ledger, pending.number, reason or "asked for")
        if number is None:
            return versions.find(state, Standing.CURRENT)
    target = number or _before_current(state)
    with versions.locked(state):
        compiled = versions.ruleset(state, target)
        text = compiled.to_json()
        why = reason or f"rollback to version {target}"
        version = versions.add(
            state, text, digest(text), versions.policy_text(state, target), author=author, reason=why
        )
        try:
            install(state, compiled)
        except SentinelError:
            versions.mark(state, {version.number: Standing.FAILED})
            raise
    ledger.append("firewall.rollback", f"version {target}", now=version.number, author=author, reason=reason)
    return confirm_pending(state, ledger, version.number)


def _before_current(state: State) -> int:
    current = versions.find(state, Standing.CURRENT)
    for version in versions.history(state):
        if current and version.number < current.number and version.standing is Standing.SUPERSEDED:
            return version.number
    raise FirewallError("there is no earlier version to return to")


# --- the kernel -------------------------------------------------------------------------------------------------


def install(state: State, compiled: Ruleset) -> None:
    """Replace what the kernel has (live bans keep their time left and hits) and note how the kernel lists it.

    The caller holds the lock. The listing is trusted only when the kernel's generation says that nobody else
    committed between our transactions and the reading; else a stranger's rule would become the truth.
    """
    for last in (*[False] * BASELINE_ATTEMPTS, True):
        generation = netlink.generation()
        now = time.time_ns()
        placed, table, scripts = _scripts(state, compiled, now)
        try:
            for script in scripts:
                kernel.run_script(script)
        except FirewallError:  # a stranger's commit may have taken away what a script names
            if last or netlink.generation() == generation:
                raise
            continue
        text = kernel.listing()
        if netlink.generation() == generation + len(scripts) or (
            last and _is_ours(listing.read(text), placed)
        ):
            break
    else:
        raise FirewallError("somebody else changes the table as fast as it is written: see `nft monitor`")
    if len(scripts) > 1:
        bans.reconcile(state, now)
    state.save_checkpoint(versions.LISTING_KEY, text)
    boot.note(state, nft.REMOVE + table)


def rebuild(state: State, compiled: Ruleset) -> None:
    """The installed version anew, whatever stands there now. The caller holds the lock."""
    wanted = versions.noted(state)
    placed = names.resolved(state, compiled).placed(transaction.slot(wanted))
    now = time.time_ns()
    live = listing.read(kernel.listing())
    kernel.run_script(transaction.removal(live) + nft.table(placed, now) + bans.script(state, now))


def _scripts(state: State, compiled: Ruleset, now: int) -> tuple[Ruleset, str, list[str]]:
    """The ruleset with the names it gets, its table without bans, and the transactions that bring it in."""
    live = listing.read(kernel.listing())
    placed = names.resolved(state, compiled)
    if not transaction.can_stay(live, placed):
        table = nft.table(placed, now)
        return placed, table, [transaction.removal(live) + table + bans.script(state, now)]
    placed = placed.placed(transaction.other_slot(live))
    scripts = [transaction.prepare(live, placed, now), transaction.switch(live, placed)]
    return placed, nft.table(placed, now), scripts


def _is_ours(found: listing.Listing, ruleset: Ruleset) -> bool:
    """Where other tables change all the time: at least nobody added or removed anything in ours."""
    rules = {chain.name: len(chain.rules) for chain in ruleset.chains}
    return not found.loose and found.agrees(rules, [one.name for one in ruleset.sets])


def restore_previous(state: State) -> None:
    """The confirmed version, or what stood there before the first one. The caller holds the lock."""
    current = versions.find(state, Standing.CURRENT)
    if current is not None:
        install(state, versions.ruleset(state, current.number))
        return
    before = versions.folder(state) / boot.BEFORE_FILE
    there = before.read_text() if before.exists() else ""
    kernel.run_script(transaction.removal(listing.read(kernel.listing())) + there)
    state.save_checkpoint(versions.LISTING_KEY, kernel.listing())


def _save_way_back(state: State) -> None:
    """Without a version of ours to return to, keep what the kernel has now (usually nothing)."""
    if versions.find(state, Standing.CURRENT) is None:
        boot.write(versions.folder(state) / boot.BEFORE_FILE, kernel.full_listing())


def _no_pending(state: State) -> None:
    pending = versions.find(state, Standing.PENDING)
    if pending:
        raise FirewallError(
            f"version {pending.number} waits for confirmation: confirm it or roll it back first"
        )
