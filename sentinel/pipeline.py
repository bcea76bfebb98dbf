"""Detection on one page: source -> parser -> columns -> engine -> alerts. Used by the daemon, the CLI and tests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel.errors import InvalidInputError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sentinel.detect.sigma.engine import LogEngine
    from sentinel.model import Alert


# --- network ----------------------------------------------------------------------------------------------------


def replay_network(
    path: Path,
    rules: Iterable[Path],
    overrides: Mapping[str, str] | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Iterator[Alert]:
    """Alerts of a whole capture file, in the order of its packets. `overrides` are Suricata's configuration names."""
    from sentinel.capture.pcap import read
    from sentinel.detect.build import build
    from sentinel.detect.settings import DetectSettings
    from sentinel.protocol.network import NetworkParser
    from sentinel.protocol.settings import ProtocolSettings

    options = dict(overrides or {})
    engine = build(rules, DetectSettings().variables(), options, cache=cache_folder()).engine
    parser = NetworkParser(ProtocolSettings(), options)
    for batch in read(path):
        for packet in parser.feed(batch):
            yield from engine.inspect(packet)
        progress(len(batch.data))
    for packet in parser.finish():
        yield from engine.inspect(packet)


def check_network_rules(rules: Iterable[str], variables: Mapping[str, str] | None = None) -> list[Problem]:
    from sentinel.detect.load import load
    from sentinel.detect.settings import DetectSettings

    loaded = load(rules, variables or DetectSettings().variables())
    return [failure.problem() for failure in loaded.failed]


def cache_folder() -> Path:
    """Compiled rules: systemd's CacheDirectory, else the user's cache."""
    given = os.environ.get("CACHE_DIRECTORY")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "sentinel"


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
