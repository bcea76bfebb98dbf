"""The network plane while it runs: interfaces -> rings -> parser -> engine -> alerts, with a reload between two batches.

`python -m sentinel.netwatch` fills the rule cache for settings given on stdin: a reload lets a process of its own do the
slow part, so that the one that reads packets is not held up, and then takes the finished rules from the cache.
"""

from __future__ import annotations

import logging
import select
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from sentinel import metrics, process
from sentinel.capture.backlog import Backlog
from sentinel.capture.ring import BLOCK_BYTES, DROP_REASONS, JOINED_BLOCKS, Ring
from sentinel.errors import ProgramError, SentinelError
from sentinel.pipeline import STOCK_OPTIONS, cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sentinel.config import NetworkSettings
    from sentinel.detect.build import Built
    from sentinel.model import Alert, Packet
    from sentinel.outputs import Journal
    from sentinel.protocol.settings import ProtocolSettings

FANOUT_GROUP = (
    0x5E11  # ours among the host's packet sockets, plus the interface's number: a group has one interface
)
POLL_MILLISECONDS = 200  # how soon a stop is noticed on an idle interface
GATHER_SECONDS = (
    0.05  # a batch costs much the same however few packets are in it: what does not fill one is waited for
)
RETIRE_SECONDS = 0.15  # the kernel hands over a half-filled block after this
EXPORT_SECONDS = 1.0
SERVE_SECONDS = (
    0.05  # how often rings are emptied, figures exported and signs of life given while a batch is judged
)
SLOW_SECONDS = 0.2  # batches that take longer to judge get smaller, those that take much less get larger
SAVE_SECONDS = 60.0  # how much a data set may lose to a power failure
DRAIN_SECONDS = 10.0
COMPILE_SECONDS = 300.0
FIXED = ("interfaces", "workers", "promiscuous", "bpf", "ring_megabytes")

log = logging.getLogger("sentinel.network")


class NetworkWatch:
    """Live interfaces -> alerts in the network journal. Rings are opened and privileges dropped when it is built.

    A reload builds the new rules beside the running ones and swaps between two batches: no packet is lost by it.
    Flows that are open then are judged by the new rules from their next packet on.
    """

    name = "network"

    def __init__(self, settings: NetworkSettings, journal: Journal, data: Path, worker: int = 0) -> None:
        from sentinel.capture.privileges import drop
        from sentinel.capture.sockets import Owners
        from sentinel.protocol.fastpath import FastParser

        self._settings, self._journal, self._data = settings, journal, data
        self._built = self._build(settings, None)
        self._next: Built | None = None
        self._parser = FastParser(share(settings), _options(settings), self._built.engine.screen)
        self._rings = _open_rings(settings, worker)
        self._backlog = Backlog(self._rings, settings.ring_megabytes << 20)
        drop()
        self._owners = Owners()
        self._alerts = 0
        self._blocks = 1
        self._stop = threading.Event()
        self._served = self._due = 0.0
        self._losses = 0
        self._short = False  # the last batch was less than was asked for
        self._saved = time.monotonic()

    def reload(self, settings: NetworkSettings) -> None:
        if any(getattr(settings, name) != getattr(self._settings, name) for name in FIXED):
            raise SentinelError(
                f"network: a change of {', '.join(FIXED)} needs a restart; rules and vars reload"
            )
        _compile_aside(settings)
        self._next = self._build(settings, self._built)
        self._settings = settings

    def status(self) -> dict[str, Any]:
        counters = [ring.counters for ring in self._rings]
        return {
            "packets": sum(counter.seen for counter in counters),
            "dropped": sum(counter.dropped + counter.lost for counter in counters),
            "alerts": self._alerts,
            "rules": len(self._built.engine.rules),
        }

    def run(self, stop: threading.Event) -> None:
        poller = select.poll()
        for ring in self._rings:
            poller.register(ring.socket, select.POLLIN | select.POLLERR)
        self._stop = stop
        while not stop.is_set():
            if not self._take():
                poller.poll(POLL_MILLISECONDS)
            elif self._short:
                stop.wait(GATHER_SECONDS)
            self._export_if_due()
        self._drain()

    def _drain(self) -> None:
        """What the rings hold now; under load they never get empty."""
        time.sleep(RETIRE_SECONDS)
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._take() and time.monotonic() < deadline:
            pass
        self._judge(self._parser.finish())
        self._saved = 0.0
        self._export()

    def _take(self) -> bool:
        """One batch; False when there is none."""
        if self._next is not None:
            self._swap(self._next)
        found = self._backlog.take(self._blocks)
        if found is None:
            return False
        ring, batch = found
        losses = sum(ring.counters.dropped + ring.counters.lost for ring in self._rings)
        if losses != self._losses and batch.times is not None:
            self._losses = losses
            self._parser.lost(int(batch.times[-1]))
        self._short = len(batch.data) < self._blocks * BLOCK_BYTES // 2
        self._served = time.monotonic()
        started = time.thread_time()  # not of the clock: on a busy host small batches would make it worse
        self._judge(self._parser.feed(batch), ring.interface)
        self._blocks = adapted(self._blocks, time.thread_time() - started)
        return True

    def _judge(self, packets: Iterator[Packet], interface: str = "") -> None:
        found: list[Alert] = []
        for packet in packets:
            for alert in self._built.engine.inspect(packet):
                owner = self._owners.find(
                    packet.proto, (packet.src, packet.sport), (packet.dst, packet.dport)
                )
                if owner is not None:
                    alert.extra["process"] = owner.to_eve()
                if interface:
                    alert.extra["in_iface"] = interface
                found.append(alert)
            if time.monotonic() - self._served >= SERVE_SECONDS:
                self._serve()
        if found:
            self._journal.append(found)
            self._alerts += len(found)

    def _serve(self) -> None:
        """Between two packets of a batch that takes long: nothing else may wait for its end."""
        self._backlog.serve(self._blocks)
        self._stop.is_set()  # looked at to be seen alive (see heartbeat); what is begun is judged to its end
        self._export_if_due()
        self._served = time.monotonic()

    def _swap(self, built: Built) -> None:
        """Bits and counters of flows stay; what the old rules had found in open transactions does not."""
        old, self._built, self._next = self._built, built, None
        built.enforce()
        self._parser.screen = built.engine.screen
        metrics.rules_info.set(0, plane="network", hash=old.loaded.digest)
        metrics.rules_info.set(1, plane="network", hash=built.loaded.digest)
        old.engine.retire()
        log.info("new rules are in force", extra={"rules": len(built.engine.rules)})

    def _export_if_due(self) -> None:
        if time.monotonic() >= self._due:
            self._export()
            self._due = time.monotonic() + EXPORT_SECONDS

    def _export(self) -> None:
        for ring in self._rings:
            ring.read_statistics()
        self._parser.export()
        self._journal.rotate()
        if time.monotonic() - self._saved >= SAVE_SECONDS:
            self._built.sets.save()
            self._saved = time.monotonic()

    def _build(self, settings: NetworkSettings, running: Built | None) -> Built:
        """The rules of the settings. Bad rules are logged and counted; a rule file that cannot be read is an error."""
        from sentinel.detect.build import build
        from sentinel.protocol.session import held

        started = time.monotonic()
        built = build(
            settings.rules,
            settings.variables(),
            _options(settings) | {"default-data-dir": str(self._data)},
            memory=running.engine.memory if running else None,
            cache=cache_folder(),
            held=held,
        )
        _ = built.engine.screen  # made here, so that the swap takes no time
        metrics.rules_load_seconds.set(time.monotonic() - started, plane="network")
        if running is None:
            metrics.rules_info.set(1, plane="network", hash=built.loaded.digest)
        return built


