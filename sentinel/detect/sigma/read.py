"""Sigma YAML -> tree.Rule and tree.Correlation; the only importer of pySigma.

pySigma parses documents, modifiers, conditions, filters and correlations; here its objects become our trees. A document
that cannot be read whole becomes a Problem with path:line and is left out: nothing loads half. Files are read in
order of their names; references may go forward and across files. `examples` are our own key in a rule's document
(`tests: {format, match, miss}`), lines that must and must not raise it.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sigma.collection import SigmaCollection
from sigma.conditions import (
    ConditionAND,
    ConditionFieldEqualsValueExpression,
    ConditionItem,
    ConditionNOT,
    ConditionValueExpression,
)
from sigma.correlations import (
    CorrelationConditionAND,
    CorrelationConditionNOT,
    CorrelationConditionOR,
    SigmaCorrelationRule,
    SigmaExtendedCorrelationCondition,
    SigmaRuleReference,
)
from sigma.exceptions import SigmaError, SigmaRuleLocation
from sigma.rule import SigmaRule, SigmaRuleBase
from sigma.types import (
    Placeholder,
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SigmaTimestampPart,
    SpecialChars,
)

from sentinel import yamlfile
from sentinel.detect.sigma import predicate as p
from sentinel.detect.sigma.tree import (
    All,
    AnyOf,
    Correlation,
    Expression,
    Heading,
    Kind,
    Limit,
    LogSource,
    Node,
    Not,
    Rule,
    Test,
)
from sentinel.errors import InvalidInputError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

# What pySigma lets through on documents of a wrong shape, besides its own errors.
BAD_DOCUMENT = (SigmaError, ValueError, TypeError, AttributeError, KeyError, IndexError, RecursionError)
SUFFIXES = {".yml", ".yaml"}


@dataclass(frozen=True, slots=True)
class Examples:
    """A rule's own lines; for a correlation each entry is a whole log."""

    format: str = "nginx-access"
    match: tuple[str, ...] = ()
    miss: tuple[str, ...] = ()


@dataclass(slots=True)
class Loaded:
    rules: list[Rule] = field(default_factory=list)
    correlations: list[Correlation] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    examples: dict[str, Examples] = field(default_factory=dict)  # by rule id


def files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(
                found for found in path.rglob("*") if found.suffix in SUFFIXES and found.is_file()
            )
        else:
            yield path


def read(paths: Iterable[Path], placeholders: Mapping[str, list[str]] | None = None) -> Loaded:
    return _Reader(placeholders or {}).read(paths)


