"""Which bytes of each rule are searched in raw traffic, per transport and direction: worked out once for a set of rules.

In: rules, in which a rule's number is its place. Out: a Plan, kept in the cache under the identity of the rules, as looking
at fourteen thousand rules takes longer than reading what was found.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sentinel.detect.alternatives import weight
from sentinel.detect.anchors import choices, unreadable
from sentinel.detect.groups import RARE
from sentinel.detect.matcher import literal
from sentinel.detect.standing import judged
from sentinel.detect.stored import keep, recall
from sentinel.detect.templates import template

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from sentinel.detect.rule import Rule

TCP, UDP = 6, 17
GAIN = 1  # by how much a pattern with gaps must beat a plain one
ANY = "any"  # among the applications that are always parsed: every flow is

Anchor = tuple[bytes, int, tuple[bytes, ...]]  # expression, rule, pieces that must all be there


@dataclass(slots=True)
class Plan:
    anchors: dict[tuple[int, int], list[Anchor]] = field(default_factory=dict)
    standing: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))
    always: set[str] = field(default_factory=set)  # applications that are parsed whatever they carry
    smb_files: set[int] = field(default_factory=set)  # directions in which rules ask for what SMB carries


def planned(rules: Sequence[Rule], numbers: Sequence[int], stored: Path | None) -> Plan:
    """`numbers`: the rules that are looked for in bytes."""
    found = recall(stored) if stored is not None else None
    if isinstance(found, Plan):
        return found
    plan = Plan()
    for proto in (TCP, UDP):
        for direction in (0, 1):
            plan.anchors[proto, direction] = list(_anchors(plan, rules, numbers, proto, direction))
    if stored is not None:
        keep(stored, plan)
    return plan


def _anchors(
    plan: Plan, rules: Sequence[Rule], numbers: Sequence[int], proto: int, direction: int
) -> Iterable[Anchor]:
    for number in numbers:
        rule = rules[number]
        if not rule.directions[direction] or (
            rule.ip_protocols is not None and proto not in rule.ip_protocols
        ):
            continue
        if rule.stateful and not rule.parts[direction]:
            continue
        plan.always |= unreadable(rule, direction)
        if "smb" in rule.applications and any(part.buffer == "file.data" for part in rule.parts[direction]):
            plan.smb_files.add(direction)
        found = choices(rule, direction)
        shape = template(rule.payload)
        if shape is not None and shape.strength > GAIN + weight(found):
            yield shape.expression, number, found[0] if len(found) == 1 else ()
        elif proto == TCP and weight(found) < RARE and judged(rule, direction):
            plan.standing[direction].append(number)
        elif found:
            yield from ((literal(choice[0]), number, choice) for choice in found)
        else:
            plan.always |= rule.applications or {ANY}
