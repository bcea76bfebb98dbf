"""One log line on its way: how it parses, what is decoded and derived, which rules it was tried with and why they match.

In: a line, rule files, perhaps one rule's name. Out: an Explanation. The same parser, derivation, screen and conditions
as live. Personal data is masked as in alerts. A reason is the shortest that settles a condition: what held of an
"any", what failed of an "all".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sentinel import trial

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from sentinel.detect.sigma.predicate import Predicate
    from sentinel.detect.sigma.read import Loaded
    from sentinel.detect.sigma.tree import Correlation, Node, Rule, Test
    from sentinel.detect.sigma.values import View
    from sentinel.protocol.derive.attach import Derivation

SECOND = 1_000_000_000
LONGEST_TEST = 160  # characters of an expression that are shown


@dataclass(slots=True)
class Tried:
    """A rule the line was evaluated with, whether it matched, and the tests that settled it."""

    rule: str
    id: str
    level: str
    where: str
    matched: bool
    why: list[str]
    feeds: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Explanation:
    """`rules` serve the format; `candidates` of them were brought up by the screen and
    evaluated; `tried` says how that went, those that match first.
    """

    format: str
    parsed: bool
    time: str
    fields: dict[str, str] = field(default_factory=dict)
    decoded: dict[str, str] = field(default_factory=dict)
    rules: int = 0
    candidates: int = 0
    tried: list[Tried] = field(default_factory=list)

    @property
    def matched(self) -> list[Tried]:
        return [each for each in self.tried if each.matched]


DERIVED = (
    "source.ip", "url.path", "url.query", "shop.action", "shop.item", "pii.resident_id", "pii.card", "pii.mobile", "pii.email",
)  # fmt: skip


def explain(
    line: str,
    log_format: str,
    paths: Iterable[Path],
    only: str = "",
    *,
    derivation: Derivation | None = None,
    placeholders: Mapping[str, list[str]] | None = None,
) -> Explanation:
    """What becomes of a line; `only` names one rule (id, name or title) to show whether it was a candidate or not."""
    from sentinel.detect.sigma.engine import LogEngine
    from sentinel.detect.sigma.read import read
    from sentinel.detect.sigma.values import View
    from sentinel.errors import InvalidInputError, UsageError
    from sentinel.model import isoformat
    from sentinel.pipeline import cache_folder
    from sentinel.protocol.derive.attach import Derivation
    from sentinel.protocol.logs.parser import LogParser, names

    loaded = read(paths, placeholders)
    if loaded.problems:
        raise InvalidInputError(loaded.problems)
    chosen = _chosen(loaded, only)
    if only and not chosen:
        raise UsageError(f"no rule has the id, name or title {only!r}")
    columns = LogParser(log_format).parse(trial.batch_of([line]))
    own = names(columns)
    view = View((derivation or Derivation()).attach(columns))
    engine = LogEngine(loaded.rules, loaded.correlations, cache_folder())
    screen = engine.screen(columns.kind)
    parsed = columns.parsed is None or bool(columns.parsed[0])
    made = Explanation(columns.kind, parsed, isoformat(int(columns.times[0])), rules=len(screen.rules))
    made.fields, made.decoded = _values(view, (*own, *DERIVED))
    candidates = {screen.rules[number].id for number, _ in screen.candidates(view)}
    made.candidates = len(candidates)
    for rule in chosen if only else screen.rules:
        if only or rule.id in candidates:
            made.tried.append(_try(rule, view, loaded.correlations))
    made.tried.sort(key=lambda each: not each.matched)
    return made


def _chosen(loaded: Loaded, only: str) -> list[Rule]:
    """The rule of that name; for a correlation the rules it counts."""
    chosen = [rule for rule in loaded.rules if only in {rule.id, rule.name, rule.title}]
    for correlation in loaded.correlations:
        if only in {correlation.id, correlation.name, correlation.title}:
            chosen += [rule for rule in loaded.rules if rule in correlation.rules]
    return chosen


def _values(view: View, names: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Fields as logged and derived, and what the decoded forms differ in."""
    columns = view.columns
    mask = columns.mask or bytes
    stores: dict[str, dict[str, str]] = {"": {}, "|decoded": {}}
    for name in dict.fromkeys(names):
        for form, store in stores.items():
            column = columns.column(name + form)
            value = None if column is None else column.get(0)
            if value is not None:
                store[name] = mask(value).decode("utf-8", "replace")
    return stores[""], stores["|decoded"]


