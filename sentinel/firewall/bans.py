"""Bans: rows in SQLite are the truth, elements with timeouts in the kernel do the work.

A ban is a network: an IPv4 address, an IPv6 /64, or what an operator gives. The kernel drops its packets before
anything but the failsafe rules and never_ban, and forgets it on time by itself. Rows outlive daemon restarts and
replacements of the table, which put the elements back with the time they have left.

Order in `add`: never_ban, observe mode, budget, escalation, the ban, aggregation of neighbours.
"""

from __future__ import annotations

import enum
import json
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sentinel import metrics
from sentinel.errors import FirewallError
from sentinel.firewall import differences, intervals, kernel, names, networks, nft, set_elements, versions
from sentinel.firewall.networks import Network
from sentinel.firewall.nft import BanElement
from sentinel.firewall.ruleset import BAN_LENGTHS, NEVER_SETS, ban_set
from sentinel.firewall.settings import BanMode, BanSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sentinel.ledger import Ledger
    from sentinel.state import State

NANOSECONDS = 1_000_000_000
NEIGHBOURHOOD = {4: 24, 6: 48}
BUDGET_WINDOW_SECONDS = 60
MOST_COUNTED = 20_000  # beyond this, reading every element's hits would double the time a replacement takes
SINGLE_ADDRESSES = ban_set(4, 32)


class Outcome(enum.Enum):
    BANNED = "banned"
    NEVER = "never_ban"
    OBSERVED = "observed"
    BUDGET = "budget"


@dataclass(frozen=True, slots=True)
class BanResult:
    outcome: Outcome
    network: str
    expires: int = 0
    level: int = 0


@dataclass(frozen=True, slots=True)
class Ban:
    address: str
    added: int
    expires: int
    reason: str
    rule_id: str
    level: int
    hits: int = 0

    def seconds_left(self, now: int) -> float:
        return max(0, self.expires - now) / NANOSECONDS

    @property
    def network(self) -> Network:
        return networks.parse(self.address)


