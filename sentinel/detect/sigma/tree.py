"""What a Sigma rule says, free of pySigma: conditions as trees, rules and correlations as rows.

A condition is All, AnyOf, Not or Test. A Test asks one predicate of one field; the field "" is the whole line
(Sigma's keywords). Correlations refer to rules by their keys (id or name, as written), resolved when read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.detect.sigma.predicate import Predicate


@dataclass(frozen=True, slots=True)
class Test:
    field: str
    predicate: Predicate


@dataclass(frozen=True, slots=True)
class All:
    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    child: Node


Node = Test | All | AnyOf | Not


@dataclass(frozen=True, slots=True)
class LogSource:
    category: str = ""
    product: str = ""
    service: str = ""


@dataclass(slots=True, eq=False)
class Heading:
    """What a rule and a correlation have in common. `silent` ones only feed correlations."""

    id: str
    title: str
    level: str = "medium"
    name: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    falsepositives: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    path: str = ""
    line: int = 0
    silent: bool = False


@dataclass(slots=True, eq=False)
class Rule(Heading):
    logsource: LogSource = field(default_factory=LogSource)
    condition: Node = field(default_factory=lambda: AnyOf(()))


class Kind(Enum):
    EVENT_COUNT = "event_count"
    VALUE_COUNT = "value_count"
    TEMPORAL = "temporal"
    TEMPORAL_ORDERED = "temporal_ordered"
    VALUE_SUM = "value_sum"
    VALUE_AVG = "value_avg"
    VALUE_PERCENTILE = "value_percentile"
    VALUE_MEDIAN = "value_median"


@dataclass(frozen=True, slots=True)
class Limit:
    """`operator` is one of lt lte gt gte eq neq."""

    operator: str
    number: float

    def holds(self, value: float) -> bool:
        return _OPERATORS[self.operator](value, self.number)


_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "eq": lambda a, b: a == b,
    "neq": lambda a, b: a != b,
}


@dataclass(slots=True, eq=False)
class Correlation(Heading):
    """`rules` are resolved; `expression` (temporal types only) is a condition over indices into `rules`."""

    kind: Kind = Kind.EVENT_COUNT
    rules: list[Rule | Correlation] = field(default_factory=list)
    group_by: tuple[str, ...] = ()
    timespan_ns: int = 0
    limits: tuple[Limit, ...] = ()
    value_fields: tuple[str, ...] = ()
    percentile: int = 50
    aliases: dict[str, dict[int, str]] = field(default_factory=dict)  # alias -> index of rule -> its field
    expression: Expression | None = None
    generate: bool = False


@dataclass(frozen=True, slots=True)
class Expression:
    """and / or / not over rules of a correlation; a leaf is the rule's index."""

    word: str
    children: tuple[Expression, ...] = ()
    index: int = -1

    def holds(self, seen: set[int]) -> bool:
        if self.word == "rule":
            return self.index in seen
        if self.word == "not":
            return not self.children[0].holds(seen)
        results = (child.holds(seen) for child in self.children)
        return all(results) if self.word == "and" else any(results)
