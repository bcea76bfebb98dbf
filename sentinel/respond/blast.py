"""The blast radius of a ban: who else was lately seen behind an address.

In: an address and the access logs that are followed. Out: how many sessions, accounts and orders its lines show in
the last minutes. Only traffic that succeeded counts: an attacker's guesses do not make an address look populated.
Nothing is kept: the end of each log is searched when somebody is about to be banned, which is rare by budget.
For IPv6 the whole /64 is one address, as it is for bans.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinel.model import Batch, Column
from sentinel.protocol.logs.clock import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sentinel.capture.settings import LogFile
    from sentinel.config import BlastSettings
    from sentinel.model import Columns

SEARCHED_BYTES = (
    64 * 1024 * 1024
)  # of the end of each log: minutes of a busy shop; found in tens of milliseconds
MOST_LINES = 20_000  # of one address; beyond it the answer is the same
SESSION = re.compile(
    rb"(?:^|;\s*)(?:\w*sess\w*|sid|phpsessid|jsessionid|connect\.sid|frontend|cart\w*)=([^;]+)", re.IGNORECASE
)
ORDER = re.compile(rb"/(?:checkout|orders?|pay(?:ment)?s?|purchase|place-?order)\b", re.IGNORECASE)
WEB = ("http.response.status_code", "http.request.method", "url.original", "user_agent.original", "user.name",
       "http.request.cookie", "source.ip")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seen:
    """Distinct sessions, accounts and orders; `too_many` against the limits."""

    sessions: int
    accounts: int
    orders: int
    too_many: bool

    def figures(self) -> dict[str, int]:
        return {"sessions": self.sessions, "accounts": self.accounts, "orders": self.orders}


class BlastRadius:
    """`attach` derives shop fields (shop.action) where a site has mapped its URLs."""

    def __init__(
        self,
        settings: BlastSettings,
        logs: Sequence[LogFile],
        attach: Callable[[Columns], Columns] = lambda columns: columns,
    ) -> None:
        self._settings = settings
        self._logs = tuple(logs)
        self._attach = attach

    def behind(self, address: str) -> Seen:
        needles = _spellings(address)
        sessions: set[bytes] = set()
        accounts: set[bytes] = set()
        orders = 0
        for log in self._logs:
            batch = _lines_with(Path(log.path), needles)
            if batch is None:
                continue
            fields, rows = self._recent(log, batch, address)
            for row in rows:
                session = SESSION.search(fields["http.request.cookie"][row] or b"")
                sessions.add(session[1] if session else fields["user_agent.original"][row] or b"")
                accounts.add(fields["user.name"][row] or b"")
                orders += fields["http.request.method"][row] == b"POST" and _is_order(fields, row)
        limits = self._settings
        counts = len(sessions - {b""}), len(accounts - {b""}), orders
        too_many = counts[0] > limits.sessions or counts[1] > limits.accounts or counts[2] > limits.orders
        return Seen(*counts, too_many)

    def _recent(
        self, log: LogFile, batch: Batch, address: str
    ) -> tuple[dict[str, list[bytes | None]], Iterable[int]]:
        """Fields of the lines, and which of them succeeded within the last minutes of that log."""
        from sentinel.protocol.logs.clock import zone_of
        from sentinel.protocol.logs.parser import LogParser

        columns = self._attach(LogParser(log.format, zone=zone_of(log.timezone)).parse(batch))
        empty: list[bytes | None] = [None] * columns.rows
        fields = {}
        for name in (*WEB, "shop.action"):
            column = columns.column(name)
            fields[name] = column.values() if column is not None else empty
        network = _network(address)
        newest = int(columns.times.max()) if columns.rows else 0
        oldest = newest - int(self._settings.minutes * 60) * SECOND
        rows = [
            row
            for row in range(columns.rows)
            if columns.times[row] >= oldest
            and (fields["http.response.status_code"][row] or b"")[:1] in {b"2", b"3"}
            and _inside(fields["source.ip"][row], network)
        ]
        return fields, rows


def _is_order(fields: dict[str, list[bytes | None]], row: int) -> bool:
    action = fields["shop.action"][row]
    if action is not None:
        return action in {b"checkout", b"pay"}
    return ORDER.search(fields["url.original"][row] or b"") is not None


def _network(address: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    ip = ipaddress.ip_address(address)
    return ipaddress.ip_network(f"{ip}/{64 if ip.version == 6 else 32}", strict=False)


def _inside(text: bytes | None, network: Any) -> bool:
    try:
        return text is not None and ipaddress.ip_address(text.decode()) in network
    except ValueError:
        return False


def _spellings(address: str) -> list[bytes]:
    """What its lines contain: the address itself, or for IPv6 the first part of its /64 as programs write it."""
    ip = ipaddress.ip_address(address)
    if ip.version == 4:
        return [address.encode()]
    words = [f"{int(word, 16):x}" for word in ip.exploded.split(":")[:4]]
    return [str(ip).encode(), (":".join(words) + ":").encode()]


def _lines_with(path: Path, needles: Sequence[bytes]) -> Batch | None:
    """The lines near the end of a log that contain one of the needles, in order."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - SEARCHED_BYTES))
            data = file.read(SEARCHED_BYTES)
    except OSError:
        return None
    starts: set[int] = set()
    for needle in needles:
        at = data.find(needle)
        while at >= 0 and len(starts) < MOST_LINES:
            starts.add(data.rfind(b"\n", 0, at) + 1)
            end = data.find(b"\n", at)
            at = data.find(needle, end) if end >= 0 else -1
    if not starts:
        return None
    lines = [data[start : data.find(b"\n", start) + 1 or len(data)] for start in sorted(starts)]
    column = Column.of(lines)
    return Batch(column.data, column.offsets, str(path))
