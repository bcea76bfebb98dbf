"""Columns -> Alerts: screen, evaluate, correlate, in the order of the lines.

One engine serves any number of sources: state of correlations is shared, screens are built per log format when its
first batch comes. Time is event time; a replay gives the alerts of the live run.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

import numpy as np

from sentinel import metrics
from sentinel.detect.sigma.alert import Describer
from sentinel.detect.sigma.correlate import Correlator
from sentinel.detect.sigma.evaluate import arranged, evaluate
from sentinel.detect.sigma.logsource import rows_of
from sentinel.detect.sigma.screen import Screen
from sentinel.detect.sigma.values import View

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sentinel.detect.sigma.tree import Correlation, Rule
    from sentinel.detect.sigma.values import Mask, Rows
    from sentinel.model import Alert, Columns


class LogEngine:
    """`scan` takes batches of any format, one at a time."""

    def __init__(
        self, rules: Iterable[Rule], correlations: Iterable[Correlation] = (), cache: Path | None = None
    ) -> None:
        self.rules = list(rules)
        for rule in self.rules:
            rule.condition = arranged(rule.condition)
        self.correlator = Correlator(correlations)
        self._cache = cache
        self._evicted = 0
        self._screens: dict[str, Screen] = {}

    def fresh(self) -> LogEngine:
        """The same compiled rules with no memory of earlier lines."""
        other = copy(self)  # with the very same conditions: the screens know their parts by identity
        other.correlator = Correlator(groups.correlation for groups in self.correlator.groups)
        other._evicted = 0  # noqa: SLF001 - a copy of ourselves
        return other

    def screen(self, kind: str) -> Screen:
        found = self._screens.get(kind)
        if found is None:
            needed = [rule for rule in self.rules if not rule.silent or self.correlator.listens(rule)]
            found = self._screens[kind] = Screen.build(needed, kind, self._cache)
        return found

    def scan(self, columns: Columns) -> list[Alert]:
        self.correlator.changes = []
        if not columns.rows:
            return []
        view = View(columns)
        matches = self.matches(view)
        describer = Describer(view)
        alerts: list[tuple[int, Alert]] = []
        for rule, rows in matches:
            if not rule.silent:
                alerts.extend((row, describer.alert(rule, row)) for row in rows.tolist())
        heard = [(rule, rows) for rule, rows in matches if self.correlator.listens(rule)]
        findings = self.correlator.arrive(heard, view)
        alerts.extend((f.row, describer.finding(f)) for f in findings if not f.correlation.silent)
        self._count_evictions()
        alerts.sort(key=lambda item: item[0])
        return [alert for _, alert in alerts]

    def _count_evictions(self) -> None:
        """Once a batch: a counter shared between processes costs more than an eviction."""
        evicted = self.correlator.evicted
        if evicted > self._evicted:
            metrics.correlation_evictions.inc(evicted - self._evicted)
            self._evicted = evicted

    def matches(self, view: View) -> list[tuple[Rule, Rows]]:
        """Every rule with the rows it matches."""
        screen = self.screen(view.columns.kind)
        part, candidates = screen.narrow(view)
        asked: list[tuple[int, View, Rows, Mask | None]] = [(n, part, rows, None) for n, rows in candidates]
        asked += [(n, view, rows, certain) for n, rows, certain in screen.unkeyed(view) if len(rows)]
        result = []
        for number, its, rows, certain in sorted(asked, key=lambda item: item[0]):
            matched = _matched(screen.rules[number], its, rows, certain)
            if len(matched):
                result.append((screen.rules[number], its.outside(matched)))
        return result


def _matched(rule: Rule, view: View, rows: Rows, certain: Mask | None) -> Rows:
    served = rows_of(rule.logsource, view, rows)
    if served is not None:
        rows, certain = rows[served], None if certain is None else certain[served]
    if certain is None:
        return rows[evaluate(rule.condition, view, rows)] if len(rows) else rows
    holds, open_ = certain.copy(), np.flatnonzero(~certain)
    if len(open_):
        holds[open_] = evaluate(rule.condition, view, rows[open_])
    return rows[holds]
