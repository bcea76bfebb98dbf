"""Detection on one page: source -> parser -> columns -> engine -> alerts. Used by the daemon, the CLI and tests."""

from __future__ import annotations

import os
import select
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinel import metrics
from sentinel.capture.liveness import Liveness
from sentinel.errors import InvalidInputError, Problem, SentinelError
from sentinel.model import Alert

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sentinel.capture.checkpoint import Checkpoint
    from sentinel.capture.settings import LogFile
    from sentinel.config import LogsSettings, NetworkSettings
    from sentinel.detect.build import Built
    from sentinel.detect.costs import Cost
    from sentinel.detect.sigma.engine import LogEngine
    from sentinel.model import Batch, Packet
    from sentinel.outputs import Journal
    from sentinel.protocol.derive.attach import Derivation
    from sentinel.state import State

FANOUT_GROUP = 0x5E11  # ours among the host's packet sockets: the workers of one interface share it
POLL_MILLISECONDS = 200  # how soon a stop is noticed on an idle interface
RETIRE_SECONDS = 0.15  # the kernel hands over a half-filled block after this
EXPORT_SECONDS = 1.0
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
    from sentinel.protocol.settings import ProtocolSettings

    options = STOCK_OPTIONS | dict(overrides or {})
    engine = build(rules, DetectSettings().variables(), options, cache=cache_folder()).engine
    parser = FastParser(ProtocolSettings.model_validate({}), options, engine.screen)
    for batch in read(path, rows=BATCH_ROWS):
        for packet in parser.feed(batch):
            yield from engine.inspect(packet)
        progress(len(batch.data))
    for packet in parser.finish():
        yield from engine.inspect(packet)


class NetworkWatch:
    """Live interfaces -> alerts in the network journal. Rings are opened and privileges dropped when it is built.

    A reload builds the new rules beside the running ones and swaps between two batches: no packet is lost by it.
    Flows that are open then are judged by the new rules from their next packet on.
    """

    name = "network"

    def __init__(self, settings: NetworkSettings, emit: Callable[[list[Alert]], object]) -> None:
        from sentinel.capture.privileges import drop
        from sentinel.capture.ring import Ring
        from sentinel.capture.sockets import Owners
        from sentinel.protocol.fastpath import FastParser

        self._settings, self._emit = settings, emit
        self._built = self._build(settings, None)
        self._next: Built | None = None
        self._parser = FastParser(settings, STOCK_OPTIONS, self._built.engine.screen)
        self._rings = [
            Ring(
                interface,
                megabytes=settings.ring_megabytes,
                promiscuous=settings.promiscuous,
                filter_text=settings.bpf,
                fanout=FANOUT_GROUP if settings.workers > 1 else None,
            )
            for interface in settings.interfaces
        ]
        for interface in settings.interfaces:
            metrics.network_dropped.begin(interface=interface, reason="ring_full")
        drop()
        self._owners = Owners()
        self._alerts = 0

    def reload(self, settings: NetworkSettings) -> None:
        fixed = ("interfaces", "workers", "promiscuous", "bpf", "ring_megabytes")
        if any(getattr(settings, name) != getattr(self._settings, name) for name in fixed):
            raise SentinelError(
                f"network: a change of {', '.join(fixed)} needs a restart; rules and vars reload"
            )
        self._next = self._build(settings, self._built)
        self._settings = settings

    def status(self) -> dict[str, Any]:
        counters = [ring.counters for ring in self._rings]
        return {
            "packets": sum(counter.seen for counter in counters),
            "dropped": sum(counter.dropped for counter in counters),
            "alerts": self._alerts,
            "rules": len(self._built.engine.rules),
        }

    def run(self, stop: threading.Event) -> None:
        poller = select.poll()
        for ring in self._rings:
            poller.register(ring.socket, select.POLLIN | select.POLLERR)
        due = 0.0
        while not stop.is_set():
            if not self._take():
                poller.poll(POLL_MILLISECONDS)
            if time.monotonic() >= due:
                self._export()
                due = time.monotonic() + EXPORT_SECONDS
        time.sleep(RETIRE_SECONDS)
        while self._take():
            pass
        self._judge(self._parser.finish())
        self._export()

    def _take(self) -> bool:
        """One block of each ring; False when all were empty."""
        if self._next is not None:
            self._swap(self._next)
        batches = [batch for ring in self._rings if (batch := ring.take()) is not None]
        for batch in batches:
            self._judge(self._parser.feed(batch))
        return bool(batches)

    def _judge(self, packets: Iterator[Packet]) -> None:
        found: list[Alert] = []
        for packet in packets:
            for alert in self._built.engine.inspect(packet):
                owner = self._owners.find(
                    packet.proto, (packet.src, packet.sport), (packet.dst, packet.dport)
                )
                if owner is not None:
                    alert.extra["process"] = owner.to_eve()
                found.append(alert)
        if found:
            self._emit(found)
            self._alerts += len(found)

    def _swap(self, built: Built) -> None:
        """Bits and counters of flows stay; what the old rules had found in open transactions does not."""
        self._built, self._next = built, None
        self._parser.screen = built.engine.screen

    def _export(self) -> None:
        for ring in self._rings:
            ring.read_statistics()
        self._parser.export()

    def _build(self, settings: NetworkSettings, running: Built | None) -> Built:
        """The rules of the settings. Bad rules are logged and counted; a rule file that cannot be read is an error."""
        from sentinel.detect.build import build

        started = time.monotonic()
        memory = running.engine.memory if running else None
        built = build(settings.rules, settings.variables(), memory=memory, cache=cache_folder())
        _ = built.engine.screen  # made here, so that the swap takes no time
        metrics.rules_load_seconds.set(time.monotonic() - started, plane="network")
        if running is not None:
            metrics.rules_info.set(0, plane="network", hash=running.loaded.digest)
        metrics.rules_info.set(1, plane="network", hash=built.loaded.digest)
        return built


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

    options = dict(overrides or {})
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


