"""The blast radius of a ban: who else was lately seen behind an address.

In: an address and the access logs that are followed. Out: how many sessions, accounts and orders its lines show in
the last minutes. Only traffic that succeeded counts, and only what is not had for the asking: a program that changes
its name or its cookie with every request is one session at most, a name counts where a page had asked for one, a
session orders once. Sessions alone never spare: two of them must have ordered or logged in.
Nothing is kept: the end of each log is searched when somebody is about to be banned, which is rare by budget.
For IPv6 the whole /64 is one address, as it is for bans.
"""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinel.model import Batch, Column
from sentinel.protocol.logs.clock import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sentinel.capture.settings import LogFile
    from sentinel.config import BlastSettings
    from sentinel.model import Columns

    Fields = dict[str, bytes]

SEARCHED_BYTES = (
    64 * 1024 * 1024
)  # of the end of each log: minutes of a busy shop; found in tens of milliseconds
MOST_LINES = 20_000  # of one address; beyond it the answer is the same
VISIT = 3  # successful requests that make a visit; a page alone has more with what it embeds
REFUSED_SHARE = 0.25  # of the requests of a visitor; probing is refused more often than shopping
PROOFS = 2  # orders and accounts, without which sessions could all be one client's inventions
SESSION = re.compile(
    rb"(?:^|;\s*)(?:\w*sess\w*|sid|phpsessid|jsessionid|connect\.sid|frontend|cart\w*)=([^;]+)", re.IGNORECASE
)
ORDER = re.compile(rb"/(?:checkout|orders?|pay(?:ment)?s?|purchase|place-?order)\b", re.IGNORECASE)
WEB = ("http.response.status_code", "http.request.method", "url.original", "user_agent.original", "user.name",
       "http.request.cookie", "source.ip", "shop.action")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seen:
    """Sessions, accounts, and sessions that ordered; `too_many` against the limits."""

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
        visits: defaultdict[bytes, _Visit] = defaultdict(_Visit)
        accounts: set[bytes] = set()
        for log in self._logs:
            batch = _lines_with(Path(log.path), needles)
            if batch is not None:
                rows = list(self._recent(log, batch, address))
                _count_visits(rows, visits)
                accounts |= _accounts(rows)
        settled = [visit for visit in visits.values() if visit.is_settled]
        return self._judged(len(settled), len(accounts), sum(visit.ordered for visit in settled))

    def _judged(self, sessions: int, accounts: int, orders: int) -> Seen:
        limits = self._settings
        crowd = sessions > limits.sessions and accounts + orders >= PROOFS
        too_many = crowd or accounts > limits.accounts or orders > limits.orders
        return Seen(sessions, accounts, orders, too_many)

    def _recent(self, log: LogFile, batch: Batch, address: str) -> Iterator[Fields]:
        """The fields of the address's requests within the last minutes of that log."""
        from sentinel.protocol.logs.clock import zone_of
        from sentinel.protocol.logs.parser import LogParser

        columns = self._attach(LogParser(log.format, zone=zone_of(log.timezone)).parse(batch))
        empty: list[bytes | None] = [None] * columns.rows
        found = {name: columns.column(name) for name in WEB}
        values = [empty if column is None else column.values() for column in found.values()]
        network = _network(address)
        newest = int(columns.times.max()) if columns.rows else 0
        oldest = newest - int(self._settings.minutes * 60) * SECOND
        for time, *cells in zip(columns.times.tolist(), *values, strict=True):
            fields = {name: cell or b"" for name, cell in zip(WEB, cells, strict=True)}
            if time >= oldest and _inside(fields["source.ip"], network):
                yield fields


@dataclass(slots=True)
class _Visit:
    """The requests of one session cookie, or of one client program where there is none."""

    served: int = 0
    refused: int = 0
    ordered: bool = False

    @property
    def is_settled(self) -> bool:
        return self.served >= VISIT and self.refused <= REFUSED_SHARE * self.served


def _count_visits(rows: Iterable[Fields], visits: defaultdict[bytes, _Visit]) -> None:
    for fields in rows:
        session = SESSION.search(fields["http.request.cookie"])
        key = session[1] if session else fields["user_agent.original"]
        if key:
            visit, served = visits[key], _is_served(fields)
            visit.served += served
            visit.refused += not served
            visit.ordered |= served and fields["http.request.method"] == b"POST" and _is_order(fields)


def _accounts(rows: Iterable[Fields]) -> set[bytes]:
    """Names under which something was served that asks for a name: whoever sends one unasked has it in the log as well."""
    asking = {
        path for fields in rows if fields["http.response.status_code"] == b"401" if (path := _path(fields))
    }
    return {
        name
        for fields in rows
        if (name := fields["user.name"]) and _is_served(fields) and asking & set(_folders(_path(fields)))
    }


def _path(fields: Fields) -> bytes:
    return fields["url.original"].partition(b"?")[0].rstrip(b"/") or b"/"


def _folders(path: bytes) -> Iterator[bytes]:
    """The path and all above it."""
    while path:
        yield path
        path = path.rpartition(b"/")[0]
    yield b"/"


def _is_served(fields: Fields) -> bool:
    return fields["http.response.status_code"][:1] in {b"2", b"3"}


def _is_order(fields: Fields) -> bool:
    action = fields["shop.action"]
    return action in {b"checkout", b"pay"} if action else ORDER.search(fields["url.original"]) is not None


def _network(address: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    ip = ipaddress.ip_address(address)
    return ipaddress.ip_network(f"{ip}/{64 if ip.version == 6 else 32}", strict=False)


def _inside(text: bytes, network: Any) -> bool:
    try:
        return ipaddress.ip_address(text.decode()) in network
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
