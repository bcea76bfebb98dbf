"""Three hosts on one machine: network namespaces joined by veth pairs, gone when their holder processes end.

    attacker 203.0.113.66-70 ── wan0 ┐
                                     ├ shop 192.0.2.1 (own address on lo)
    customer 198.51.100.20   ── wan1 ┘

A namespace lives as long as a process in it: each host is a `sleep` started by unshare(1) and entered with
nsenter(1), which needs no /run/netns and so works as root and inside an unprivileged user namespace alike.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sentinel import process
from sentinel.errors import CapabilityError, ProgramError, SentinelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SHOP = "192.0.2.1"
CUSTOMER = "198.51.100.20"
ATTACKERS = tuple(f"203.0.113.{host}" for host in range(66, 71))
INSIDE = "SENTINEL_DEMO_INSIDE"  # set in the process that already has a user namespace of its own
READY_SECONDS = 30.0


@dataclass(slots=True)
class Host:
    """One namespace. `run` is a command to its end, `start` a server; both see only this host's network."""

    name: str
    holder: process.Child
    children: list[process.Child] = field(default_factory=list)

    def command(self, argv: Sequence[str]) -> list[str]:
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "--", *argv]

    def run(
        self, argv: Sequence[str], *, timeout_seconds: float = 60.0, check: bool = True
    ) -> process.Result:
        return process.run(self.command(argv), timeout_seconds=timeout_seconds, check=check)

    def start(self, argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> process.Child:
        with log.open("ab") as output:
            child = process.start(self.command(argv), output=output.fileno(), env=env, new_session=True)
        self.children.append(child)
        return child

    def close(self) -> None:
        for child in reversed(self.children):
            process.stop(child, grace_seconds=15.0)
        process.stop(self.holder, grace_seconds=0.5)


def enter_user_namespace() -> None:
    """Go on as the root of a new user and network namespace where we are not root; returns if nothing is needed."""
    if os.geteuid() == 0:
        return
    if os.environ.get(INSIDE):
        raise CapabilityError("the demo got a user namespace without root in it")
    probe = process.run(["unshare", "--user", "--map-root-user", "--net", "true"], check=False)
    if probe.returncode != 0:
        raise CapabilityError(
            "the demo needs root, or user namespaces: run it with sudo, or allow them "
            f"(sysctl kernel.unprivileged_userns_clone=1). unshare said: {probe.stderr}"
        )
    program = process.find("unshare")
    assert program is not None
    namespaces = ["--user", "--map-root-user", "--net", "--mount"]
    own = [sys.executable, "-m", "sentinel", *sys.argv[1:]]
    os.execve(program, [program, *namespaces, "--", *own], {**os.environ, INSIDE: "1"})  # noqa: S606 - argv list


class Lab:
    """The three hosts, wired; a context manager that ends everything it started."""

    def __init__(self) -> None:
        self.hosts: list[Host] = []

    def __enter__(self) -> Self:
        try:
            self.shop, self.attacker, self.customer = (
                self._host(name) for name in ("shop", "attacker", "customer")
            )
            self._wire()
        except ProgramError as error:
            self.close()
            raise CapabilityError(
                f"network namespaces cannot be made: {error}; needs CAP_SYS_ADMIN and CAP_NET_ADMIN"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for host in self.hosts:
            host.close()

    def _host(self, name: str) -> Host:
        holder = process.start(["unshare", "--net", "--", "sleep", "infinity"], new_session=True)
        host = Host(name, holder)
        self.hosts.append(host)
        own = Path("/proc/self/ns/net").readlink()
        deadline = time.monotonic() + READY_SECONDS
        while Path(f"/proc/{holder.pid}/ns/net").readlink() == own:
            if holder.poll() is not None or time.monotonic() > deadline:
                raise SentinelError("a network namespace could not be made (unshare --net failed)")
            time.sleep(0.005)
        return host

    def _wire(self) -> None:
        for host in self.hosts:
            host.run(["ip", "link", "set", "lo", "up"])
        self.shop.run(["ip", "address", "add", f"{SHOP}/32", "dev", "lo"])
        self._link(self.attacker, "wan0", "203.0.113.1", ATTACKERS)
        self._link(self.customer, "wan1", "198.51.100.1", (CUSTOMER,))

    def _link(self, host: Host, interface: str, gateway: str, addresses: Sequence[str]) -> None:
        """A veth pair: `interface` at the shop with the gateway's address, eth0 at the other host."""
        self.shop.run(
            [
                "ip",
                "link",
                "add",
                interface,
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                str(host.holder.pid),
            ]
        )
        self.shop.run(["ip", "address", "add", f"{gateway}/24", "dev", interface])
        self.shop.run(["ip", "link", "set", interface, "up"])
        for address in addresses:
            host.run(["ip", "address", "add", f"{address}/24", "dev", "eth0"])
        host.run(["ip", "link", "set", "eth0", "up"])
        host.run(["ip", "route", "add", "default", "via", gateway])