def check_network_rules(rules: Iterable[str], variables: Mapping[str, str] | None = None) -> list[Problem]:
    from sentinel.detect.load import load
    from sentinel.detect.settings import DetectSettings

    loaded = load(rules, variables or DetectSettings().variables())
    return [failure.problem() for failure in loaded.failed]


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
    for batch in read_file(path, progress=progress):
        yield from engine.scan(derivation.attach(parser.parse(batch)))


def check_log_rules(rules: Iterable[str]) -> list[Problem]:
    from sentinel.detect.sigma.read import read

    return read(Path(path) for path in rules).problems


@dataclass(slots=True)
class _LogPlan:
    """What a configuration asks for; a reload makes a new one and swaps it."""

    settings: LogsSettings
    engine: LogEngine
    derivation: Derivation


class LogWatch:
    """Followed logs -> alerts in the log journal, every line evaluated once and every alert written once.

    A log that goes quiet, and a format that stops fitting, are alerts like any other.
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
            log = logs.get(batch.source)
            if log is None:
                metrics.log_lines_unparsed.begin(file=batch.source)
                log = logs[batch.source] = _Log(file)
            self._lines += len(batch)
            self._liveness.seen(batch.source, time.monotonic())
            checkpoint.commit(batch.source, batch.cookie, log.read(self._plan, batch))
            if stop.is_set() or plan is not self._plan:
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
    """One followed log: its parser and whether its format still fits."""

    def __init__(self, file: LogFile) -> None:
        from sentinel.protocol.logs.clock import zone_of
        from sentinel.protocol.logs.health import FormatHealth
        from sentinel.protocol.logs.parser import LogParser

        self._parser = LogParser(file.format, zone=zone_of(file.timezone))
        self._health = FormatHealth()

    def read(self, plan: _LogPlan, batch: Batch) -> list[Alert]:
        columns = self._parser.parse(batch)
        broken = self._health.observe(columns)
        alerts = plan.engine.scan(plan.derivation.attach(columns))
        if columns.parsed is not None and not columns.parsed.all():
            metrics.log_lines_unparsed.inc(int((~columns.parsed).sum()), file=batch.source)
        if broken:
            text = f"most lines no longer fit the format {columns.kind}"
            alerts.append(_own_alert("sentinel-log-format", text, batch.source))
        return alerts


def _own_alert(rule_id: str, text: str, source: str) -> Alert:
    """An alert about Sentinel's own sight, at the wall clock: there is no line whose time it could have."""
    return Alert(
        time.time_ns(), "log", rule_id, f"{source}: {text}", level="medium", severity=2, category="sentinel",
        extra={"log": {"file": source}},
    )  # fmt: skip
