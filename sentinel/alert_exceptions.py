"""Alerts that an operator does not want to see for a while: by rule, address and path, each with an end and a reason.

In: the `exceptions` of sentinel.yml. Out: the one that covers an alert, or None. An exception that has ended covers
nothing. The end is compared with the time of the alert, so a replay hides what the live run hid. An excepted alert is
not lost: it stays in the journal under another event type, which nobody acts on, and `sentinel rules exceptions` counts
there what each exception hid, and what it would hide.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import logging
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator, model_validator

from sentinel import metrics
from sentinel.yamlfile import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sentinel.model import Alert

EVENT_TYPE = "alert_excepted"  # instead of EVE's "alert"
log = logging.getLogger("sentinel.exceptions")


class AlertException(Settings):
    """What is given must all fit. `path` is a URL path; `*` in it stands for anything."""

    rule: str = ""
    address: str = ""
    path: str = ""
    until: datetime
    reason: str = Field(min_length=1, max_length=500)

    @field_validator("rule", mode="before")
    @classmethod
    def _sid(cls, value: object) -> object:
        return str(value) if isinstance(value, int) else value

    @field_validator("address")
    @classmethod
    def _network(cls, value: str) -> str:
        if value:
            try:
                ipaddress.ip_network(value, strict=False)
            except ValueError:
                raise ValueError(f"{value!r} is no address or network") from None
        return value

    @field_validator("until")
    @classmethod
    def _utc(cls, value: datetime) -> datetime:
        return value if value.tzinfo else value.replace(tzinfo=UTC)

    @model_validator(mode="after")
    def _narrow(self) -> AlertException:
        if not (self.rule or self.address or self.path):
            raise ValueError("needs a rule, an address or a path: without one it would hide every alert")
        return self

    @property
    def ends(self) -> int:
        return int(self.until.timestamp()) * 1_000_000_000

    def subject(self) -> str:
        """As an operator would say it."""
        named = (("rule", self.rule), ("address", self.address), ("path", self.path))
        return ", ".join(f"{name} {value}" for name, value in named if value)


@dataclass(frozen=True, slots=True)
class Seen:
    """The part of an alert that exceptions look at."""

    moment: int
    rule: str
    addresses: tuple[str, ...]
    path: str

    @classmethod
    def of(cls, alert: Alert) -> Seen:
        return cls(
            alert.timestamp, alert.rule_id, (alert.src_ip, alert.dest_ip), _path(alert.extra.get("http"))
        )

    @classmethod
    def of_eve(cls, eve: dict[str, Any]) -> Seen:
        moment = int(datetime.fromisoformat(eve["timestamp"]).timestamp() * 1e9)
        addresses = (str(eve.get("src_ip", "")), str(eve.get("dest_ip", "")))
        return cls(moment, str(eve["alert"].get("rule_id", "")), addresses, _path(eve.get("http")))


def _path(http: Any) -> str:
    """Of the request target, which may be a whole URL."""
    target = str(http.get("url", "")) if isinstance(http, dict) else ""
    return re.sub(r"^[a-zA-Z][\w+.-]*://[^/?#]*", "", target).partition("?")[0]


class _Matcher:
    def __init__(self, settings: AlertException) -> None:
        self.settings = settings
        self._network = ipaddress.ip_network(settings.address, strict=False) if settings.address else None
        self._path = re.compile(fnmatch.translate(settings.path)) if settings.path else None

    def fits(self, seen: Seen) -> bool:
        """But for its end."""
        if self.settings.rule and self.settings.rule != seen.rule:
            return False
        if self._path is not None and not self._path.match(seen.path):
            return False
        return self._network is None or any(self._holds(text) for text in seen.addresses)

    def _holds(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        return (getattr(address, "ipv4_mapped", None) or address) in self._network  # type: ignore[operator]


class Exceptions:
    """All of a configuration; the first that fits counts."""

    def __init__(self, settings: Iterable[AlertException] = ()) -> None:
        self._matchers = [_Matcher(each) for each in settings]
        self._reported: set[int] = set()

    def covering(self, alert: Alert) -> AlertException | None:
        if not self._matchers:
            return None
        seen = Seen.of(alert)
        return next(
            (m.settings for m in self._matchers if seen.moment < m.settings.ends and m.fits(seen)), None
        )

    def fitting(self, seen: Seen) -> Iterator[int]:
        """Numbers of those that fit, ended or not."""
        return (number for number, matcher in enumerate(self._matchers) if matcher.fits(seen))

    def report(self, now: int) -> None:
        """Export how many hold; say once of each that it has ended."""
        ended = {number for number, m in enumerate(self._matchers) if m.settings.ends <= now}
        for number in sorted(ended - self._reported):
            settings = self._matchers[number].settings
            log.warning("exception has ended and hides nothing: %s (%s)", settings.subject(), settings.reason)
        self._reported = ended
        metrics.alert_exceptions.set(len(self._matchers) - len(ended), state="active")
        metrics.alert_exceptions.set(len(ended), state="ended")


@dataclass(slots=True)
class Tally:
    """What one exception hid, and what it would have hidden had it held, in a span of the journals."""

    hidden: int = 0
    visible: int = 0
    last: int = 0

    def add(self, moment: int, *, hidden: bool) -> None:
        self.hidden += hidden
        self.visible += not hidden
        self.last = max(self.last, moment)


def tally(settings: Sequence[AlertException], events: Iterable[dict[str, Any]], since: int) -> list[Tally]:
    """`events` are those of the journals, excepted ones too; each counts for every exception that fits it."""
    exceptions, tallies = Exceptions(settings), [Tally() for _ in settings]
    for eve in events:
        if eve.get("event_type") not in {"alert", EVENT_TYPE} or not isinstance(eve.get("alert"), dict):
            continue
        seen = Seen.of_eve(eve)
        if seen.moment >= since:
            for number in exceptions.fitting(seen):
                tallies[number].add(seen.moment, hidden=eve["event_type"] == EVENT_TYPE)
    return tallies
