"""Alert -> ban, by policy. The EVE journals are the bus: they are followed like any log, and bans are asked for here.

In: journals, an injected `ban(address, duration, reason, rule_id)` that keeps the firewall's own rules (never-ban,
observe, budget, escalation). Here it is decided which alerts ask for a ban at all: level, never-ban list, one request
for an address and rule a minute, and the blast radius: who else was lately seen behind that address. A read position
is stored after each batch; a ban asked for twice after a crash is the same ban, so at least once is enough.
"""

from __future__ import annotations

import enum
import ipaddress
import json
from collections import OrderedDict
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from sentinel import metrics
from sentinel.addresses import Address, OwnAddresses
from sentinel.capture.logfile import read_file
from sentinel.capture.settings import LogFile
from sentinel.capture.tail import Tail
from sentinel.respond.never import NeverBan

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Container, Iterable, Iterator, Sequence
    from pathlib import Path

    from sentinel.config import Config, ResponseSettings
    from sentinel.ledger import Ledger
    from sentinel.model import Batch, Columns
    from sentinel.protocol.derive.attach import Derivation
    from sentinel.respond.blast import BlastRadius, Seen
    from sentinel.respond.never import Resolver
    from sentinel.state import State

    Ban = Callable[[str, float | None, str, str], object]

LEVELS = ("informational", "low", "medium", "high", "critical")
REPEAT_SECONDS = 60  # of event time: an attack raises the same alert over and over
REMEMBERED = 10_000  # (address, rule) pairs whose last request is known
CHECKPOINT = "respond:"


class Outcome(enum.Enum):
    ASKED = "asked"  # for a ban; the firewall's own answer is in its ledger entry
    SPARED = "spared"  # too much innocent traffic behind that address
    NEVER = "never_ban"
    BELOW = "below_level"
    REPEATED = "repeated"
    NO_ADDRESS = "no_address"


@dataclass(frozen=True, slots=True)
class Decision:
    """What one alert leads to; `seen` is the traffic behind the address, where that was looked at."""

    outcome: Outcome
    address: str
    rule_id: str
    reason: str
    timestamp: str = ""
    seen: Seen | None = None


def _no_resolver(name: str) -> tuple[list[str], int]:
    raise OSError(f"{name}: no resolver")


