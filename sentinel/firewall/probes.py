"""Does the host still work after an apply? What was reachable and may be reached must still be.

`observe` looks before: which TCP sessions the host has (its own /proc), which outbound peers answer. `failures` looks
after: the failsafe ports that listened still have a way in by the kernel's own rules (a new connection over loopback
would not show that, so the policy's evaluator decides), the sessions still stand, the listed peers still answer.
"""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sentinel import process
from sentinel.errors import ProgramError
from sentinel.firewall import explain, intervals, kernel
from sentinel.firewall.policy import Action, Direction

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sentinel.firewall.policy import Policy

    Answers = Mapping[str, Sequence[str]]  # of the DNS names in the policy

CONNECT_SECONDS = 1.0
SSH = (22, 22)  # stands in where a policy has no failsafe
MOST_PEERS = 8  # probed one after the other: a second each at worst
ESTABLISHED, LISTEN = 1, 10  # include/net/tcp_states.h
PROC_FILES = ((4, "/proc/thread-self/net/tcp"), (6, "/proc/thread-self/net/tcp6"))


@dataclass(frozen=True, slots=True)
class Session:
    """A TCP connection of this host, seen from here."""

    family: int
    local: int
    local_port: int
    remote: int
    remote_port: int

    def __str__(self) -> str:
        remote = intervals.format_address(self.family, self.remote)
        return f"{remote} port {self.remote_port} -> port {self.local_port}"


@dataclass(frozen=True, slots=True)
class Sockets:
    sessions: tuple[Session, ...]
    listening: frozenset[int]

    def inbound(self) -> tuple[Session, ...]:
        """Sessions that somebody else opened: their local port has a listener."""
        return tuple(session for session in self.sessions if session.local_port in self.listening)


@dataclass(frozen=True, slots=True)
class Observation:
    sessions: tuple[Session, ...]
    peers: tuple[tuple[str, int], ...]  # outbound peers that answered


def sockets() -> Sockets:
    rows = list(_rows())
    listening = frozenset(session.local_port for session, state in rows if state == LISTEN)
    return Sockets(tuple(session for session, state in rows if state == ESTABLISHED), listening)


def observe(policy: Policy) -> Observation:
    answering = tuple(peer for peer in _peers(policy) if _connects(*peer))
    return Observation(sockets().inbound(), answering)


def failures(policy: Policy, before: Observation, answers: Answers) -> list[str]:
    """Empty when all is well."""
    found = [] if kernel.listing() else ["the table is not in the kernel"]
    found += [
        f"session {one} would be refused"
        for one in cut(policy, before.sessions, answers)
        if is_failsafe(policy, one)
    ]
    standing = set(sockets().sessions)
    found += [
        f"session {session} broke"
        for session in before.sessions
        if session not in standing and is_failsafe(policy, session)
    ]
    return found + [
        f"{host} port {port} no longer answers" for host, port in before.peers if not _connects(host, port)
    ]


def cut(policy: Policy, sessions: tuple[Session, ...], answers: Answers) -> list[Session]:
    """Inbound sessions that the policy would not let in again."""
    now = time.time_ns()
    known = interfaces() if sessions else {}
    decided = ((one, explain.decide(policy, packet(one, known), now, answers=answers)) for one in sessions)
    return [one for one, decision in decided if decision.action is not Action.ACCEPT]


def interfaces() -> dict[tuple[int, int], str]:
    """(family, address) -> the interface that has it; {} without iproute2."""
    try:
        listing = process.run(["ip", "-j", "address"]).stdout
    except ProgramError:
        return {}
    return {
        intervals.parse_address(address["local"]): link["ifname"]
        for link in json.loads(listing)
        for address in link.get("addr_info", [])
        if "local" in address
    }


def packet(session: Session, known: dict[tuple[int, int], str]) -> explain.Packet:
    return explain.Packet(
        Direction.INBOUND,
        session.family,
        source=session.remote,
        destination=session.local,
        protocol="tcp",
        port=session.local_port,
        source_port=session.remote_port,
        in_interface="lo" if _is_loopback(session) else known.get((session.family, session.local)),
    )


def is_failsafe(policy: Policy, session: Session) -> bool:
    """A session on a failsafe port: an administrator's, wherever it comes from. Others may end by themselves."""
    ranges = [
        ports
        for rule in policy.failsafe
        for service in rule.services
        if service.protocol in {"tcp", "any"}
        for ports in service.ports or ((0, 65_535),)
    ] or [SSH]
    return not _is_loopback(session) and any(low <= session.local_port <= high for low, high in ranges)


def _is_loopback(session: Session) -> bool:
    return session.remote >> 24 == 127 if session.family == 4 else session.remote == 1


def _peers(policy: Policy) -> Iterator[tuple[str, int]]:
    """Single hosts with single TCP ports in the outbound allowlist."""
    found = 0
    for rule in policy.rules[Direction.OUTBOUND]:
        if rule.action is not Action.ACCEPT or rule.destination is None:
            continue
        hosts = [
            intervals.format_address(family, first)
            for family in (4, 6)
            for first, last, _ in rule.destination.addresses.of(family)[:MOST_PEERS]
            if first == last
        ] + list(rule.destination.addresses.names)
        ports = [low for s in rule.services if s.protocol == "tcp" for low, high in s.ports if low == high]
        for host in hosts:
            for port in ports:
                if found >= MOST_PEERS:
                    return
                found += 1
                yield host, port


def _connects(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), CONNECT_SECONDS):
            return True
    except OSError:
        return False


def _rows() -> Iterator[tuple[Session, int]]:
    for family, path in PROC_FILES:
        try:
            with open(path, encoding="ascii") as file:  # noqa: PTH123 - a proc file, not a path to handle
                lines = file.readlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            yield _session(family, fields[1], fields[2]), int(fields[3], 16)


def _session(family: int, local: str, remote: str) -> Session:
    here, here_port = local.split(":")
    there, there_port = remote.split(":")
    near, far = _number(here), _number(there)
    if family == 6 and near >> 32 == 0xFFFF and far >> 32 == 0xFFFF:
        family, near, far = 4, near & 0xFFFFFFFF, far & 0xFFFFFFFF
    return Session(family, near, int(here_port, 16), far, int(there_port, 16))


def _number(text: str) -> int:
    """/proc prints 32-bit words in host order."""
    words = [int(text[i : i + 8], 16).to_bytes(4, "little") for i in range(0, len(text), 8)]
    return int.from_bytes(b"".join(words), "big")
