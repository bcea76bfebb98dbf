"""Detection on one page: source -> parser -> columns -> engine -> alerts. Used by the daemon, the CLI and tests."""

from __future__ import annotations

import gc
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinel import metrics
from sentinel.capture.liveness import Liveness
from sentinel.errors import InvalidInputError, Problem
from sentinel.model import Alert

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sentinel.capture.checkpoint import Checkpoint
    from sentinel.capture.settings import LogFile
    from sentinel.config import LogsSettings
    from sentinel.detect.costs import Cost
    from sentinel.detect.settings import DetectSettings
    from sentinel.detect.sigma.blind import FieldWatch
    from sentinel.detect.sigma.engine import LogEngine
    from sentinel.model import Batch, Columns
    from sentinel.outputs import Journal
    from sentinel.protocol.derive.attach import Derivation
    from sentinel.state import State

MOST_NAMED = 10  # rules named in one alert about a field that never occurs
LIVENESS_SECONDS = 10.0  # how often silence is measured; the shortest silence that counts is minutes


# --- network ----------------------------------------------------------------------------------------------------


# Packets are often seen before the card fills checksums in; --set checksum-validation=auto looks at them.
STOCK_OPTIONS = {"checksum-validation": "none"}
BATCH_ROWS = 16_384  # enough for NumPy to pay, little enough to stay in a cache


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
    from sentinel.protocol.fastpath import FastParser
    from sentinel.protocol.session import held
    from sentinel.protocol.settings import ProtocolSettings

    options = STOCK_OPTIONS | dict(overrides or {})
    built = build(rules, DetectSettings().variables(), options, cache=cache_folder(), held=held)
    engine = built.engine
    parser = FastParser(ProtocolSettings.model_validate({}), options, engine.screen)
    for batch in read(path, rows=BATCH_ROWS):
        for packet in parser.feed(batch):
            yield from engine.inspect(packet)
        progress(len(batch.data))
    for packet in parser.finish():
        yield from engine.inspect(packet)
    built.sets.save()


def profile_network(
    path: Path, rules: Iterable[Path], overrides: Mapping[str, str] | None = None
) -> list[Cost]:
    """What each rule cost on a capture file, the dearest first."""
    from sentinel.capture.pcap import read
    from sentinel.detect.build import build
    from sentinel.detect.costs import Costs
    from sentinel.detect.settings import DetectSettings
    from sentinel.protocol.network import NetworkParser
    from sentinel.protocol.settings import ProtocolSettings

    options = STOCK_OPTIONS | dict(overrides or {})
    engine = build(rules, DetectSettings().variables(), options, cache=cache_folder()).engine
    costs = Costs()
    engine.measure(costs)
    parser = NetworkParser(ProtocolSettings.model_validate({}), options)
    for batch in read(path):
        for packet in parser.feed(batch):
            engine.inspect(packet)
    for packet in parser.finish():
        engine.inspect(packet)
    return costs.report(engine.rules)


def check_network_rules(settings: DetectSettings) -> list[Problem]:
    """What is wrong with the rules, and with the files that they and the settings name."""
    from sentinel.detect.build import filters_of, vet
    from sentinel.detect.load import load

    variables, options = settings.variables(), settings.suricata_options()
    loaded = load(settings.rules, variables)
    vet(loaded, options)
    _, problems = filters_of(options, variables)
    return [*(failure.problem() for failure in loaded.failed), *problems]


def cache_folder() -> Path:
    """Compiled rules: systemd's CacheDirectory, else the user's cache."""
    given = os.environ.get("CACHE_DIRECTORY")
    return (
        Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "sentinel"
    )


# --- logs -------------------------------------------------------------------------------------------------------


def log_engine(
    rules: Iterable[Path], *, cache: Path | None = None, placeholders: Mapping[str, list[str]] | None = None
) -> LogEngine:
    """The Sigma rules of these files and folders; every problem at once."""
    from sentinel.detect.sigma.engine import LogEngine
    from sentinel.detect.sigma.read import read

    loaded = read(rules, placeholders)
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
    engine = log_engine(rules, cache=cache_folder())
    derivation = Derivation()
    gc.freeze()  # the rules stay as they are: no collection of garbage need look at them again
    for batch in read_file(path, progress=progress):
        yield from engine.scan(derivation.attach(parser.parse(batch)))


def check_log_rules(
    rules: Iterable[str], placeholders: Mapping[str, list[str]] | None = None
) -> list[Problem]:
    from sentinel.detect.sigma.read import read

    return read(map(Path, rules), placeholders).problems


@dataclass(slots=True)
class _LogPlan:
    """What a configuration asks for; a reload makes a new one and swaps it."""

    settings: LogsSettings
    engine: LogEngine
    derivation: Derivation


