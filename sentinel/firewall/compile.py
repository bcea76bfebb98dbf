"""Policy -> Ruleset: pure and deterministic; the same policy gives the same bytes.

Order in `inbound`: loopback, failsafe, bans (never_ban first), established, neighbour discovery (RFC 4890 4.4.1,
hop limit 255 as RFC 4861 asks), invalid, the policy's rules, the default. ICMP errors are `related` to a connection
and pass as such. A rule with `rate` or `log` gets a chain of its own, so that its limit is one limit whatever number
of nft rules its families and protocols need.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sentinel.firewall.policy import Action, Direction
from sentinel.firewall.ruleset import (
    BAN_LENGTHS,
    LINK_LOCAL_SET,
    NEVER_SETS,
    Chain,
    Kind,
    Limit,
    Rule,
    Ruleset,
    Set,
    ban_set,
)
from sentinel.firewall.services import FAMILY_OF, ICMP_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentinel.firewall import policy as p
    from sentinel.firewall.groups import Addresses
    from sentinel.firewall.services import Service

HOOKS = {Direction.INBOUND: "input", Direction.OUTBOUND: "output", Direction.FORWARD: "forward"}
LINK_LOCAL = (0xFE80 << 112, (0xFE80 << 112) | ((1 << 118) - 1), None)  # fe80::/10
NEIGHBOUR = ("nd-neighbor-solicit", "nd-neighbor-advert")
ROUTER = {
    Direction.INBOUND: ("nd-router-advert",),
    Direction.OUTBOUND: ("nd-router-solicit",),
}
LISTENER = ("mld-listener-query", "mld-listener-report", "mld-listener-done", "mld2-listener-report")
LOG_LIMIT = Limit(10, "second", 20)  # a flood of matches must not become a flood of log lines
RATE_MEMORY_SECONDS = {"second": 60, "minute": 60, "hour": 3_600, "day": 86_400}


def compile_policy(policy: p.Policy) -> Ruleset:
    return _Compiler(policy).ruleset()


class _Compiler:
    def __init__(self, policy: p.Policy) -> None:
        self.policy = policy
        self.sets: dict[str, Set] = {}
        self.rule_chains: list[Chain] = []

    def ruleset(self) -> Ruleset:
        self._fixed_sets()
        chains = [Chain("bans", tuple(_bans())), *(self._base_chain(direction) for direction in Direction)]
        sets = tuple(self.sets[name] for name in sorted(self.sets))
        return Ruleset(sets, (chains[0], *self.rule_chains, *chains[1:]))  # a jump's target comes first

    def _fixed_sets(self) -> None:
        for family, lengths in BAN_LENGTHS.items():
            self._add(_addresses(NEVER_SETS[family], self.policy.never_ban, family))
            for length in lengths:
                self._add(Set(ban_set(family, length), Kind.BANS, family))
        self._add(Set(LINK_LOCAL_SET, Kind.ADDRESSES, 6, (LINK_LOCAL,)))

    def _add(self, new: Set) -> str:
        self.sets.setdefault(new.name, new)
        return new.name

    # --- base chains ----------------------------------------------------------------------------------------

    def _base_chain(self, direction: Direction) -> Chain:
        """The default is the last rule and the chain's policy: a flushed chain stays closed, and where a policy
        changes from drop to accept the rule decides until the kernel, after the rules, switches the policy too.
        """
        default = self.policy.default[direction]
        last = Rule(default.value, counter=True, comment=f"{direction.value} default")
        rules = (*self._opening(direction), *self._policy_rules(direction), last)
        policy = "accept" if default is Action.ACCEPT else "drop"
        return Chain(direction.value, rules, HOOKS[direction], policy)

    def _opening(self, direction: Direction) -> Iterator[Rule]:
        guarded = self.policy.default[direction] is not Action.ACCEPT
        if direction is Direction.INBOUND:
            yield Rule("accept", in_interfaces=("lo",))
            yield from self._failsafe()
        elif direction is Direction.OUTBOUND:
            yield Rule("accept", out_interfaces=("lo",))
            yield from self._failsafe_answers()
        if direction is not Direction.OUTBOUND:
            yield Rule("jump bans")
        if guarded or self.policy.rules[direction]:
            yield from _known(self._limits_requests(direction))
        yield from _discovery(direction)
        if guarded and direction is not Direction.OUTBOUND:
            yield Rule("drop", states=("invalid",), counter=True)

    def _limits_requests(self, direction: Direction) -> bool:
        services = (one for rule in self.policy.rules[direction] if rule.rate for one in rule.services)
        return any(one.protocol in ICMP_TYPES for one in services)

    def _failsafe(self) -> Iterator[Rule]:
        for rule in self.policy.failsafe:
            yield from self._rule(rule)

    def _failsafe_answers(self) -> Iterator[Rule]:
        """Answers of failsafe services, so that a lost connection table cannot cut the session either."""
        for rule in self.policy.failsafe:
            for nft_rule in self._matches(rule):
                if nft_rule.ports:
                    yield Rule(
                        "accept",
                        family=nft_rule.family,
                        out_interfaces=nft_rule.in_interfaces,
                        destination=nft_rule.source,
                        protocol=nft_rule.protocol,
                        source_ports=nft_rule.ports,
                        comment=f"{rule.name} answers",
                    )

    # --- rules of the policy --------------------------------------------------------------------------------

    def _policy_rules(self, direction: Direction) -> Iterator[Rule]:
        for rule in self.policy.rules[direction]:
            yield from self._rule(rule)

    def _rule(self, rule: p.Rule) -> Iterator[Rule]:
        matches = list(self._matches(rule))
        comment = f"{rule.name} {rule.reason}".strip()
        verdict, counter = rule.action.value, True
        if matches and (rule.rate or rule.log):
            verdict, counter = f"jump {self._own_chain(rule, comment)}", False
        for match in matches:
            yield _with(match, verdict, counter, comment)

    def _own_chain(self, rule: p.Rule, comment: str) -> str:
        name = _identifier(rule.name)
        rules: list[Rule] = list(self._rate(rule, name)) if rule.rate else []
        if rule.log:
            rules.append(Rule(limit=LOG_LIMIT, log=f"sentinel {rule.log}: "))
        rules.append(Rule(rule.action.value, counter=True, comment=comment))
        self.rule_chains.append(Chain(name, tuple(rules)))
        return name

    def _rate(self, rule: p.Rule, name: str) -> Iterator[Rule]:
        assert rule.rate is not None
        limit = Limit(rule.rate.count, rule.rate.unit, rule.rate.burst, over=True)
        if not rule.rate.per_source:
            yield Rule("return", limit=limit, counter=True)
            return
        memory = RATE_MEMORY_SECONDS[rule.rate.unit]
        for family in (4, 6):
            bucket = self._add(Set(f"rate_{name}_{family}", Kind.RATE, family, timeout_seconds=memory))
            yield Rule("return", family=family, rate_set=bucket, limit=limit, counter=True)

    def _matches(self, rule: p.Rule) -> Iterator[Rule]:
        """The conditions of one policy rule: one nft rule for each family and protocol it needs."""
        name = _identifier(rule.name)
        gate = self._gate(rule, name)
        for family in (4, 6) if rule.source or rule.destination else (0,):
            source = self._scope(rule.source, family, f"{name}_from")
            destination = self._scope(rule.destination, family, f"{name}_to")
            if source is None or destination is None:
                continue
            for service in rule.services:
                needed = FAMILY_OF.get(service.protocol, family)
                if family in {0, needed}:
                    yield _match(rule, service, needed or family, (source, destination), gate)

    def _gate(self, rule: p.Rule, name: str) -> str:
        if rule.until is None:
            return ""
        return self._add(Set(f"until_{name}", Kind.GATE, 0, ((2, 2, rule.until), (10, 10, rule.until))))

    def _scope(self, scope: p.Scope | None, family: int, own_name: str) -> str | None:
        """The set to look up: "" for everything, None where the scope has nothing of this family."""
        if scope is None:
            return ""
        if not scope.addresses.of(family) and not scope.addresses.names:
            return None
        name = f"g_{scope.group}_{family}" if scope.group else f"{own_name}_{family}"
        return self._add(_addresses(name, scope.addresses, family))


def _addresses(name: str, addresses: Addresses, family: int) -> Set:
    return Set(name, Kind.ADDRESSES, family, addresses.of(family), names=addresses.names)


def _match(rule: p.Rule, service: Service, family: int, scopes: tuple[str, str], gate: str) -> Rule:
    return Rule(
        family=family,
        in_interfaces=rule.in_interfaces,
        out_interfaces=rule.out_interfaces,
        gate=gate,
        source=scopes[0],
        destination=scopes[1],
        protocol="" if service.protocol == "any" else service.protocol,
        ports=service.ports,
        types=service.types,
    )


def _with(match: Rule, verdict: str, counter: bool, comment: str) -> Rule:
    return replace(match, verdict=verdict, counter=counter, comment=comment)


def _identifier(rule_name: str) -> str:
    return rule_name.replace(" ", "_")


def _known(limits_requests: bool) -> Iterator[Rule]:
    """Packets of known connections. All requests of one ping are one connection: where a rule limits their rate they
    must come to it, each of them.
    """
    states = ("established", "related")
    if not limits_requests:
        yield Rule("accept", states=states)
        return
    yield Rule("accept", states=states, not_protocols=("icmp", "ipv6-icmp"))
    for protocol, types in ICMP_TYPES.items():
        yield Rule("accept", states=states, protocol=protocol, types=tuple(types), other_types=True)


def _bans() -> Iterator[Rule]:
    for family, lengths in BAN_LENGTHS.items():
        yield Rule("return", family=family, source=NEVER_SETS[family])
        for length in lengths:
            prefix = 0 if length == 32 else length
            yield Rule(
                "drop", family=family, source=ban_set(family, length), source_length=prefix, counter=True
            )


def _discovery(direction: Direction) -> Iterator[Rule]:
    if direction is Direction.FORWARD:
        return  # link-local by definition: a router answers it, it never forwards it
    inbound = direction is Direction.INBOUND
    types = (*NEIGHBOUR, *ROUTER[direction])
    yield Rule("accept", family=6, protocol="icmpv6", types=types, hop_limit=255 if inbound else 0)
    source = LINK_LOCAL_SET if inbound else ""
    yield Rule("accept", family=6, source=source, protocol="icmpv6", types=LISTENER)
