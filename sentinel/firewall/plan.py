"""What an apply would change: rules and elements as a diff, and live admin sessions it would cut.

A policy that would refuse a session which the failsafe rules of the running version protect, or one that has lost
them, is refused before anything is touched.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sentinel.errors import FirewallError
from sentinel.firewall import intervals, names, nft, probes, versions
from sentinel.firewall import policy as policies
from sentinel.firewall.ruleset import Kind, Ruleset

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentinel.firewall.policy import Policy
    from sentinel.firewall.probes import Answers
    from sentinel.firewall.ruleset import Set
    from sentinel.state import State

MOST_ELEMENTS_SHOWN = 20
EMPTY = Ruleset((), ())


@dataclass(frozen=True, slots=True)
class Plan:
    """`lines` start with + or -; `cut` are sessions that would not be let in again, `refused` those that stop it."""

    lines: tuple[str, ...]
    cut: tuple[str, ...]
    refused: tuple[str, ...]

    @property
    def changes(self) -> bool:
        return bool(self.lines)


def plan(wanted: Policy, compiled: Ruleset, state: State) -> Plan:
    version = versions.expected(state)
    before = names.resolved(state, versions.ruleset(state, version.number)) if version else EMPTY
    sessions = probes.sockets().inbound()
    return Plan(
        tuple(difference(before, names.resolved(state, compiled))),
        tuple(map(str, probes.cut(wanted, sessions, names.known(state)))),
        tuple(map(str, lockout(wanted, state))),
    )


def lockout(wanted: Policy, state: State, answers: Answers | None = None) -> list[probes.Session]:
    """Live sessions that are failsafe in the running version or in the new one, and that the new one refuses."""
    known_names = names.known(state) if answers is None else answers
    refused = probes.cut(wanted, probes.sockets().inbound(), known_names)
    protected = [wanted]
    version = versions.expected(state) if refused else None
    if version:
        protected.append(_running(versions.policy_text(state, version.number), wanted.path))
    return [one for one in refused if any(probes.is_failsafe(known, one) for known in protected)]


def refuse_lockout(wanted: Policy, state: State, answers: Answers | None = None) -> None:
    found = lockout(wanted, state, answers)
    if found:
        listed = "; ".join(map(str, found[:5]))
        raise FirewallError(
            f"this policy would cut failsafe access of a live session ({listed}); nothing was changed"
        )


def _running(text: str, path: str) -> Policy:
    """The running version's policy. Its group files are read as they are now; a missing one only narrows it."""
    return policies.parse(text, path)


def difference(before: Ruleset, after: Ruleset) -> Iterator[str]:
    yield from _rules(before, after)
    old, new = (
        {s.name: s for s in one.sets if s.kind in {Kind.ADDRESSES, Kind.GATE}} for one in (before, after)
    )
    for name in sorted(old.keys() | new.keys()):
        yield from _elements(name, old.get(name), new.get(name))


def _rules(before: Ruleset, after: Ruleset) -> Iterator[str]:
    old, new = _texts(before), _texts(after)
    for line in difflib.unified_diff(old, new, lineterm="", n=0):
        if not line.startswith(("---", "+++", "@@")):
            yield f"{line[0]} {line[1:]}"


def _texts(ruleset: Ruleset) -> list[str]:
    lines = []
    for chain in ruleset.chains:
        if chain.hook:
            lines.append(f"{chain.name}: policy {chain.policy}")
        lines += [f"{chain.name}: {nft.rule_text(rule)}" for rule in chain.rules]
    return lines


def _elements(name: str, old: Set | None, new: Set | None) -> Iterator[str]:
    known = old or new
    assert known is not None
    before = set(old.elements) if old else set()
    after = set(new.elements) if new else set()
    for sign, elements in (("-", before - after), ("+", after - before)):
        shown = sorted(elements, key=lambda element: element[:2])
        for first, last, _ in shown[:MOST_ELEMENTS_SHOWN]:
            family = known.family
            text = intervals.format_interval(family, first, last) if family else nft.NFPROTO[first]
            yield f"{sign} {name}: {text}"
        if len(shown) > MOST_ELEMENTS_SHOWN:
            yield f"{sign} {name}: and {len(shown) - MOST_ELEMENTS_SHOWN} more"
