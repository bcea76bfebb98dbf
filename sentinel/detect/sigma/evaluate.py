"""A condition over many rows of a batch at once: rows in, one boolean a row out.

Tests narrow as they go: an All asks its next child only about rows still alive, cheap tests first; an AnyOf only
about rows not yet matched. Over many rows a test runs once per distinct value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sentinel.detect.sigma.predicate import COMPARE, Compare, Exists, Null, Number, SameAs, Text, TimePart
from sentinel.detect.sigma.tree import All, AnyOf, Not, Test

if TYPE_CHECKING:
    from sentinel.detect.sigma.tree import Node
    from sentinel.detect.sigma.values import Mask, Rows, Values, View

MANY_ROWS = 48  # from here on it pays to know the distinct values
NARROW = 4  # when fewer than one row in so many is left, derived columns are made for those rows alone


def evaluate(node: Node, view: View, rows: Rows) -> Mask:
    if isinstance(node, Test):
        return _test(node, view, rows)
    field = view.single.get(id(node))
    if field is not None and len(rows) >= MANY_ROWS:
        return _single(node, field, view, rows)
    if isinstance(node, Not):
        return ~evaluate(node.child, view, rows)
    if isinstance(node, All):
        return _all(node, view, rows)
    return _any(node, view, rows)


def _single(node: Node, field: str, view: View, rows: Rows) -> Mask:
    """A condition on one field, asked once of each of its values; the last verdict is that of absence."""
    values = view.raw(field)
    if values is None:
        return np.full(len(rows), _holds(node, None), np.bool_)
    distinct, codes = values.distinct()
    verdicts = np.array([*(_holds(node, value) for value in distinct), _holds(node, None)], np.bool_)
    found: Mask = verdicts[codes[rows]]  # code -1 is absence
    return found


def _holds(node: Node, value: bytes | None) -> bool:
    if isinstance(node, Test):
        predicate = node.predicate
        return predicate.absent if value is None else predicate.test(value)
    if isinstance(node, Not):
        return not _holds(node.child, value)
    results = (_holds(child, value) for child in node.children)
    return all(results) if isinstance(node, All) else any(results)


def _all(node: All, view: View, rows: Rows) -> Mask:
    result = np.zeros(len(rows), np.bool_)
    alive = np.arange(len(rows))
    view, rows = _narrowed(view, rows)
    if any(isinstance(child, Test) and _missing(child, view) for child in node.children):
        return result
    for child in node.children:
        if not len(rows):
            break
        view, rows = _narrowed(view, rows)
        holds = evaluate(child, view, rows)
        alive, rows = alive[holds], rows[holds]
    result[alive] = True
    return result


def _narrowed(view: View, rows: Rows) -> tuple[View, Rows]:
    if view.whole is None and len(rows) * NARROW < view.columns.rows:
        return view.part(rows), np.arange(len(rows))
    return view, rows


def _missing(node: Test, view: View) -> bool:
    """Whether no row can pass because this log has no such field."""
    return not node.predicate.absent and not view.has(node.field)


def _any(node: AnyOf, view: View, rows: Rows) -> Mask:
    result = np.zeros(len(rows), np.bool_)
    open_ = np.arange(len(rows))
    for child in node.children:
        if not len(open_):
            break
        holds = evaluate(child, view, rows[open_])
        result[open_[holds]] = True
        open_ = open_[~holds]
    return result


def _test(node: Test, view: View, rows: Rows) -> Mask:
    found = view.found(node)
    if found is None:
        return _ask(node, view, rows)
    result = np.isin(rows, found)
    here = np.flatnonzero(result)
    if len(here):
        result[here] = _ask(node, view, rows[here])
    return result


def _ask(node: Test, view: View, rows: Rows) -> Mask:
    predicate = node.predicate
    forms = view.forms(node.field)
    logged = next(forms, None)
    if logged is None:
        return np.full(len(rows), predicate.absent, np.bool_)
    if isinstance(predicate, SameAs):
        return _pairs(predicate, [logged, *forms], list(view.forms(predicate.other)), rows)
    if isinstance(predicate, (Exists, Null)):
        return _presence(predicate, logged, rows)
    result = _form(node, logged, rows)
    rest = np.flatnonzero(~result)
    while len(rest) and (values := next(forms, None)) is not None:
        holds = _form(node, values, rows[rest], decoded=True)
        result[rest[holds]] = True
        rest = rest[~holds]
    return result


def _presence(predicate: Exists | Null, values: Values, rows: Rows) -> Mask:
    """Only of the logged form; needs no bytes."""
    having = values.having(rows)
    here = np.ones(len(rows), np.bool_) if having is None else having
    if isinstance(predicate, Exists):
        return here if predicate.wanted else ~here
    empty: Mask = values.starts[rows] == values.ends[rows]
    return empty | ~here


def _form(node: Test, values: Values, rows: Rows, *, decoded: bool = False) -> Mask:
    predicate = node.predicate
    having = values.having(rows)
    if having is None or having.all():
        return _match(node, values, rows)
    result = np.full(len(rows), predicate.absent and not decoded, np.bool_)
    here = np.flatnonzero(having)
    if len(here):
        result[here] = _match(node, values, rows[here])
    return result


def _match(node: Test, values: Values, rows: Rows) -> Mask:
    predicate = node.predicate
    test = predicate.test
    if isinstance(predicate, Compare) and len(rows) >= MANY_ROWS:
        return _compare(predicate, values, rows)
    if len(rows) < MANY_ROWS:
        return np.fromiter((test(value) for value in values.take(rows)), np.bool_, len(rows))
    distinct, codes = values.distinct()
    asked = codes[rows]
    verdicts = np.zeros(len(distinct), np.bool_)
    if len(distinct) <= len(rows):
        verdicts[:] = [test(value) for value in distinct]
    else:
        needed = np.unique(asked)
        verdicts[needed] = [test(distinct[code]) for code in needed.tolist()]
    found: Mask = verdicts[asked]
    return found


def _compare(predicate: Compare, values: Values, rows: Rows) -> Mask:
    numbers, plain = values.numbers(rows)
    result: Mask = COMPARE[predicate.operator](numbers, predicate.number) & plain
    odd = np.flatnonzero(~plain)
    result[odd] = [predicate.test(value) for value in values.take(rows[odd])]
    return result


def _pairs(predicate: SameAs, left: list[Values], right: list[Values], rows: Rows) -> Mask:
    result = np.zeros(len(rows), np.bool_)
    for i, row in enumerate(rows.tolist()):
        ours = [value for values in left if (value := values.get(row)) is not None]
        others = [value for values in right if (value := values.get(row)) is not None]
        result[i] = any(predicate.pair(a, b) for a in ours for b in others)
    return result


# Times differ from line to line: each costs a conversion, so they are asked of what is left.
_COST = {Exists: 0, Null: 0, Number: 0.5, Text: 1, Compare: 1.5, TimePart: 8}


def arranged(node: Node) -> Node:
    """The same condition with cheap questions first, and nested All and AnyOf of one kind merged."""
    if isinstance(node, Test):
        return node
    if isinstance(node, Not):
        return Not(arranged(node.child))
    kind = type(node)
    children: list[Node] = []
    for child in map(arranged, node.children):
        children.extend(child.children if isinstance(child, kind) else (child,))
    return kind(tuple(sorted(children, key=_cost)))


def _cost(node: Node) -> float:
    if isinstance(node, Test):
        return _COST.get(type(node.predicate), 4)
    if isinstance(node, Not):
        return _cost(node.child) + 0.5
    return sum(map(_cost, node.children))
