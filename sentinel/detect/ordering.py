"""The order in which rules are looked at and their alerts are written: Suricata's SCSigOrderSignatures.

Pass before drop before reject before alert; within an action, rules that set bits or counters before those that test
them, then by priority, then as they stand in the files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentinel.detect.rule import Rule

_ACTIONS = {"pass": 0, "drop": 1, "reject": 2, "rejectsrc": 2, "rejectdst": 2, "rejectboth": 2, "alert": 3}


def ordered(rules: list[Rule]) -> list[Rule]:
    return sorted(rules, key=_key)


def _key(rule: Rule) -> tuple[int, ...]:
    return (
        _ACTIONS[rule.action],
        *(_rank(rule, kind) for kind in ("flowbits", "flowint")),
        (2, 1, 0, 3)[_rank(rule, "xbits")],  # those that test see what earlier packets set
        _rank(rule, "hostbits"),
        rule.severity,
    )


def _rank(rule: Rule, kind: str) -> int:
    """0 sets, 1 sets and tests, 2 tests, 3 does neither."""
    sets = any(check.name == kind for check in rule.post)
    tests = any(check.name == kind for check in rule.checks)
    if sets:
        return 1 if tests else 0
    return 2 if tests else 3