def adapted(blocks: int, seconds: float) -> int:
    """How many blocks to take next, when so many took so long."""
    if seconds > SLOW_SECONDS:
        return max(1, blocks // 4)
    return min(JOINED_BLOCKS, blocks * 2) if seconds < SLOW_SECONDS / 4 else blocks


def _options(settings: NetworkSettings) -> dict[str, str]:
    return STOCK_OPTIONS | settings.suricata_options()


def share(settings: NetworkSettings) -> ProtocolSettings:
    """A worker's part of the bounds: what sentinel.yml allows is for all of them."""
    from sentinel.protocol.settings import ProtocolSettings

    names = ProtocolSettings.model_fields
    return ProtocolSettings.model_construct(
        **{name: max(1, getattr(settings, name) // settings.workers) for name in names}
    )


def _open_rings(settings: NetworkSettings, worker: int) -> list[Ring]:
    import socket

    rings = []
    for interface in settings.interfaces:
        ring = Ring(
            interface,
            megabytes=settings.ring_megabytes,
            promiscuous=settings.promiscuous,
            filter_text=settings.bpf,
            fanout=FANOUT_GROUP + socket.if_nametoindex(interface) if settings.workers > 1 else None,
            counts_losses=worker <= 1,
        )
        rings.append(ring)
        for reason in DROP_REASONS:
            metrics.network_dropped.begin(interface=interface, reason=reason)
    return rings


def _compile_aside(settings: NetworkSettings) -> None:
    """A failure here costs time, nothing else: the rules are then built in this process."""
    try:
        process.run(
            [sys.executable, "-m", "sentinel.netwatch"],
            stdin=settings.model_dump_json().encode(),
            timeout_seconds=COMPILE_SECONDS,
        )
    except ProgramError as error:
        log.warning("rules were not compiled aside: %s", error)


def _fill_cache(text: str) -> None:
    from sentinel.config import NetworkSettings
    from sentinel.detect.build import build

    settings = NetworkSettings.model_validate_json(text)
    built = build(settings.rules, settings.variables(), _options(settings), cache=cache_folder())
    _ = built.engine.screen


if __name__ == "__main__":
    _fill_cache(sys.stdin.read())