class _Reader:
    """One load: documents in, `loaded` out. `_made` maps pySigma's objects to ours."""

    def __init__(self, placeholders: Mapping[str, list[str]]) -> None:
        self.placeholders = placeholders
        self.loaded = Loaded()
        self._made: dict[int, Rule | Correlation] = {}

    def read(self, paths: Iterable[Path]) -> Loaded:
        parsed: list[Any] = []
        for path in files(paths):
            parsed.extend(self._parse_file(path))
        rules = self._unique([item for item in parsed if isinstance(item, SigmaRuleBase)])
        collection = SigmaCollection(rules, resolve_references=False)
        correlations = [rule for rule in collection.rules if isinstance(rule, SigmaCorrelationRule)]
        for rule in collection.rules:
            if isinstance(rule, SigmaRule):
                self._add_rule(rule)
        self._add_correlations(correlations, collection)
        return self.loaded

    def _parse_file(self, path: Path) -> list[Any]:
        try:
            documents = yamlfile.load_all(yamlfile.read(path), str(path))
        except InvalidInputError as error:
            self.loaded.problems.extend(error.problems)
            return []
        groups = [[document] for document in documents]
        if any(isinstance(data, dict) and "action" in data for data, _ in documents):
            groups = [documents]  # pySigma merges `action: global` and `repeat` over a file
        return [rule for group in groups for rule in self._parse_documents(path, group)]

    def _parse_documents(self, path: Path, documents: list[tuple[Any, int]]) -> list[Any]:
        location = SigmaRuleLocation(path, documents[0][1])
        data = [document for document, _ in documents]
        if not all(isinstance(document, dict) for document in data):
            return self._refuse(location, "a Sigma document is a mapping")
        try:
            collection = SigmaCollection.from_dicts(data, True, location, True, False)
        except BAD_DOCUMENT as error:
            return self._refuse(location, _text(error))
        if collection.errors:
            return self._refuse(location, "; ".join(_text(error) for error in collection.errors))
        found = [*collection.rules, *collection.filters]
        for rule in found:
            rule.source = location
        return found

    def _refuse(self, source: SigmaRuleLocation | None, message: str) -> list[Any]:
        path, line = (str(source.path), source.line or 0) if source else ("", 0)
        self.loaded.problems.append(Problem(path, line, message))
        return []

    def _unique(self, rules: list[Any]) -> list[Any]:
        seen: dict[str, str] = {}
        kept = []
        for rule in rules:
            keys = [key for key in (str(rule.id or ""), rule.name or "") if key]
            first = next((seen[key] for key in keys if key in seen), None)
            if first is not None:
                self._refuse(rule.source, f"{rule.title}: same id or name as the rule at {first}")
                continue
            seen.update(dict.fromkeys(keys, f"{rule.source.path}:{rule.source.line}"))
            kept.append(rule)
        return kept

    def _add_rule(self, rule: SigmaRule) -> None:
        try:
            conditions = [self.node(condition.parsed) for condition in rule.detection.parsed_condition]
        except BAD_DOCUMENT as error:
            self._refuse(rule.source, _text(error))
            return
        source = rule.logsource
        made = Rule(
            **_heading(rule),
            logsource=LogSource(source.category or "", source.product or "", source.service or ""),
            condition=conditions[0] if len(conditions) == 1 else AnyOf(tuple(conditions)),
        )
        self._made[id(rule)] = made
        self.loaded.rules.append(made)
        self._note_examples(rule, made)

    def _note_examples(self, rule: SigmaRuleBase, made: Heading) -> None:
        tests = rule.custom_attributes.get("tests")
        if not isinstance(tests, dict):
            return
        match, miss = (tuple(str(line) for line in tests.get(key) or ()) for key in ("match", "miss"))
        self.loaded.examples[made.id] = Examples(str(tests.get("format", "nginx-access")), match, miss)

    # --- correlations: a correlation is made once all it refers to is made, whatever the order in the files

    def _add_correlations(self, waiting: list[SigmaCorrelationRule], collection: SigmaCollection) -> None:
        pending = list(waiting)
        while pending:
            left = []
            for rule in pending:
                try:
                    made = self._correlation(rule, collection)
                except BAD_DOCUMENT as error:
                    self._refuse(rule.source, _text(error))
                    continue
                if made is None:
                    left.append(rule)
                    continue
                self._made[id(rule)] = made
                self.loaded.correlations.append(made)
                self._note_examples(rule, made)
            if len(left) == len(pending):
                for rule in left:
                    self._refuse(
                        rule.source, f"{rule.title}: refers to rules that failed to load, or to itself"
                    )
                return
            pending = left

    def _correlation(self, rule: SigmaCorrelationRule, collection: SigmaCollection) -> Correlation | None:
        condition = rule.condition
        extended = condition if isinstance(condition, SigmaExtendedCorrelationCondition) else None
        references = rule.rules
        if references is None:
            references = (
                [SigmaRuleReference(name) for name in extended.get_referenced_rules()] if extended else []
            )
        names = [reference.reference for reference in references]
        resolved = [self._made.get(id(collection[name])) for name in names]
        if None in resolved:
            return None
        rules = [made for made in resolved if made is not None]
        made = Correlation(**_heading(rule), kind=Kind(rule.type.name.lower()), rules=rules)
        made.group_by = tuple(rule.group_by or ())
        made.timespan_ns = rule.timespan.seconds * 1_000_000_000
        made.generate = rule.generate
        made.aliases = {
            alias.alias: {
                names.index(ref.reference): name
                for ref, name in alias.mapping.items()
                if ref.reference in names
            }
            for alias in rule.aliases
        }
        if extended is not None:
            made.expression = _expression(extended.parsed, names)
        else:
            _limits(made, rule, temporal=len(rules))
        if not rule.generate:
            for referred in rules:
                referred.silent = True
        return made

    # --- conditions

    def node(self, item: Any) -> Node:
        if isinstance(item, ConditionNOT):
            return Not(self.node(item.args[0]))
        if isinstance(item, ConditionItem):
            children = tuple(self.node(child) for child in item.args if child is not None)
            return All(children) if isinstance(item, ConditionAND) else AnyOf(children)
        if isinstance(item, ConditionFieldEqualsValueExpression):
            return self.test(item.field, item.value)
        if isinstance(item, ConditionValueExpression):
            return self.test("", item.value)
        raise SigmaError("the condition is empty")

    def test(self, name: str, value: Any) -> Node:
        if isinstance(value, SigmaExpansion):
            return AnyOf(tuple(self.test(name, part) for part in value.values))
        if isinstance(value, (SigmaString, SigmaRegularExpression)) and value.contains_placeholder():
            return AnyOf(tuple(self.test(name, part) for part in value.replace_placeholders(self._replace)))
        for kind, make in _PREDICATES.items():
            if isinstance(value, kind):
                return Test(name, make(value) if name else _keyword(make(value)))
        raise SigmaError(f"values of type {type(value).__name__} are not supported")

    def _replace(self, placeholder: Placeholder) -> Iterator[str]:
        if placeholder.name not in self.placeholders:
            raise SigmaError(f"placeholder %{placeholder.name}% has no value in logs.placeholders")
        yield from self.placeholders[placeholder.name]