class LogWatch:
    """Followed logs -> alerts in the log journal, every line evaluated once and every alert written once.

    A log that goes quiet, a format that stops fitting, and a field that rules need and that never occurs, are alerts
    like any other.
    """

    name = "logs"

    def __init__(self, settings: LogsSettings, state: State, journal: Journal) -> None:
        self._state = state
        self._journal = journal
        self._plan = self._build(settings)
        self._liveness = Liveness()
        self._lines = 0
        self._followed: list[str] = []
        self._checked = 0.0

    def reload(self, settings: LogsSettings) -> None:
        self._plan = self._build(
            settings
        )  # rules count from the next batch on, files as soon as it is handled

    def status(self) -> dict[str, Any]:
        return {"lines": self._lines, "files": self._followed, "rules": len(self._plan.engine.rules)}

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._follow(self._plan, stop)

    def _build(self, settings: LogsSettings) -> _LogPlan:
        from sentinel.protocol.derive.attach import Derivation

        started = time.monotonic()
        engine = log_engine(
            map(Path, settings.rules), cache=cache_folder(), placeholders=settings.placeholders
        )
        for file in settings.files:  # compiled now: READY means that the first line is judged at once
            if file.format != "auto":
                engine.screen(file.format)
        metrics.rules_loaded.set(len(engine.rules), plane="logs")
        metrics.rules_failed.set(
            0, plane="logs"
        )  # one bad log rule stops the load: the old rules stay in force
        metrics.rules_load_seconds.set(time.monotonic() - started, plane="logs")
        return _LogPlan(settings, engine, Derivation.of(settings))

    def _follow(self, plan: _LogPlan, stop: threading.Event) -> None:
        """Until `stop`, or until a reload made another plan."""
        from sentinel.capture.checkpoint import Checkpoint
        from sentinel.capture.tail import Tail

        checkpoint = Checkpoint(self._state, self._journal)
        positions, begun = checkpoint.resume()
        tail = Tail(plan.settings.files, positions, begun)
        checkpoint.begin(tail)
        correlator = plan.engine.correlator
        correlator.restore(checkpoint.memory(), checkpoint.secret())
        checkpoint.forget_memory(correlator.names)
        logs: dict[str, _Log] = {}
        turn = threading.Event()

        def idle() -> None:
            self._followed = list(tail.positions())
            if self._journal.rotate():
                checkpoint.note([])
            self._look_alive(checkpoint, plan)
            if stop.is_set() or plan is not self._plan:
                turn.set()

        for file, batch in tail.batches(turn, idle):
            if plan is not self._plan:
                break  # the new rules read it, with the windows as they were committed
            log = logs.get(batch.source)
            if log is None:
                metrics.log_lines_unparsed.begin(file=batch.source)
                log = logs[batch.source] = _Log(file)
            self._lines += len(batch)
            self._liveness.seen(batch.source, time.monotonic())
            alerts = log.read(plan, batch)
            checkpoint.commit(batch.source, batch.cookie, alerts, correlator.changes)
            if stop.is_set():
                turn.set()

    def _look_alive(self, checkpoint: Checkpoint, plan: _LogPlan) -> None:
        now = time.monotonic()
        if now - self._checked < LIVENESS_SECONDS:
            return
        self._checked = now
        for source in self._followed:
            self._liveness.watch(source, now)
        self._liveness.forget(set(self._followed))
        for change in self._liveness.check(now):
            if change.quiet:
                text = f"no line for {change.seconds:.0f} s, usual is at most {change.limit:.0f} s"
                checkpoint.note([_own_alert("sentinel-log-quiet", f"log went quiet: {text}", change.source)])


class _Log:
    """One followed log: its parser, whether its format still fits, whether it has the fields that rules ask for."""

    def __init__(self, file: LogFile) -> None:
        from sentinel.protocol.logs.clock import zone_of
        from sentinel.protocol.logs.health import FormatHealth
        from sentinel.protocol.logs.parser import LogParser

        self._parser = LogParser(file.format, zone=zone_of(file.timezone))
        self._health = FormatHealth()
        self._fields: FieldWatch | None = None

    def read(self, plan: _LogPlan, batch: Batch) -> list[Alert]:
        columns = self._parser.parse(batch)
        broken = self._health.observe(columns)
        alerts = plan.engine.scan(plan.derivation.attach(columns))
        alerts += self._blind(plan, columns)
        if columns.parsed is not None and not columns.parsed.all():
            metrics.log_lines_unparsed.inc(int((~columns.parsed).sum()), file=batch.source)
        if broken:
            text = f"most lines no longer fit the format {columns.kind}"
            alerts.append(_own_alert("sentinel-log-format", text, batch.source))
        return alerts

    def _blind(self, plan: _LogPlan, columns: Columns) -> list[Alert]:
        from sentinel.detect.sigma.blind import FieldWatch

        if self._fields is None:
            self._fields = FieldWatch.of(plan.engine.screen(columns.kind).rules, columns.kind)
        if not self._fields.observe(columns):
            return []
        blind = self._fields.blind
        metrics.log_rules_blind.set(len(blind), file=columns.source)
        if not blind:
            return []
        names = sorted({name for missing in blind.values() for name in missing})
        text = f"{len(blind)} rules cannot match, since {', '.join(names)} never occurs: {', '.join(sorted(blind)[:MOST_NAMED])}"
        return [_own_alert("sentinel-log-blind", text, columns.source)]


def _own_alert(rule_id: str, text: str, source: str) -> Alert:
    """An alert about Sentinel's own sight, at the wall clock: there is no line whose time it could have."""
    return Alert(
        time.time_ns(), "log", rule_id, f"{source}: {text}", level="medium", severity=2, category="sentinel",
        extra={"log": {"file": source}},
    )  # fmt: skip
