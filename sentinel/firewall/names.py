"""DNS names in groups: both families, refreshed by their TTL, the last known answer kept when a lookup fails.

An address stays for a while after it was last seen, because a round-robin name shows another part of its pool each
time and clients hold old answers. TTLs are bounded below, so that a name with a TTL of 0 cannot make the ruleset
change with every second, and a name's addresses are bounded in number. The only importer of dnspython.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Protocol

from sentinel import metrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sentinel.firewall.ruleset import Ruleset
    from sentinel.state import State

KEY = "firewall.names"
NANOSECONDS = 1_000_000_000
SHORTEST_TTL_SECONDS = 30  # change limit: the kernel's sets move at most twice a minute for one name
LONGEST_TTL_SECONDS = 3_600
STAY_SECONDS = 600  # after an address was last in an answer
RETRY_SECONDS = 30
LOOKUP_SECONDS = 2.0  # of one family; an apply waits for it where DNS is down
LOOKUPS_AT_ONCE = 8
MOST_NAMES = 2_000  # whose answers are kept
MOST_ADDRESSES = 64  # of one name; a poisoned or absurd answer must not fill the kernel


@dataclass(slots=True)
class Answer:
    """`seen` maps addresses to when they were last in an answer; times in nanoseconds."""

    seen: dict[str, int] = field(default_factory=dict)
    resolved: int = 0
    due: int = 0


class Resolver(Protocol):
    def __call__(self, name: str) -> tuple[list[str], int]:
        """Addresses of both families and their TTL; raises OSError when nothing could be learned."""


class Names:
    """The names of one policy and what they last answered; kept in the state for the CLI and the next start."""

    def __init__(self, state: State, names: Iterable[str], resolver: Resolver) -> None:
        self._state, self._resolver = state, resolver
        stored = _stored(state)
        self._answers = {name: stored.get(name, Answer()) for name in names}

    def refresh(self, now: int | None = None) -> bool:
        """Look up what is due and keep it. True when the addresses changed."""
        changed = self.look_up(now)
        self.save()
        return changed

    def look_up(self, now: int | None = None) -> bool:
        """Without keeping: whoever keeps answers changes what the kernel's sets should hold, and does both at once."""
        moment = time.time_ns() if now is None else now
        before = _addresses(self._answers)
        due = [name for name, answer in self._answers.items() if answer.due <= moment]
        if due:
            with ThreadPoolExecutor(LOOKUPS_AT_ONCE) as pool:
                list(pool.map(lambda name: self._look_up(name, self._answers[name], moment), due))
        if self._answers:
            oldest = min(answer.resolved for answer in self._answers.values())
            metrics.firewall_name_age.set(max(0, moment - oldest) / NANOSECONDS)
        return _addresses(self._answers) != before

    def save(self) -> None:
        """Beside the names of other policies: a rollback to one of them may come while DNS is down."""
        complete = {**_stored(self._state), **self._answers}
        newest = sorted(complete, key=lambda name: (name in self._answers, complete[name].resolved))[
            -MOST_NAMES:
        ]
        self._state.save_checkpoint(KEY, {name: asdict(complete[name]) for name in newest})

    def answers(self) -> dict[str, tuple[str, ...]]:
        return _addresses(self._answers)

    def _look_up(self, name: str, answer: Answer, now: int) -> None:
        try:
            addresses, ttl = self._resolver(name)
        except OSError:
            metrics.firewall_name_failures.inc()
            answer.due = now + RETRY_SECONDS * NANOSECONDS
            return
        stay = now - STAY_SECONDS * NANOSECONDS
        kept = {address: seen for address, seen in answer.seen.items() if seen > stay}
        fresh = dict.fromkeys(sorted(addresses), now)
        newest = sorted((kept | fresh).items(), key=lambda item: (-item[1], item[0]))
        answer.seen = dict(newest[:MOST_ADDRESSES])
        metrics.firewall_name_addresses_refused.inc(max(0, len(newest) - MOST_ADDRESSES))
        answer.resolved = now
        answer.due = now + min(max(ttl, SHORTEST_TTL_SECONDS), LONGEST_TTL_SECONDS) * NANOSECONDS


def known(state: State) -> dict[str, tuple[str, ...]]:
    """The last answers, without asking anybody."""
    return _addresses(_stored(state))


def resolved(state: State, ruleset: Ruleset) -> Ruleset:
    return ruleset.answered(known(state))


def ages(state: State, names: Iterable[str], now: int) -> dict[str, float | None]:
    """Seconds since each name was last answered; None: never."""
    stored = _stored(state)
    resolved = {name: stored[name].resolved if name in stored else 0 for name in names}
    return {name: (now - moment) / NANOSECONDS if moment else None for name, moment in resolved.items()}


def _stored(state: State) -> dict[str, Answer]:
    return {name: Answer(**answer) for name, answer in (state.checkpoint(KEY) or {}).items()}


def _addresses(answers: Mapping[str, Answer]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(sorted(answer.seen)) for name, answer in answers.items()}


def dns(server: str = "", port: int = 53) -> Resolver:
    """Ask DNS (the host's resolvers, or `server`); one family without addresses is fine, both is a failure."""

    def resolve(name: str) -> tuple[list[str], int]:
        import dns.exception
        import dns.resolver

        try:
            resolver = dns.resolver.Resolver(configure=not server)
        except dns.exception.DNSException as error:
            raise OSError(f"no DNS server is configured: {error}") from None
        if server:
            resolver.nameservers, resolver.port = [server], port
        resolver.lifetime = LOOKUP_SECONDS
        addresses: list[str] = []
        ttls: list[int] = []
        for kind in ("A", "AAAA"):
            try:
                answer = resolver.resolve(name + ".", kind, raise_on_no_answer=False)
            except dns.resolver.NXDOMAIN:
                break
            except dns.exception.DNSException as error:
                if kind == "AAAA" and addresses:
                    break
                raise OSError(f"{name}: {error}") from None
            if answer.rrset is not None:
                addresses += [record.address for record in answer.rrset]
                ttls.append(answer.chaining_result.minimum_ttl)  # of aliases on the way too
        if not addresses:
            raise OSError(f"{name}: no address")
        return addresses, min(ttls)

    return resolve