def _try(rule: Rule, view: View, correlations: list[Correlation]) -> Tried:
    from sentinel.detect.sigma.logsource import rows_of, serves

    kind = view.columns.kind
    source = ", ".join(
        filter(None, (rule.logsource.category, rule.logsource.product, rule.logsource.service))
    )
    served = rows_of(rule.logsource, view, _first_row())
    if not serves(rule.logsource, kind) or (served is not None and not served[0]):
        matched, why = False, [f"its log source ({source}) is not this line's (format {kind})"]
    else:
        matched, why = _holds(rule.condition, view), list(_why(rule.condition, view))
    feeds = [_correlation(each) for each in correlations if rule in each.rules]
    return Tried(rule.title, rule.id, rule.level, f"{rule.path}:{rule.line}", matched, why, feeds)


def _first_row() -> Any:
    import numpy as np

    return np.zeros(1, np.int64)


def _holds(node: Node, view: View) -> bool:
    from sentinel.detect.sigma.evaluate import evaluate

    return bool(evaluate(node, view, _first_row())[0])


def _why(node: Node, view: View) -> Iterator[str]:
    from sentinel.detect.sigma.tree import All, Not, Test

    holds = _holds(node, view)
    if isinstance(node, Test):
        yield _test(node, view, holds)
    elif isinstance(node, Not):
        reasons = _why(node.child, view)
        yield from (
            reasons if holds else (f"excluded by {text.removeprefix('yes').strip()}" for text in reasons)
        )
    elif isinstance(node, All):
        for child in node.children:
            if holds or not _holds(child, view):
                yield from _why(child, view)
    elif holds:
        yield from _why(next(child for child in node.children if _holds(child, view)), view)
    else:
        yield from _none_of(node.children, view)


def _none_of(children: tuple[Node, ...], view: View) -> Iterator[str]:
    """Of many alternatives none held: the first of each field stands for the others."""
    from sentinel.detect.sigma.tree import Test

    others: dict[str, int] = {}
    for child in children:
        if not isinstance(child, Test):
            yield from _why(child, view)
        elif child.field in others:
            others[child.field] += 1
        else:
            others[child.field] = 0
            yield _test(child, view, holds=False)
    for name, count in others.items():
        if count:
            yield f"no    {name or 'the line'}: nor any of {count} more"


def _test(node: Test, view: View, holds: bool) -> str:
    forms = view.forms(node.field)
    value = "" if any(form.get(0) is not None for form in forms) else "; the line has no such field"
    return f"{'yes' if holds else 'no':<5} {node.field or 'the line'} {_words(node.predicate)}{value}"


def _words(predicate: Predicate) -> str:
    """The predicate as a person would say it."""
    from sentinel.detect.sigma import predicate as p

    match predicate:
        case p.Text():
            text = "".join(part if isinstance(part, str) else part[0] for part in predicate.parts)
            said = f"is {text!r}"
        case p.Regex():
            said = f"matches /{predicate.source}/"
        case p.Number():
            said = f"is {predicate.number}"
        case p.Compare():
            said = f"is {predicate.operator.lower()} {predicate.number}"
        case p.Cidr():
            said = f"is in {predicate.network}"
        case p.Exists():
            said = "exists" if predicate.wanted else "does not exist"
        case p.SameAs():
            said = f"is the value of {predicate.other}"
        case p.TimePart():
            said = f"has {predicate.part.lower()} {predicate.number}"
        case _:
            said = "is empty or absent"
    return said if len(said) <= LONGEST_TEST else said[: LONGEST_TEST - 3] + "..."


def _correlation(correlation: Correlation) -> str:
    limits = " and ".join(f"{limit.operator} {limit.number:g}" for limit in correlation.limits)
    groups = ", ".join(correlation.group_by) or "all lines"
    span = f"{correlation.timespan_ns // SECOND} s"
    return f"{correlation.title} ({correlation.kind.value} {limits} in {span} by {groups})"