@dataclass(slots=True)
class Bans:
    """`add` has the shape that `respond` calls: (address, duration, reason, rule_id)."""

    state: State
    ledger: Ledger
    settings: BanSettings = field(default_factory=lambda: BanSettings.model_validate({}))
    _never: tuple[int, dict[int, tuple[intervals.Interval, ...]]] = (0, {})  # of one version

    def add(
        self, address: str, duration: float | None = None, reason: str = "", rule_id: str = ""
    ) -> BanResult:
        network = networks.parse(address)
        with versions.locked(self.state):
            now = time.time_ns()
            result = self._decide(network, duration, now)
            if result.outcome is Outcome.BANNED:
                self._put(result, reason, rule_id, now)
                self._aggregate(network, rule_id, now)
        self._record(result, reason, rule_id)
        return result

    def remove(self, address: str, reason: str = "") -> bool:
        """True when there was such a ban. A wider ban that covers the address stays: `covering` names it."""
        network = networks.parse(address)
        with versions.locked(self.state):
            with self.state.write() as connection:
                removed = (
                    connection.execute("DELETE FROM ban WHERE address = ?", (str(network),)).rowcount > 0
                )
                _history(connection, str(network), "unban", reason)
            if removed and kernel.listing():
                set_elements.remove(network.pieces())
        if removed:
            self.ledger.append("firewall.unban", str(network), reason=reason)
        return removed

    def covering(self, address: str) -> list[Ban]:
        network = networks.parse(address)
        return [ban for ban in live(self.state) if ban.network.covers(network)]

    def list(self) -> list[Ban]:
        return with_hits(live(self.state))

    # --- inside ---------------------------------------------------------------------------------------------

    def _decide(self, network: Network, duration: float | None, now: int) -> BanResult:
        version = versions.expected(self.state)
        if version is None and self.settings.mode is BanMode.ACTIVE:
            raise FirewallError("a ban needs an applied policy: sentinel firewall apply")
        name = str(network)
        if version is not None and self._is_never(version.number, network, now):
            return BanResult(Outcome.NEVER, name)
        level = self._level(name, now)
        seconds = duration if duration is not None else self._ladder(level)
        expires = now + int(seconds * NANOSECONDS)
        if self.settings.mode is BanMode.OBSERVE:
            return BanResult(Outcome.OBSERVED, name, expires, level)
        if self._spent(now) >= self.settings.budget_per_minute:
            return BanResult(Outcome.BUDGET, name)
        return BanResult(Outcome.BANNED, name, expires, level)

    def _is_never(self, number: int, network: Network, now: int) -> bool:
        """Only a network that is protected as a whole is refused; the kernel spares the parts of others."""
        if self._never[0] != number:
            ruleset = names.resolved(self.state, versions.ruleset(self.state, number))
            self._never = (number, {family: ruleset.elements_of(name) for family, name in NEVER_SETS.items()})
        return any(
            low <= network.first and network.last <= high and (until is None or until > now)
            for low, high, until in self._never[1][network.family]
        )

    def _ladder(self, level: int) -> float:
        steps = self.settings.escalate
        if level == 0 or not steps:
            return self.settings.duration
        return max(self.settings.duration, steps[min(level, len(steps) - 1)])

    def _level(self, name: str, now: int) -> int:
        since = now - int(self.settings.remember * NANOSECONDS)
        sql = "SELECT count(*) FROM ban_history WHERE address = ? AND action = 'ban' AND time > ?"
        return int(self.state.read(sql, (name, since))[0][0])

    def _spent(self, now: int) -> int:
        since = now - BUDGET_WINDOW_SECONDS * NANOSECONDS
        sql = "SELECT count(*) FROM ban_history WHERE action = 'ban' AND time > ?"
        return int(self.state.read(sql, (since,))[0][0])

    def _put(self, result: BanResult, reason: str, rule_id: str, now: int, action: str = "ban") -> None:
        """Kernel first: a row without an element would be a promise nobody keeps. A ban is never cut short."""
        rows = self.state.read("SELECT expires FROM ban WHERE address = ?", (result.network,))
        expires = max(result.expires, rows[0][0] if rows else 0)
        set_elements.put(elements(networks.parse(result.network), now, expires, now))
        with self.state.write() as connection:
            connection.execute("DELETE FROM ban WHERE expires <= ?", (now,))
            forgotten = now - int(self.settings.remember * NANOSECONDS)
            connection.execute("DELETE FROM ban_history WHERE time < ?", (forgotten,))
            connection.execute(
                "INSERT OR REPLACE INTO ban (address, added, expires, reason, rule_id, level)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (result.network, now, expires, reason, rule_id, result.level),
            )
            _history(connection, result.network, action, reason, rule_id=rule_id, expires=expires)

    def _aggregate(self, network: Network, rule_id: str, now: int) -> None:
        """Many neighbours banned at once: their network, until the last of them would have been free."""
        wide = NEIGHBOURHOOD[network.family]
        if not self.settings.aggregate_after or network.length <= wide:
            return
        whole = network.widened(wide)
        candidates = live(self.state, now, _text_prefix(network))
        inside = [ban for ban in candidates if ban.network.length > wide and whole.covers(ban.network)]
        if len(inside) < self.settings.aggregate_after:
            return
        result = BanResult(Outcome.BANNED, str(whole), max(ban.expires for ban in inside))
        reason = f"{len(inside)} banned neighbours"
        self._put(result, reason, rule_id, now, "aggregate")
        self._to_ledger(result, reason, rule_id)

    def _record(self, result: BanResult, reason: str, rule_id: str) -> None:
        metrics.bans.inc(outcome=result.outcome.value)
        if result.outcome is Outcome.BANNED:
            self._to_ledger(result, reason, rule_id)
            return
        with self.state.write() as connection:
            word = result.outcome.value
            _history(connection, result.network, word, reason, rule_id=rule_id, expires=result.expires)

    def _to_ledger(self, result: BanResult, reason: str, rule_id: str) -> None:
        detail = {"reason": reason, "rule_id": rule_id, "expires": result.expires, "level": result.level}
        self.ledger.append("firewall.ban", result.network, **detail)


# --- rows and elements ------------------------------------------------------------------------------------------


def live(state: State, now: int | None = None, prefix: str = "") -> list[Ban]:
    rows = state.read(
        "SELECT address, added, expires, reason, rule_id, level FROM ban"
        " WHERE expires > ? AND address GLOB ? ORDER BY expires",
        (time.time_ns() if now is None else now, f"{prefix}*"),
    )
    return [Ban(*row) for row in rows]


def _text_prefix(network: Network) -> str:
    """How the text of every neighbour begins: lets SQLite's index choose among 100,000 bans."""
    text = str(network)
    return text[: text.index(":") + 1] if network.family == 6 else text[: text.rindex(".") + 1]


def count(state: State) -> int:
    return int(state.read("SELECT count(*) FROM ban WHERE expires > ?", (time.time_ns(),))[0][0])


