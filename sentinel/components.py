"""The components a daemon can run, each the seam between sentinel.yml and one plane.

A component has `run(stop)`, which blocks until `stop` is set, `reload(config)`, which builds everything new and then
swaps (on error it raises and the old stays), and `status()`, a few figures for `sentinel status`. Planes are imported
when their component is built: a process pays for what it runs.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from sentinel import figures, metrics
from sentinel.alert_exceptions import Exceptions
from sentinel.errors import SentinelError
from sentinel.ledger import Ledger
from sentinel.outputs import Journal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sentinel.config import Config
    from sentinel.state import State


class Component(Protocol):
    def run(self, stop: threading.Event) -> None: ...
    def reload(self, config: Config) -> None: ...
    def status(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Context:
    """What a component is built from; `path` is the configuration file, for commands that playbooks start."""

    config: Config
    path: Path
    state: State
    ledger: Ledger


def _journal(config: Config, plane: str) -> Journal:
    return Journal(
        config.journals / f"{plane}.jsonl", host=config.host, exceptions=Exceptions(config.exceptions)
    )


class Network:
    """Live capture and Suricata rules -> the network journal. One of several workers has a number and a journal of its own."""

    def __init__(self, context: Context, worker: int = 0) -> None:
        from sentinel.netwatch import NetworkWatch

        config = context.config
        assert config.network is not None
        self.journal = _journal(config, f"network-{worker}" if worker else "network")
        self.watch = NetworkWatch(config.network, self.journal, data=config.state / "datasets", worker=worker)

    def run(self, stop: threading.Event) -> None:
        self.watch.run(stop)

    def reload(self, config: Config) -> None:
        assert config.network is not None
        self.watch.reload(config.network)
        self.journal.exceptions = Exceptions(config.exceptions)

    def status(self) -> dict[str, Any]:
        self.journal.exceptions.report(time.time_ns())
        return self.watch.status()


class NetworkWorkers:
    """`network.workers` processes that share the flows of each interface (PACKET_FANOUT), kept alive together."""

    def __init__(self, context: Context) -> None:
        from sentinel.supervise import Family

        assert context.config.network is not None
        self.workers = context.config.network.workers
        self.state = context.state
        with self.state.write() as connection:
            connection.execute("DELETE FROM component WHERE name LIKE 'network-%'")
        self.family = Family(
            {
                f"network-{number}": [
                    "run",
                    "network",
                    "--worker",
                    str(number),
                    "--config",
                    str(context.path),
                ]
                for number in range(1, self.workers + 1)
            }
        )
        while not self.family.ready:
            self.family.look_after(0.1)
            if any(child.failures for child in self.family.children):
                self.family.stop()
                raise SentinelError("network: a worker could not start, see its message above")

    def run(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                self.family.look_after(0.2)
        finally:
            self.family.stop()

    def reload(self, config: Config) -> None:
        """Each worker builds the new rules beside its own and says in its metrics how that went."""
        assert config.network is not None
        if config.network.workers != self.workers:
            raise SentinelError("network: a change of workers needs a restart")
        self.family.reload()

    def status(self) -> dict[str, Any]:
        rows = self.state.read("SELECT state, detail FROM component WHERE name LIKE 'network-%'")
        details = [json.loads(row["detail"]) for row in rows]
        sums = {
            key: sum(detail.get(key, 0) for detail in details) for key in ("packets", "dropped", "alerts")
        }
        return {"workers": sum(row["state"] == "running" for row in rows), **sums}


def network(context: Context) -> Component:
    settings = context.config.network
    assert settings is not None
    metrics.forget_gauges(context.config.state / "metrics", "network")
    return NetworkWorkers(context) if settings.workers > 1 else Network(context)


class Logs:
    """Followed logs and Sigma rules -> the log journal, every line exactly once."""

    def __init__(self, context: Context) -> None:
        from sentinel.pipeline import LogWatch

        config = context.config
        assert config.logs is not None
        self.journal = _journal(config, "logs")
        self.watch = LogWatch(config.logs, context.state, self.journal)

    def run(self, stop: threading.Event) -> None:
        self.watch.run(stop)

    def reload(self, config: Config) -> None:
        assert config.logs is not None
        self.watch.reload(config.logs)
        self.journal.exceptions = Exceptions(config.exceptions)

    def status(self) -> dict[str, Any]:
        self.journal.exceptions.report(time.time_ns())
        return self.watch.status()


class Firewall:
    """The policy, its drift watch, and the responder: the parts that need CAP_NET_ADMIN share one process."""

    def __init__(self, context: Context) -> None:
        from sentinel.firewall import names
        from sentinel.firewall.bans import Bans
        from sentinel.firewall.component import FirewallComponent
        from sentinel.respond import responder

        config = context.config
        assert config.firewall is not None
        bans = Bans(context.state, context.ledger, config.response.bans)
        self.keeper = FirewallComponent(config.firewall, context.state, context.ledger)
        self.responder = responder.build(
            config, context.state, context.ledger, bans.add, names.dns(config.firewall.resolver)
        )

    def run(self, stop: threading.Event) -> None:
        """The keeper here, the responder in a thread; when one of them fails both end, and supervision starts anew."""
        failures: list[BaseException] = []

        def respond() -> None:
            try:
                self.responder.run(stop)
            except BaseException as error:  # noqa: BLE001 - raised again below, in the component's own thread
                failures.append(error)
                stop.set()

        thread = threading.Thread(target=respond, name="respond")
        thread.start()
        try:
            self.keeper.run(stop)
        finally:
            stop.set()
            thread.join()
        if failures:
            raise failures[0]

    def reload(self, config: Config) -> None:
        assert config.firewall is not None
        self.keeper.reload(config.firewall)
        self.responder.reload(config.response)

    def status(self) -> dict[str, Any]:
        return {**self.keeper.status(), **self.responder.status()}


class Backup:
    """Scheduled jobs and drills."""

    def __init__(self, context: Context) -> None:
        from sentinel.backup.component import BackupComponent
        from sentinel.playbook.runner import Runner

        settings = context.config.backup
        assert settings is not None
        runner = Runner(config=context.path, settings=settings, state=context.state, ledger=context.ledger)
        self.jobs = BackupComponent(settings, context.state, context.ledger, run_playbook=runner.in_sandbox)

    def run(self, stop: threading.Event) -> None:
        self.jobs.run(stop)

    def reload(self, config: Config) -> None:
        assert config.backup is not None
        self.jobs.reload(config.backup)

    def status(self) -> dict[str, Any]:
        return self.jobs.status()


class Webhook:
    """Alerts of both journals to Alertmanager."""

    def __init__(self, context: Context) -> None:
        from sentinel.webhook import component

        config = context.config
        assert config.webhook is not None
        self.sender = component.Webhook(config.webhook, config.alert_journals, context.state)

    def run(self, stop: threading.Event) -> None:
        self.sender.run(stop)

    def reload(self, config: Config) -> None:
        assert config.webhook is not None
        self.sender.reload(config.webhook)

    def status(self) -> dict[str, Any]:
        return self.sender.status()


class Metrics:
    """One endpoint over all components. A reload serves the new address and certificates."""

    def __init__(self, context: Context) -> None:
        self.config = context.config
        self.state = context.state
        self._server = self._serve(context.config)

    def run(self, stop: threading.Event) -> None:
        stop.wait()
        self._server.close()

    def reload(self, config: Config) -> None:
        self._server.close()
        try:
            self._server = self._serve(config)
        except Exception:
            self._server = self._serve(self.config)
            raise
        self.config = config

    def status(self) -> dict[str, Any]:
        return {"port": self._server.port}

    def _serve(self, config: Config) -> metrics.Server:
        assert config.metrics is not None
        address, _, port = config.metrics.listen.rpartition(":")
        tls = config.metrics.tls
        return metrics.serve(
            config.state / "metrics",
            address.strip("[]"),
            int(port),
            figures=lambda: figures.read(self.state, Ledger(config.state)),
            certificate=tls.certificate if tls else None,
            key=tls.key if tls else None,
            client_ca=tls.client_ca if tls else None,
        )


BUILDERS: dict[str, Callable[[Context], Component]] = {
    "network": network,
    "logs": Logs,
    "firewall": Firewall,
    "backup": Backup,
    "metrics": Metrics,
    "webhook": Webhook,
}
