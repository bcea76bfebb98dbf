"""Flow bits in the screen: a rule that waits for a bit cannot match before some rule has set it.

In: all rules; then, flow by flow, rules whose bytes were found. Out: whether the flow has to be looked at. A rule that
only sets bits and tells nobody matters only together with a rule that waits for one of them, in whatever order the two
are found: until both were, the flow is none. What was found is noted in a set that the flow carries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sentinel.detect.rule import Rule

Note = tuple[bool, str]  # (set by a silent rule, or waited for; the bit)
Notes = set[Note]


class Bits:
    def __init__(self, rules: Iterable[Rule]) -> None:
        self._silent = {bit for rule in rules if is_silent(rule) for bit in _sets(rule)}

    def excludes(self, rule: Rule) -> bool:
        """The rule needs a bit that no rule sets, or none but rules that make the flow one to look at themselves."""
        return any(self._silent.isdisjoint(names) for names in _waits(rule))

    def candidate(self, rule: Rule, notes: Notes) -> bool:
        """The rule's bytes are in the flow: does that make it one to look at?"""
        if is_silent(rule):
            bits = _sets(rule)
            notes.update((True, bit) for bit in bits)
            return any((False, bit) in notes for bit in bits)
        awaited = _waits(rule)
        notes.update((False, bit) for names in awaited for bit in names)
        return all(any((True, bit) in notes for bit in names) for names in awaited)


def is_silent(rule: Rule) -> bool:
    return (
        rule.noalert
        and rule.action == "alert"
        and bool(rule.post)
        and all(check.name == "flowbits" for check in rule.post)
    )


def _sets(rule: Rule) -> list[str]:
    return [bit for check in rule.post if check.args[0] != "unset" for bit in check.args[1]]


def _waits(rule: Rule) -> list[tuple[str, ...]]:
    """Alternatives of each bit that the rule needs."""
    return [check.args[1] for check in rule.checks if check.name == "flowbits" and check.args[0] == "isset"]