def _text(error: Exception) -> str:
    """PySigma appends " in PATH:LINE"; the Problem says that already. A KeyError is only a name."""
    text = str(error.args[0]) if error.args else type(error).__name__
    return f"unknown name {text}" if isinstance(error, KeyError) else text.replace("\n", " ")


def _heading(rule: SigmaRuleBase) -> dict[str, Any]:
    location = rule.source
    return {
        "id": str(rule.id or rule.name or rule.title),
        "title": str(rule.title or rule.name or rule.id),
        "level": rule.level.name.lower() if rule.level else "medium",
        "name": rule.name or "",
        "description": str(rule.description or ""),
        "tags": tuple(f"{tag.namespace}.{tag.name}" for tag in rule.tags or ()),
        "falsepositives": tuple(map(str, rule.falsepositives or ())),
        "fields": tuple(map(str, rule.fields or ())),
        "path": str(location.path) if location else "",
        "line": (location.line or 0) if location else 0,
    }


def _limits(made: Correlation, rule: SigmaCorrelationRule, temporal: int) -> None:
    condition: Any = rule.condition
    if (
        made.kind in {Kind.TEMPORAL, Kind.TEMPORAL_ORDERED}
        and condition.fieldref is None
        and not _stated(rule)
    ):
        made.limits = (Limit("gte", temporal),)
        return
    made.limits = (Limit(condition.op.name.lower(), condition.count),)
    names = condition.fieldref or ()
    made.value_fields = (names,) if isinstance(names, str) else tuple(names)
    if condition.percentile is not None:
        made.percentile = condition.percentile


def _stated(rule: SigmaCorrelationRule) -> bool:
    """Whether the document has a condition; pySigma fills in "gte 1" where it has none."""
    condition: Any = rule.condition
    return condition.source is not None or (condition.op.name, condition.count) != ("GTE", 1)


def _expression(node: Any, names: list[str]) -> Expression:
    words = {CorrelationConditionAND: "and", CorrelationConditionOR: "or", CorrelationConditionNOT: "not"}
    if isinstance(node, SigmaRuleReference):
        return Expression("rule", index=names.index(node.reference))
    return Expression(words[type(node)], tuple(_expression(child, names) for child in node.args))


# --- values -> predicates


def _string(value: SigmaString) -> p.Text:
    marks = {SpecialChars.WILDCARD_MULTI: (p.MANY,), SpecialChars.WILDCARD_SINGLE: (p.ONE,)}
    parts = tuple(marks[part] if isinstance(part, SpecialChars) else str(part) for part in value.s)
    return p.Text(parts, cased=isinstance(value, SigmaCasedString))


def _regex(value: SigmaRegularExpression) -> p.Regex:
    names = {flag.name.lower(): True for flag in value.flags}
    made = p.Regex(str(value.regexp), **names)
    made.check()
    return made


def _boolean(value: SigmaBool) -> p.Text:
    return p.Text(("true" if value.boolean else "false",))


def _same_as(value: SigmaFieldReference) -> p.SameAs:
    return p.SameAs(value.field, value.starts_with, value.ends_with)


# The first that fits counts: SigmaTimestampPart is a SigmaNumber, SigmaCasedString a SigmaString.
_PREDICATES: dict[type, Callable[[Any], p.Predicate]] = {
    SigmaString: _string,
    SigmaTimestampPart: lambda value: p.TimePart(value.timestamp_part.name, int(value.number)),
    SigmaNumber: lambda value: p.Number(value.number),
    SigmaBool: _boolean,
    SigmaRegularExpression: _regex,
    SigmaCIDRExpression: lambda value: p.Cidr(ipaddress.ip_network(value.cidr)),
    SigmaCompareExpression: lambda value: p.Compare(value.op.name, value.number.number),
    SigmaFieldReference: _same_as,
    SigmaExists: lambda value: p.Exists(bool(value)),
    SigmaNull: lambda _: p.Null(),
}


def _keyword(found: p.Predicate) -> p.Predicate:
    """A value without a field is looked for anywhere in the line."""
    if isinstance(found, p.Number):
        return p.Text(((p.MANY,), str(found.number), (p.MANY,)))
    if not isinstance(found, p.Text):
        return found
    first = () if found.parts[:1] == ((p.MANY,),) else ((p.MANY,),)
    last = () if found.parts[-1:] == ((p.MANY,),) else ((p.MANY,),)
    return p.Text((*first, *found.parts, *last), found.cased)
