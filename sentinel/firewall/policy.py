"""policy.yml -> Policy: names resolved to numbers, every mistake reported as path:line, all at once.

In: the operator's file (pydantic models below are its grammar) and the group files it names. Out: a frozen Policy
that `compile` turns into a ruleset and `explain` evaluates; both read the same rules, in the same order: the first
rule that matches decides, then the default of the direction. DNS names stay names; `names` keeps their answers.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from sentinel import yamlfile
from sentinel.errors import InvalidInputError, Problem
from sentinel.firewall import services
from sentinel.firewall.groups import Addresses, Book, GroupEntry, nanoseconds
from sentinel.yamlfile import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sentinel.firewall.services import Rate, Service

INTERFACE = re.compile(r"[^\s/\"\\*$]+\*?")  # nft takes a * at the end only
INTERFACE_BYTES = 15  # IFNAMSIZ - 1
LONGEST_REASON = 100  # bytes: nft comments hold 128; the rule's name goes in front
LONGEST_LOG = 64


class Action(enum.Enum):
    ACCEPT = "accept"
    DROP = "drop"
    REJECT = "reject"


class Direction(enum.Enum):
    INBOUND = "inbound"
    OUTBOUND = "outbound"
    FORWARD = "forward"


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) or value is None else [value]


Words = Annotated[list[str], BeforeValidator(_as_list)]


class Defaults(Settings):
    inbound: Action = Action.DROP
    outbound: Action = Action.ACCEPT
    forward: Action = Action.ACCEPT


class RuleEntry(Settings):
    """One line of a rule list: exactly one of allow, deny, reject, and what narrows it."""

    allow: Words | None = None
    deny: Words | None = None
    reject: Words | None = None
    source: Words | None = Field(None, alias="from")
    to: Words | None = None
    interface: Words | None = None
    out_interface: Words | None = None
    rate: str | None = None
    until: datetime | None = None
    reason: str = ""
    log: bool | str = False


class PolicyFile(Settings):
    default: Defaults = Defaults()
    groups: dict[str, Annotated[list[str | GroupEntry], BeforeValidator(_as_list)]] = {}  # noqa: RUF012
    services: dict[str, Words] = {}  # noqa: RUF012
    interfaces: dict[str, Words] = {}  # noqa: RUF012
    inbound: list[RuleEntry] = []  # noqa: RUF012
    outbound: list[RuleEntry] = []  # noqa: RUF012
    forward: list[RuleEntry] = []  # noqa: RUF012
    failsafe: list[RuleEntry] = []  # noqa: RUF012
    never_ban: Words = []  # noqa: RUF012


@dataclass(frozen=True, slots=True)
class Scope:
    """`from` or `to` of a rule: a group, or addresses written in place."""

    group: str  # name when the scope is exactly one group, else ""
    text: str
    addresses: Addresses


@dataclass(frozen=True, slots=True)
class Rule:
    name: str  # "inbound 3": list and 1-based place
    line: int
    action: Action
    services: tuple[Service, ...]
    source: Scope | None = None
    destination: Scope | None = None
    in_interfaces: tuple[str, ...] = ()
    out_interfaces: tuple[str, ...] = ()
    rate: Rate | None = None
    until: int | None = None
    reason: str = ""
    log: str = ""

    def lives(self, now: int) -> bool:
        return self.until is None or self.until > now


@dataclass(frozen=True, slots=True)
class Policy:
    path: str
    text: str
    default: dict[Direction, Action]
    rules: dict[Direction, tuple[Rule, ...]]
    failsafe: tuple[Rule, ...]
    groups: dict[str, Addresses]
    never_ban: Addresses
    names: tuple[str, ...] = field(default=())  # DNS names used anywhere, sorted


def load(path: Path) -> Policy:
    return parse(yamlfile.read(path), str(path))


def parse(text: str, path: str) -> Policy:
    entries = yamlfile.parse(text, PolicyFile, path)
    return _Reader(entries, text, path).policy()


class _Reader:
    """Resolves names; collects problems until the end so that all are reported together."""

    def __init__(self, entries: PolicyFile, text: str, path: str) -> None:
        self.entries, self.text, self.path = entries, text, path
        self.root = yamlfile.compose(text, path)
        self.problems: list[Problem] = []
        self.services = services.BUILT_IN | {
            name: self._services(words, "services", name) for name, words in entries.services.items()
        }
        self.book = Book(entries.groups, Path(path).parent, self.problem)

    def problem(self, message: str, *place: int | str, path: str = "", line: int = 0) -> None:
        if path:
            self.problems.append(Problem(path, line, message))
        else:
            self.problems.append(Problem(self.path, yamlfile.line_of(self.root, place), message))

    def policy(self) -> Policy:
        entries = self.entries
        groups = self.book.resolve_all()
        rules = {
            direction: tuple(
                self._rule(entry, direction.value, i, direction)
                for i, entry in enumerate(getattr(entries, direction.value))
            )
            for direction in Direction
        }
        failsafe = tuple(self._failsafe(entry, i) for i, entry in enumerate(entries.failsafe))
        never_ban = self.book.addresses(entries.never_ban, "never_ban")
        if self.problems:
            raise InvalidInputError(self.problems)
        default = {direction: getattr(entries.default, direction.value) for direction in Direction}
        return Policy(
            self.path, self.text, default, rules, failsafe, groups, never_ban, tuple(sorted(self.book.names))
        )

    def _failsafe(self, entry: RuleEntry, index: int) -> Rule:
        for word in ("deny", "reject", "to", "rate", "until", "out_interface"):
            if getattr(entry, word) is not None:
                self.problem(f"a failsafe rule cannot have {word!r}", "failsafe", index, word)
        return self._rule(entry, "failsafe", index, Direction.INBOUND)

    def _rule(self, entry: RuleEntry, section: str, index: int, direction: Direction) -> Rule:
        place = (section, index)
        stated = [word for word in _ACTIONS if getattr(entry, word) is not None]
        if len(stated) != 1:
            self.problem("a rule needs exactly one of allow, deny, reject", *place)
            stated = stated[:1] or ["allow"]
        self._check_interfaces(entry, direction, place)
        self._check_text(entry.reason, LONGEST_REASON, *place, "reason")
        self._check_text(entry.log if isinstance(entry.log, str) else "on", LONGEST_LOG, *place, "log")
        log = entry.log if isinstance(entry.log, str) else f"{section} {index + 1}" if entry.log else ""
        interfaces = self._interfaces(entry.interface, *place, "interface")
        outward = direction is Direction.OUTBOUND
        return Rule(
            name=f"{section} {index + 1}",
            line=yamlfile.line_of(self.root, place),
            action=_ACTIONS[stated[0]],
            services=self._services(getattr(entry, stated[0]) or [], *place, stated[0]),
            source=self._scope(entry.source, *place, "from"),
            destination=self._scope(entry.to, *place, "to"),
            in_interfaces=() if outward else interfaces,
            out_interfaces=interfaces
            if outward
            else self._interfaces(entry.out_interface, *place, "out_interface"),
            rate=self._rate(entry.rate, *place, "rate"),
            until=nanoseconds(entry.until),
            reason=entry.reason,
            log=log,
        )

    def _check_interfaces(self, entry: RuleEntry, direction: Direction, place: tuple[str, int]) -> None:
        if entry.out_interface is not None and direction is not Direction.FORWARD:
            self.problem("only forward rules have 'out_interface'", *place, "out_interface")

    def _check_text(self, text: str, longest: int, *place: int | str) -> None:
        """What becomes a comment or a log prefix in the kernel; nft reads $ there as a variable."""
        if len(text.encode()) > longest:
            self.problem(f"longer than {longest} bytes", *place)
        if any(character in '"\\$' or not character.isprintable() for character in text):
            self.problem("cannot have a quote, a backslash, $ or a control character", *place)
        if place[-1] == "log" and not text:
            self.problem("an empty text; `log: true` writes the rule's name", *place)

    def _scope(self, words: list[str] | None, *place: int | str) -> Scope | None:
        if words is None:
            return None
        if not words:
            self.problem("an empty list matches nothing; remove the rule or the key", *place)
        group = words[0] if len(words) == 1 and words[0] in self.entries.groups else ""
        return Scope(group, ", ".join(words), self.book.addresses(words, *place))

    def _services(self, words: Iterable[str], *place: int | str) -> tuple[Service, ...]:
        found: list[Service] = []
        known = getattr(self, "services", services.BUILT_IN)
        for word in words:
            try:
                found += known[word] if word in known else [services.parse(word)]
            except ValueError as error:
                self.problem(str(error), *place)
        return services.combine(found)

    def _interfaces(self, words: list[str] | None, *place: int | str) -> tuple[str, ...]:
        names = [name for word in words or [] for name in self.entries.interfaces.get(word, [word])]
        for name in names:
            if not INTERFACE.fullmatch(name) or len(name.encode()) > INTERFACE_BYTES:
                self.problem(f"{name!r} is not an interface name (a * may end it)", *place)
        return tuple(dict.fromkeys(names))

    def _rate(self, text: str | None, *place: int | str) -> Rate | None:
        if text is None:
            return None
        try:
            return services.parse_rate(text)
        except ValueError as error:
            self.problem(str(error), *place)
            return None


_ACTIONS = {"allow": Action.ACCEPT, "deny": Action.DROP, "reject": Action.REJECT}