def live_elements(state: State, now: int) -> Iterator[BanElement]:
    """What the kernel's ban sets should hold at this moment, without counters."""
    for ban in live(state, now):
        yield from elements(ban.network, ban.added, ban.expires, now)


def elements(network: Network, added: int, expires: int, now: int) -> Iterator[BanElement]:
    for piece in network.pieces():
        yield BanElement(piece.family, piece.length, piece.first, expires - added, expires - now)


def script(state: State, now: int) -> str:
    """All live bans as commands for a fresh table: time left, and the hits the kernel counts until now."""
    soonest = now + NANOSECONDS // 1_000
    counters = kernel_counters() if 0 < count(state) <= MOST_COUNTED else {}
    texts: dict[str, list[str]] = {}
    if not counters:
        texts[SINGLE_ADDRESSES] = [row[0] for row in state.read(_SINGLE_TEXTS, (now, soonest))]
    rest = _ALL if counters else _NETWORKS
    for address, added, expires in state.read(rest, (now, soonest)):
        for one in elements(networks.parse(address), added, expires, now):
            packets, size = counters.get(Network(one.family, one.network, one.length), (0, 0))
            texts.setdefault(one.set_name, []).append(str(replace(one, packets=packets, bytes=size)))
    return "".join(nft.fill(name, texts[name]) for name in sorted(texts))


_ALL = "SELECT address, added, expires FROM ban WHERE expires > ?2"
_NETWORKS = _ALL + " AND (address LIKE '%/%' OR expires - added >= 99999999000000)"
# Single IPv4 addresses straight from SQLite as nft reads them: there may be 100,000, and a table waits for them.
_SINGLE_TEXTS = """
    SELECT address || ' timeout ' || ((expires - added) / 1000000) || 'ms expires ' || ((expires - ?1) / 1000000) || 'ms'
    FROM ban WHERE expires > ?2 AND address NOT LIKE '%/%' AND expires - added < 99999999000000"""


def kernel_counters() -> dict[Network, tuple[int, int]]:
    """Packets and bytes of the elements that were hit; {} without a table."""
    try:
        listed = kernel.all_elements()
    except (FirewallError, ValueError):  # no table, or JSON that nft 1.0.6 garbles (a dormant table)
        return {}
    return {
        Network(family, one.first, length): (one.packets, one.bytes)
        for family, lengths in BAN_LENGTHS.items()
        for length in lengths
        for one in listed.get(ban_set(family, length), [])
        if one.packets
    }


def with_hits(bans: list[Ban]) -> list[Ban]:
    counters = kernel_counters() if bans else {}
    return [
        replace(ban, hits=sum(counters.get(piece, (0, 0))[0] for piece in ban.network.pieces()))
        for ban in bans
    ]


def _history(connection: Any, address: str, action: str, reason: str, **detail: Any) -> None:
    connection.execute(
        "INSERT INTO ban_history VALUES (?, ?, ?, ?, ?)",
        (address, time.time_ns(), action, reason, json.dumps(detail)),
    )


def reconcile(state: State, now: int) -> None:
    """Kernel and rows agree again, after an apply that left the ban sets as they were. The caller holds the lock.

    Where there are very many, reading them would double the time; the daemon's full compare sees to those.
    """
    if count(state) > MOST_COUNTED:
        return
    for name, wanted in wanted_elements(state, now).items():
        missing, extra = differences.of_ban_set(name, wanted, kernel.elements(name))
        mend(missing, extra)


def wanted_elements(state: State, now: int) -> dict[str, list[BanElement]]:
    """Of every ban set, also of those that should be empty."""
    wanted: dict[str, list[BanElement]] = {name: [] for name in differences.BAN_SETS}
    for element in live_elements(state, now):
        wanted[element.set_name].append(element)
    return wanted


def wanted_left(state: State, piece: Network, now: int) -> int | None:
    """How long one kernel element should live: nanoseconds, None when it should not be there."""
    shorter = max((known for known in BAN_LENGTHS[piece.family] if known < piece.length), default=0)
    owners = [str(piece.widened(length)) for length in range(shorter + 1, piece.length + 1)]
    marks = ", ".join("?" * len(owners))
    sql = f"SELECT max(expires) FROM ban WHERE expires > ? AND address IN ({marks})"  # noqa: S608 - only marks
    expires = state.read(sql, (now, *owners))[0][0]
    return None if expires is None else int(expires) - now


def mend(missing: Iterable[BanElement], extra: Iterable[Network]) -> int:
    """The number of transactions it took."""
    return set_elements.remove(extra) + set_elements.put(missing)
