"""The compiled form of a policy: sets, chains and rules of the one table `inet sentinel`, still without nft's syntax.

Made by `compile`, written as text by `nft`, kept as JSON by `versions`. It depends neither on the
time nor on DNS: elements carry the moment they end (`until`, nanoseconds) and sets the names that belong to them;
`answered` and `nft.render` turn both into what holds at one moment.
"""

from __future__ import annotations

import enum
import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from sentinel.firewall import intervals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sentinel.firewall.intervals import Interval

TABLE = "sentinel"
FAMILY = "inet"
LINK_LOCAL_SET = "link_local_6"
NEVER_SETS = {4: "never_ban_4", 6: "never_ban_6"}
# Bans are looked up by prefix, each length in a hash set of its own: an interval set has no quick insertion and
# refuses overlaps. Other lengths are split into the next longer one (bans.pieces). Longest first, as it is read.
BAN_LENGTHS = {4: (32, 24, 16), 6: (64, 56, 48)}


def ban_set(family: int, length: int) -> str:
    return f"ban_{family}_{length}"


class Kind(enum.Enum):
    """What a set holds decides its nft type and flags."""

    ADDRESSES = "addresses"  # intervals from the policy
    BANS = "bans"  # filled at run time, never part of the ruleset's elements
    GATE = "gate"  # both families while a rule with `until` lives; an empty gate matches nothing
    RATE = "rate"  # filled by the kernel: one limit a source


PLACED = frozenset({Kind.ADDRESSES, Kind.GATE})
SLOTS = ("", ".2")  # ends of set names: a policy's sets are filled beside those of the policy they replace


@dataclass(frozen=True, slots=True)
class Set:
    name: str
    kind: Kind
    family: int = 0
    elements: tuple[Interval, ...] = ()
    timeout_seconds: int = 0
    names: tuple[str, ...] = ()  # DNS names whose addresses belong to the set as well

    @property
    def timed(self) -> bool:
        return any(until is not None for _, _, until in self.elements)

    def answered(self, answers: Mapping[str, Sequence[str]]) -> Set:
        found = [intervals.parse_address(text) for name in self.names for text in answers.get(name, ())]
        extra: list[Interval] = [(number, number, None) for family, number in found if family == self.family]
        return replace(self, elements=intervals.merge([*self.elements, *extra]), names=())


@dataclass(frozen=True, slots=True)
class Limit:
    count: int
    unit: str
    burst: int
    over: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """Conditions that all must hold (empty: any), then the statements in the order nft runs them."""

    verdict: str = ""  # accept, drop, reject, return, jump NAME; empty goes on
    family: int = 0
    in_interfaces: tuple[str, ...] = ()
    out_interfaces: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    gate: str = ""
    source: str = ""
    source_length: int = 0  # look up the source's network of this length
    destination: str = ""
    protocol: str = ""
    ports: tuple[tuple[int, int], ...] = ()
    source_ports: tuple[tuple[int, int], ...] = ()
    types: tuple[str, ...] = ()
    other_types: bool = False  # any type but these
    not_protocols: tuple[str, ...] = ()
    hop_limit: int = 0
    rate_set: str = ""  # with `limit`: one bucket for each source
    limit: Limit | None = None
    log: str = ""
    counter: bool = False
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Chain:
    name: str
    rules: tuple[Rule, ...]
    hook: str = ""
    policy: str = ""


@dataclass(frozen=True, slots=True)
class Ruleset:
    sets: tuple[Set, ...]
    chains: tuple[Chain, ...]

    def elements_of(self, name: str) -> tuple[Interval, ...]:
        return next((s.elements for s in self.sets if s.name == name), ())

    def structure(self) -> Ruleset:
        """Without elements: what only a replacement of the table can change."""
        return Ruleset(tuple(replace(one, elements=()) for one in self.sets), self.chains)

    def answered(self, answers: Mapping[str, Sequence[str]]) -> Ruleset:
        """With the addresses that the DNS names have now."""
        return Ruleset(tuple(one.answered(answers) if one.names else one for one in self.sets), self.chains)

    def placed(self, slot: str) -> Ruleset:
        """With the names that its policy's sets have in the kernel while they stand in this slot."""
        moved = {one.name: one.name + slot for one in self.sets if one.kind in PLACED}
        sets = tuple(replace(one, name=moved.get(one.name, one.name)) for one in self.sets)
        chains = tuple(
            replace(chain, rules=tuple(_moved(rule, moved) for rule in chain.rules)) for chain in self.chains
        )
        return Ruleset(sets, chains)

    def to_json(self) -> str:
        return json.dumps(
            {
                "sets": [
                    [s.name, s.kind.value, s.family, s.elements, s.timeout_seconds, s.names]
                    for s in self.sets
                ],
                "chains": [
                    {
                        "name": c.name,
                        "hook": c.hook,
                        "policy": c.policy,
                        "rules": [_sparse(r) for r in c.rules],
                    }
                    for c in self.chains
                ],
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> Ruleset:
        data = json.loads(text)
        sets = tuple(
            Set(name, Kind(kind), family, tuple(map(tuple, elements)), timeout, tuple(names))
            for name, kind, family, elements, timeout, names in data["sets"]
        )
        chains = tuple(
            Chain(c["name"], tuple(_rule(r) for r in c["rules"]), c["hook"], c["policy"])
            for c in data["chains"]
        )
        return cls(sets, chains)


def _moved(rule: Rule, names: Mapping[str, str]) -> Rule:
    source, destination, gate = (names.get(one, one) for one in (rule.source, rule.destination, rule.gate))
    return replace(rule, source=source, destination=destination, gate=gate)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


_DEFAULT = asdict(Rule())


def _sparse(rule: Rule) -> dict[str, Any]:
    return {name: value for name, value in asdict(rule).items() if value != _DEFAULT[name]}


def _rule(data: dict[str, Any]) -> Rule:
    values = {name: _frozen(value) for name, value in data.items()}
    if "limit" in data:
        values["limit"] = Limit(**data["limit"])
    return Rule(**values)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
