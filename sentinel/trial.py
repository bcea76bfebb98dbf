"""Sigma rules tried on lines: their own examples, and old logs replayed for a new rule.

In: rule files and lines or logs. Out: problems, counts. The same parser, derivation and engine as live.
Example lines may be whole lines of a format or, shorter, `request` ("GET /x?y") and `requests` ("POST /x 401", one
request a line, a second apart; `STATUS/BYTES` where the size matters). A line `12 x LINE` stands for twelve, `{n}` in it
for the number of each, `{nn}` for its last two digits.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sentinel.errors import Problem
from sentinel.model import Batch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from sentinel.detect.sigma.engine import LogEngine
    from sentinel.detect.sigma.read import Examples
    from sentinel.detect.sigma.tree import Heading
    from sentinel.model import Columns
    from sentinel.protocol.derive.attach import Derivation

REQUEST = '198.51.100.7 - - [02/Mar/2026:10:{minute:02d}:{second:02d} +0000] "{request} HTTP/1.1" {status} {size} "-" "Mozilla/5.0 (X11; Linux x86_64)"'


REPEATED = re.compile(r"\s*(\d{1,4}) x (.*)")


def batch_of(lines: Iterable[str], source: str = "example") -> Batch:
    import numpy as np

    rows = [line.encode("utf-8", "surrogateescape") + b"\n" for line in lines]
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    return Batch(b"".join(rows), offsets, source)


def columns_of(lines: Iterable[str], log_format: str, derivation: Derivation | None = None) -> Columns:
    from sentinel.protocol.derive.attach import Derivation
    from sentinel.protocol.logs.parser import LogParser

    return (derivation or Derivation()).attach(LogParser(log_format).parse(batch_of(lines)))


def _lines(example: str, log_format: str) -> tuple[list[str], str]:
    """Lines of a real format for one example."""
    texts = [line for text in example.rstrip("\n").split("\n") for line in _repeated(text)]
    if log_format == "request":
        texts = [f"{texts[0]} 200"]
    elif log_format != "requests":
        return texts, log_format
    return [_request(number, text) for number, text in enumerate(texts)], "nginx-access"


def _repeated(text: str) -> Iterator[str]:
    found = REPEATED.fullmatch(text)
    if found is None:
        yield text
        return
    for number in range(int(found[1])):
        yield found[2].replace("{n}", str(number)).replace("{nn}", f"{number % 60:02d}")


def _request(number: int, text: str) -> str:
    request, _, answer = text.strip().rpartition(" ")
    status, _, size = answer.partition("/")
    minute, second = divmod(number, 60)
    return REQUEST.format(minute=minute, second=second, request=request, status=status, size=size or 512)


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
class Backtest:
    """What rules would have raised on old logs."""

    lines: int = 0
    alerts: Counter[str] = field(default_factory=Counter)
    addresses: dict[str, set[str]] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)  # rule -> file:line of its first alert
    last: dict[str, str] = field(default_factory=dict)


def backtest(
    paths: Iterable[Path],
    logs: Iterable[Path],
    log_format: str = "auto",
    *,
    derivation: Derivation | None = None,
    placeholders: Mapping[str, list[str]] | None = None,
) -> Backtest:
    from sentinel.capture.logfile import read_file
    from sentinel.pipeline import cache_folder, log_engine
    from sentinel.protocol.derive.attach import Derivation
    from sentinel.protocol.logs.parser import LogParser

    result = Backtest()
    engine = log_engine(paths, cache=cache_folder(), placeholders=placeholders)
    derivation = derivation or Derivation()
    for log in logs:
        parser = LogParser(log_format)
        for batch in read_file(log):
            result.lines += len(batch)
            for alert in engine.scan(derivation.attach(parser.parse(batch))):
                result.alerts[alert.signature] += 1
                result.addresses.setdefault(alert.signature, set()).add(alert.src_ip)
                where = alert.extra["log"]
                result.last[alert.signature] = f"{where['file']}:{where['line']}"
                result.first.setdefault(alert.signature, result.last[alert.signature])
    return result
