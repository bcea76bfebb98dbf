"""Detection on one page: source -> parser -> columns -> engine -> alerts. Used by the daemon, the CLI and tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sentinel.errors import InvalidInputError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sentinel.detect.sigma.engine import LogEngine
    from sentinel.model import Alert


# --- logs -------------------------------------------------------------------------------------------------------


def log_engine(rules: Iterable[Path], *, cache: Path | None = None) -> LogEngine:
    """The Sigma rules of these files and folders; every problem at once."""
    from sentinel.detect.sigma.engine import LogEngine
    from sentinel.detect.sigma.read import read

    loaded = read(rules)
    if loaded.problems:
        raise InvalidInputError(loaded.problems)
    return LogEngine(loaded.rules, loaded.correlations, cache)


def replay_logs(
    path: Path,
    rules: Iterable[Path],
    log_format: str = "auto",
    progress: Callable[[int], None] = lambda _: None,
) -> Iterator[Alert]:
    """Alerts of a whole log file, in the order of its lines."""
    from sentinel.capture.logfile import read_file
    from sentinel.protocol.derive.attach import Derivation
    from sentinel.protocol.logs.parser import LogParser

    parser = LogParser(log_format)
    engine = log_engine(rules)
    derivation = Derivation()
    for batch in read_file(path, progress=progress):
        yield from engine.scan(derivation.attach(parser.parse(batch)))


def check_log_rules(rules: Iterable[str]) -> list[Problem]:
    from sentinel.detect.sigma.read import read

    return read(Path(path) for path in rules).problems