class Responder:
    """A component. `decide` has no effect but memory, which makes the dry run the same code."""

    name = "respond"

    def __init__(
        self,
        settings: ResponseSettings,
        journals: Sequence[Path],
        state: State,
        ban: Ban,
        *,
        blast: BlastRadius | None = None,
        ledger: Ledger | None = None,
        own: Container[Address] | None = None,
        resolve: Resolver = _no_resolver,
    ) -> None:
        self._resolve = resolve
        self._journals = list(journals)
        self._state = state
        self._ban = ban
        self._blast = blast
        self._ledger = ledger
        self._own = (
            OwnAddresses() if own is None else own
        )  # an alert on our own answer names us as its source
        self._recent: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._counts = dict.fromkeys(Outcome, 0)
        self.reload(settings)

    def reload(self, settings: ResponseSettings) -> None:
        self._minimum = LEVELS.index(settings.minimum_level)
        self._never = NeverBan(settings.never_ban, self._resolve)

    def status(self) -> dict[str, Any]:
        return {outcome.value: count for outcome, count in self._counts.items()}

    def run(self, stop: threading.Event) -> None:
        paths = [str(path) for path in self._journals]
        positions = {path: self._state.checkpoint(CHECKPOINT + path) for path in paths}
        begun = frozenset(path for path in paths if self._state.checkpoint(CHECKPOINT + path) is not None)
        tail = Tail([LogFile(path=path, format="json") for path in paths], positions, begun)
        for path, position in tail.positions().items():
            self._state.save_checkpoint(CHECKPOINT + path, position.to_json())
        for _, batch in tail.batches(stop):
            for alert in alerts_of(batch):
                self._act(self.decide(alert))
            self._state.save_checkpoint(CHECKPOINT + batch.source, batch.cookie.to_json())

    def preview(self, paths: Iterable[Path]) -> Iterator[Decision]:
        """What the alerts of these journals would have led to; nothing is banned."""
        for path in paths:
            for batch in read_file(path):
                for alert in alerts_of(batch):
                    yield self.decide(alert)

    def decide(self, eve: dict[str, Any]) -> Decision:
        found = eve.get("alert")
        alert: dict[str, Any] = found if isinstance(found, dict) else {}
        rule_id = str(alert.get("rule_id") or alert.get("signature_id") or "")
        address, timestamp = str(eve.get("src_ip", "")), str(eve.get("timestamp", ""))

        def decision(outcome: Outcome, seen: Seen | None = None) -> Decision:
            return Decision(outcome, address, rule_id, str(alert.get("signature", "")), timestamp, seen)

        level = str(alert.get("level", "medium"))
        if level not in LEVELS or LEVELS.index(level) < self._minimum:
            return decision(Outcome.BELOW)
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return decision(Outcome.NO_ADDRESS)
        ip = getattr(ip, "ipv4_mapped", None) or ip
        address = str(ip)
        if ip.is_loopback or ip.is_unspecified or ip in self._own or self._never.covers(ip):
            return decision(Outcome.NEVER)
        if self._is_repeated(address, rule_id, _seconds(timestamp)):
            return decision(Outcome.REPEATED)
        seen = self._blast.behind(address) if self._blast is not None else None
        if seen is not None and seen.too_many:
            return decision(Outcome.SPARED, seen)
        return decision(Outcome.ASKED, seen)

    def _is_repeated(self, address: str, rule_id: str, now: float) -> bool:
        key = address, rule_id
        last = self._recent.get(key)
        if last is not None and abs(now - last) < REPEAT_SECONDS:
            return True
        self._recent[key] = now
        self._recent.move_to_end(key)
        if len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)
        return False

    def _act(self, decision: Decision) -> None:
        self._counts[decision.outcome] += 1
        metrics.response_decisions.inc(outcome=decision.outcome.value)
        if decision.outcome is Outcome.ASKED:
            self._ban(decision.address, None, decision.reason, decision.rule_id)
        elif decision.outcome is Outcome.SPARED and self._ledger is not None and decision.seen is not None:
            self._ledger.append(
                "respond.spared",
                decision.address,
                reason=decision.reason,
                rule_id=decision.rule_id,
                **decision.seen.figures(),
            )


def alerts_of(batch: Batch) -> Iterator[dict[str, Any]]:
    """EVE alerts among the lines of a journal; anything else is passed over."""
    for line in batch.rows():
        try:
            eve = json.loads(line)
        except ValueError:
            continue
        if isinstance(eve, dict) and eve.get("event_type") == "alert":
            yield eve


def _seconds(timestamp: str) -> float:
    from datetime import datetime

    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return 0.0


def build(
    config: Config, state: State, ledger: Ledger | None, ban: Ban, resolve: Resolver = _no_resolver
) -> Responder:
    """The responder of a configuration, over the journals of both detection planes."""
    from sentinel.respond.blast import BlastRadius

    logs = config.logs.files if config.logs is not None else []
    blast = BlastRadius(config.response.blast_radius, logs, _attach(config))
    return Responder(
        config.response, config.alert_journals, state, ban, blast=blast, ledger=ledger, resolve=resolve
    )


def _attach(config: Config) -> Callable[[Columns], Columns]:
    """Derived fields by the site's own shop vocabulary: what is an order differs from shop to shop.

    Loaded when an address is first looked at, which on most hosts is never. The key of personal data is not needed.
    """
    if config.logs is None:
        return lambda columns: columns
    settings = config.logs.model_copy(update={"personal_data_key_file": None})

    @cache
    def derivation() -> Derivation:
        from sentinel.protocol.derive.attach import Derivation

        return Derivation.of(settings)

    return lambda columns: derivation().attach(columns)
