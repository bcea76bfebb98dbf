"""Sigma rules tried on lines: their own examples, one line explained step by step, old logs replayed for a new rule.

In: rule files and lines or logs. Out: problems, a description, counts. The same parser, derivation and engine as live.
Example lines may be whole lines of a format or, shorter, `request` ("GET /x?y") and `requests` ("POST /x 401", one
request a line, a second apart).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sentinel.errors import Problem
from sentinel.model import Batch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from sentinel.detect.sigma.engine import LogEngine
    from sentinel.detect.sigma.read import Examples
    from sentinel.detect.sigma.tree import Heading, Node
    from sentinel.detect.sigma.values import View
    from sentinel.model import Columns

REQUEST = '198.51.100.7 - - [02/Mar/2026:10:{minute:02d}:{second:02d} +0000] "{request} HTTP/1.1" {status} 512 "-" "Mozilla/5.0 (X11; Linux x86_64)"'


def batch_of(lines: Iterable[str], source: str = "example") -> Batch:
    import numpy as np

    rows = [line.encode("utf-8", "surrogateescape") + b"\n" for line in lines]
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    return Batch(b"".join(rows), offsets, source)


def columns_of(lines: Iterable[str], log_format: str) -> Columns:
    from sentinel.protocol.derive.attach import Derivation
    from sentinel.protocol.logs.parser import LogParser

    return Derivation().attach(LogParser(log_format).parse(batch_of(lines)))


def _lines(example: str, log_format: str) -> tuple[list[str], str]:
    """Lines of a real format for one example."""
    texts = example.rstrip("\n").split("\n")
    if log_format == "request":
        return [REQUEST.format(minute=0, second=0, request=texts[0], status=200)], "nginx-access"
    if log_format == "requests":
        pairs = [text.strip().rpartition(" ") for text in texts]
        return [
            REQUEST.format(minute=number // 60, second=number % 60, request=request, status=status)
            for number, (request, _, status) in enumerate(pairs)
        ], "nginx-access"
    return texts, log_format


def examples(paths: Iterable[Path]) -> tuple[int, list[Problem]]:
    """How many examples were tried, and where a rule's own examples disagree with it."""
    from sentinel.detect.sigma.engine import LogEngine
    from sentinel.detect.sigma.read import read
    from sentinel.pipeline import cache_folder

    loaded = read(paths)
    problems = list(loaded.problems)
    engine = LogEngine(loaded.rules, loaded.correlations, cache_folder())
    tried = 0
    for heading in (*loaded.rules, *loaded.correlations):
        own = loaded.examples.get(heading.id)
        if own is not None:
            tried += len(own.match) + len(own.miss)
            problems += _try(engine, heading, own)
    return tried, problems


def _try(engine: LogEngine, heading: Heading, own: Examples) -> Iterator[Problem]:
    for wanted, texts in ((True, own.match), (False, own.miss)):
        for text in texts:
            lines, log_format = _lines(text, own.format)
            if raises(engine, heading, columns_of(lines, log_format)) != wanted:
                word = "does not raise" if wanted else "raises"
                message = f"{heading.title}: {word} its example {text.strip()[:200]!r}"
                yield Problem(heading.path, heading.line, message)


def raises(engine: LogEngine, heading: Heading, columns: Columns) -> bool:
    """Whether the rule alone matches these lines, or its correlation is satisfied by them, silent or not."""
    was, heading.silent = heading.silent, False
    try:
        return any(alert.rule_id == heading.id for alert in engine.fresh().scan(columns))
    finally:
        heading.silent = was


@dataclass(slots=True)
class Explanation:
    """One line on its way: `tried` lists, per rule that was a candidate, each test with its verdict."""

    format: str
    parsed: bool
    fields: dict[str, str] = field(default_factory=dict)
    decoded: dict[str, str] = field(default_factory=dict)
    rules: int = 0
    tried: list[dict[str, Any]] = field(default_factory=list)


ASKED = (
    "source.ip", "source.address", "user.name", "http.request.method", "url.original", "url.path", "url.query", "url.domain",
    "http.response.status_code", "http.request.referrer", "user_agent.original", "http.request.cookie", "process.name", "message",
    "event.action", "event.outcome", "event.category", "shop.action", "pii.resident_id", "pii.card", "pii.mobile", "pii.email",
)  # fmt: skip


def explain(line: str, log_format: str, paths: Iterable[Path], only: str = "") -> Explanation:
    """What becomes of a line; `only` names one rule (id, name or title) to show even if it was no candidate."""
    import numpy as np

    from sentinel.detect.sigma.engine import LogEngine
    from sentinel.detect.sigma.read import read
    from sentinel.detect.sigma.values import View
    from sentinel.pipeline import cache_folder

    loaded = read(paths)
    columns = columns_of([line], log_format)
    view = View(columns)
    mask = columns.mask or bytes
    engine = LogEngine(loaded.rules, loaded.correlations, cache_folder())
    screen = engine.screen(columns.kind)
    made = Explanation(
        columns.kind, columns.parsed is None or bool(columns.parsed[0]), rules=len(screen.rules)
    )
    for name in ASKED:
        for form, store in (("", made.fields), ("|decoded", made.decoded)):
            column = columns.column(name + form)
            value = None if column is None else column.get(0)
            if value is not None:
                store[name] = mask(value).decode("utf-8", "replace")
    candidates = {number for number, _ in screen.candidates(view)}
    row = np.zeros(1, np.int64)
    for number, rule in enumerate(screen.rules):
        named = only and only in {rule.id, rule.name, rule.title}
        if not named and (only or number not in candidates):
            continue
        tests = list(_tests(rule.condition, view))
        matched = bool(_holds(rule.condition, view, row))
        if matched or named or any(test["holds"] for test in tests):
            made.tried.append({"rule": rule.title, "id": rule.id, "matched": matched, "tests": tests})
    return made


def _holds(node: Node, view: View, row: Any) -> bool:
    from sentinel.detect.sigma.evaluate import evaluate

    return bool(evaluate(node, view, row)[0])


def _tests(node: Node, view: View) -> Iterator[dict[str, Any]]:
    import numpy as np

    from sentinel.detect.sigma.tree import Not, Test

    if isinstance(node, Test):
        holds = _holds(node, view, np.zeros(1, np.int64))
        yield {"field": node.field or "the line", "test": str(node.predicate), "holds": holds}
    else:
        for child in (node.child,) if isinstance(node, Not) else node.children:
            yield from _tests(child, view)


@dataclass(slots=True)
class Backtest:
    """What rules would have raised on old logs."""

    lines: int = 0
    alerts: Counter[str] = field(default_factory=Counter)
    addresses: dict[str, set[str]] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)  # rule -> file:line of its first alert


def backtest(paths: Iterable[Path], logs: Iterable[Path], log_format: str = "auto") -> Backtest:
    from sentinel.capture.logfile import read_file
    from sentinel.pipeline import cache_folder, log_engine
    from sentinel.protocol.derive.attach import Derivation
    from sentinel.protocol.logs.parser import LogParser

    result = Backtest()
    engine, derivation = log_engine(paths, cache=cache_folder()), Derivation()
    for log in logs:
        parser = LogParser(log_format)
        for batch in read_file(log):
            result.lines += len(batch)
            for alert in engine.scan(derivation.attach(parser.parse(batch))):
                result.alerts[alert.signature] += 1
                result.addresses.setdefault(alert.signature, set()).add(alert.src_ip)
                where = alert.extra["log"]
                result.first.setdefault(alert.signature, f"{where['file']}:{where['line']}")
    return result
