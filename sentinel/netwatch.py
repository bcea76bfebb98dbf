"""The network plane while it runs: interfaces -> rings -> parser -> engine -> alerts, with a reload between two batches."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, Any

from sentinel import metrics
from sentinel.errors import SentinelError
from sentinel.pipeline import STOCK_OPTIONS, cache_folder

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from sentinel.config import NetworkSettings
    from sentinel.detect.build import Built
    from sentinel.model import Alert, Packet

FANOUT_GROUP = 0x5E11  # ours among the host's packet sockets: the workers of one interface share it
POLL_MILLISECONDS = 200  # how soon a stop is noticed on an idle interface
RETIRE_SECONDS = 0.15  # the kernel hands over a half-filled block after this
EXPORT_SECONDS = 1.0


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
