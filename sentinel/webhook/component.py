"""The component: follows the EVE journals and posts what is new to the receiver.

The journal is the queue: it survives a crash, the position after each batch is stored once that batch was delivered
or given up, so an alert is sent at least once. What is held in memory is one batch and the identities sent lately, both
bounded. An attack raises the same alert over and over: one identity is sent once in `repeat` seconds, with how often
it was seen. Alerts given up (receiver down for longer than `give_up`, or it refused them) are counted and stay in
the journal.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from sentinel import metrics
from sentinel.capture.settings import LogFile
from sentinel.capture.tail import Tail
from sentinel.webhook import alertmanager
from sentinel.webhook.post import Post

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from sentinel.config import WebhookSettings
    from sentinel.model import Batch
    from sentinel.state import State

CHECKPOINT = "webhook:"
LEVELS = ("informational", "low", "medium", "high", "critical")
AT_ONCE = 100  # alerts in one request; Alertmanager takes more, a proxy before it may not
REMEMBERED = 10_000  # identities whose last sending is known
RESULTS = ("sent", "repeated", "given_up")

Identity = tuple[tuple[str, str], ...]


class Webhook:
    """`reload` swaps the settings between two batches."""

    def __init__(self, settings: WebhookSettings, journals: Sequence[Path], state: State) -> None:
        self._journals = [str(path) for path in journals]
        self._state = state
        self._sent: OrderedDict[Identity, float] = OrderedDict()
        self._counts = dict.fromkeys(RESULTS, 0)
        for result in RESULTS:
            metrics.webhook_alerts.begin(result=result)
        self.reload(settings)

    def reload(self, settings: WebhookSettings) -> None:
        self._post = Post(settings)
        self._settings = settings

    def status(self) -> dict[str, Any]:
        return dict(self._counts)

    def run(self, stop: threading.Event) -> None:
        positions = {path: self._state.checkpoint(CHECKPOINT + path) for path in self._journals}
        begun = frozenset(path for path, position in positions.items() if position is not None)
        tail = Tail([LogFile(path=path, format="json") for path in self._journals], positions, begun)
        for path, position in tail.positions().items():
            self._state.save_checkpoint(CHECKPOINT + path, position.to_json())
        for _, batch in tail.batches(stop):
            if self._send(batch, stop):
                self._state.save_checkpoint(CHECKPOINT + batch.source, batch.cookie.to_json())

    def _send(self, batch: Batch, stop: threading.Event) -> bool:
        """False when it was cut short by `stop`: the batch is sent again after the next start."""
        waiting = list(self._postable(batch))
        for start in range(0, len(waiting), AT_ONCE):
            some = waiting[start : start + AT_ONCE]
            delivered = self._post.deliver(json.dumps(some).encode(), stop)
            if not delivered and stop.is_set():
                return False
            self._count("sent" if delivered else "given_up", len(some))
        return True

    def _postable(self, batch: Batch) -> Iterator[dict[str, Any]]:
        """One object an identity: the last alert of it in the batch, and how many there were."""
        settings = self._settings
        found: dict[Identity, tuple[dict[str, Any], dict[str, str], int]] = {}
        for eve in self._wanted(batch.rows()):
            labels = alertmanager.labels_of(eve, settings.labels)
            identity = tuple(sorted(labels.items()))
            found[identity] = eve, labels, found[identity][2] + 1 if identity in found else 1
        for identity, (eve, labels, times) in found.items():
            if self._is_repeated(identity):
                self._count("repeated", times)
            else:
                yield alertmanager.postable(eve, labels, times, settings.resolve_after)

    def _wanted(self, lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
        minimum = LEVELS.index(self._settings.minimum_level)
        for line in lines:
            try:
                eve = json.loads(line)
            except ValueError:
                continue
            if not isinstance(eve, dict) or eve.get("event_type") != "alert":
                continue
            alert = eve.get("alert")
            level = alert.get("level") if isinstance(alert, dict) else None
            if level in LEVELS and LEVELS.index(level) >= minimum:
                yield eve

    def _is_repeated(self, identity: Identity) -> bool:
        now = time.monotonic()
        last = self._sent.get(identity)
        if last is not None and now - last < self._settings.repeat:
            return True
        self._sent[identity] = now
        self._sent.move_to_end(identity)
        if len(self._sent) > REMEMBERED:
            self._sent.popitem(last=False)
        return False

    def _count(self, result: str, number: int) -> None:
        self._counts[result] += number
        metrics.webhook_alerts.inc(number, result=result)
