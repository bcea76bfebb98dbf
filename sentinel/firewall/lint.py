"""Findings about a valid policy: rules that can never decide, say the same twice, contradict, or have ended.

A rule is covered when one earlier rule matches everything it matches. Covered with the same action: a duplicate (both
ways) or shadowed; with another action: a contradiction. Only single rules are compared, so no finding is a false one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.errors import Problem
from sentinel.firewall.policy import Action, Direction
from sentinel.firewall.services import FAMILY_OF

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentinel.firewall import intervals
    from sentinel.firewall.policy import Policy, Rule, Scope
    from sentinel.firewall.services import Service

ALL_PORTS = ((0, 65_535),)


def lint(policy: Policy, now: int) -> list[Problem]:
    found = [Problem(policy.path, line, text) for line, text in _findings(policy, now)]
    return sorted(found)


def _findings(policy: Policy, now: int) -> Iterator[tuple[int, str]]:
    inbound = policy.default[Direction.INBOUND]
    if not policy.failsafe and inbound is not Action.ACCEPT:
        yield 1, "no failsafe rules: nothing protects an administrator's access from the next mistake"
    for rules in (*policy.rules.values(), policy.failsafe):
        yield from _own(rules, now)
        yield from _pairs([rule for rule in rules if rule.lives(now)])


def _own(rules: tuple[Rule, ...], now: int) -> Iterator[tuple[int, str]]:
    for rule in rules:
        if not rule.lives(now):
            yield rule.line, f"{rule.name} has expired"
        if not _families(rule):
            yield (
                rule.line,
                f"{rule.name} can match nothing: no address family is left in from, to and its services",
            )


def _families(rule: Rule) -> set[int]:
    families = {4, 6}
    for scope in (rule.source, rule.destination):
        if scope is not None:
            families &= {family for family in (4, 6) if scope.addresses.of(family) or scope.addresses.names}
    return families & {family for one in rule.services for family in _service_families(one)}


def _service_families(service: Service) -> set[int]:
    only = FAMILY_OF.get(service.protocol)
    return {only} if only else {4, 6}


def _pairs(rules: list[Rule]) -> Iterator[tuple[int, str]]:
    for place, later in enumerate(rules):
        for earlier in rules[:place]:
            if not _covers(earlier, later):
                continue
            where = f"{earlier.name} (line {earlier.line})"
            if earlier.action is not later.action:
                yield later.line, f"{later.name} contradicts {where}, which decides first"
            elif _covers(later, earlier):
                yield later.line, f"{later.name} is a duplicate of {where}"
            else:
                yield later.line, f"{later.name} is shadowed by {where}"
            break


def _covers(wide: Rule, narrow: Rule) -> bool:
    """Everything `narrow` matches, `wide` decides. A rate lets packets go on, so it covers nothing."""
    return (
        wide.rate is None
        and (wide.until is None or (narrow.until is not None and narrow.until <= wide.until))
        and all(any(_service_in(small, large) for large in wide.services) for small in narrow.services)
        and _scope_in(narrow.source, wide.source)
        and _scope_in(narrow.destination, wide.destination)
        and _names_in(narrow.in_interfaces, wide.in_interfaces)
        and _names_in(narrow.out_interfaces, wide.out_interfaces)
    )


def _service_in(small: Service, large: Service) -> bool:
    if large.protocol == "any":
        return True
    if small.protocol != large.protocol:
        return False
    if large.types:
        return bool(small.types) and set(small.types) <= set(large.types)
    ports = large.ports or ALL_PORTS
    return all(any(a <= low and high <= b for a, b in ports) for low, high in small.ports or ALL_PORTS)


def _names_in(small: tuple[str, ...], large: tuple[str, ...]) -> bool:
    return not large or (bool(small) and set(small) <= set(large))


def _scope_in(small: Scope | None, large: Scope | None) -> bool:
    if large is None:
        return True
    if small is None or not set(small.addresses.names) <= set(large.addresses.names):
        return False
    return all(_inside(small.addresses.of(family), large.addresses.of(family)) for family in (4, 6))


def _inside(small: tuple[intervals.Interval, ...], large: tuple[intervals.Interval, ...]) -> bool:
    """Each interval within one of `large`; an interval that ends is no safe cover."""
    lasting = [(first, last) for first, last, until in large if until is None]
    position = 0
    for first, last, _ in small:
        while position < len(lasting) and lasting[position][1] < first:
            position += 1
        if position == len(lasting) or not (lasting[position][0] <= first and last <= lasting[position][1]):
            return False
    return True
