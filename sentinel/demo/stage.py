"""What the story plays on: the lab, the shop's files, Sentinel's configuration, and Sentinel itself running.

Everything Sentinel does here it does as on a real host: `sentinel run` with a configuration file, and its own
commands, all started inside the shop's namespace.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from sentinel import shipped
from sentinel.demo.lab import CUSTOMER, SHOP, Host, Lab
from sentinel.errors import ProgramError, SentinelError
from sentinel.state import State

if TYPE_CHECKING:
    from pathlib import Path

    from sentinel import process

START_SECONDS = 120.0  # the first start compiles the rules; later ones take them from the cache
COMMAND_SECONDS = 60.0

CONFIG = """\
host: demo-shop
state_directory: {folder}/state
network:
  interfaces: [wan0, wan1]
  rules: [{rules}/network]
  vars: {{HOME_NET: [{shop}/32]}}
logs:
  rules: [{rules}/logs]
  files: [{{path: {folder}/shop/access.log, format: nginx-access}}]
firewall: {{policy: {folder}/policy.yml, enforce: true}}
response:
  bans: {{mode: active, duration: 10m}}
  minimum_level: medium
backup:
  repositories: {{main: {{store: {folder}/repository, password_file: {folder}/repository.key}}}}
  jobs:
    shop-db:
      source: {{sqlite: {{path: {folder}/shop/shop.db}}}}
      repository: main
      schedule: "0 */6 * * *"
      keep: {{daily: 14}}
      drill: {{playbook: restore-sqlite, schedule: "30 3 * * *"}}
metrics: {{listen: "127.0.0.1:{metrics_port}"}}
"""

POLICY = """\
default: {{inbound: drop, outbound: accept}}
groups: {{office: [{customer}]}}
services: {{ssh: tcp/22, web: tcp/80}}
inbound:
  - {{allow: web}}
  - {{allow: ssh, from: office, log: true}}
failsafe: [{{allow: ssh, from: office}}]
never_ban: [office]
"""


class Visit(threading.Thread):
    """A visitor's process, waited for in a thread."""

    def __init__(self, host: Host, role: str, *arguments: str) -> None:
        super().__init__(daemon=True)
        self._host = host
        self._argv = [sys.executable, "-m", "sentinel.demo.visitors", role, *arguments]
        self._answer: dict[str, Any] | ProgramError | None = None
        self.start()

    def run(self) -> None:
        try:
            self._answer = json.loads(self._host.run(self._argv, timeout_seconds=120.0).stdout)
        except ProgramError as error:
            self._answer = error

    def result(self) -> dict[str, Any]:
        self.join()
        if not isinstance(self._answer, dict):
            raise SentinelError(f"a visitor failed: {self._answer}")
        return self._answer


class Stage:
    METRICS_PORT = 9480
    ADMIN_PORT = 8080

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self.repository = folder / "repository"
        self.database = folder / "shop" / "shop.db"
        self.config = folder / "sentinel.yml"
        self.attack_started = 0.0
        self.attack_results: list[dict[str, Any]] = []
        self._customer: Visit | None = None
        self._write_files()
        self.state = State(folder / "state")
        self.restic_environment = {
            "RESTIC_PASSWORD_FILE": str(folder / "repository.key"),
            "RESTIC_CACHE_DIR": str(folder / "cache"),
        }

    def _write_files(self) -> None:
        (self.folder / "shop").mkdir()
        rules = shipped.folder("rules")
        values = {
            "folder": self.folder,
            "rules": rules,
            "shop": SHOP,
            "customer": CUSTOMER,
            "metrics_port": self.METRICS_PORT,
        }
        self.config.write_text(CONFIG.format(**values))
        (self.folder / "policy.yml").write_text(POLICY.format(**values))
        key = self.folder / "repository.key"
        key.touch(0o600)
        key.write_text(secrets.token_urlsafe(24) + "\n")

    # --- the shop and its daemon ----------------------------------------------------------------------------

    def open_shop(self) -> process.Child:
        """The web shop on port 80, and its admin page on a port that no policy rule allows."""
        argv = [
            sys.executable,
            "-m",
            "sentinel.demo.shop",
            str(self.folder / "shop"),
            "80",
            str(self.ADMIN_PORT),
        ]
        return self.lab.shop.start(argv, self.folder / "shop.log")

    def start_sentinel(self) -> process.Child:
        """`sentinel run`, all components; returns when it says READY as it would to systemd."""
        address = self.folder / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            link.bind(str(address))
            link.settimeout(0.5)
            argv = [sys.executable, "-m", "sentinel", "run", "--config", str(self.config)]
            environment = {
                "NOTIFY_SOCKET": str(address),
                "SENTINEL_CACHE": os.environ.get("SENTINEL_CACHE", ""),
            }
            child = self.lab.shop.start(argv, self.folder / "sentinel.log", environment)
            deadline = time.monotonic() + START_SECONDS
            while time.monotonic() < deadline and child.poll() is None:
                try:
                    if b"READY=1" in link.recv(4096):
                        return child
                except TimeoutError:
                    continue
        tail = (self.folder / "sentinel.log").read_text().splitlines()[-5:]
        raise SentinelError("sentinel run did not become ready; its log ends with:\n" + "\n".join(tail))

    def sentinel(self, *arguments: str) -> str:
        """One of Sentinel's own commands, on the shop host; its stdout."""
        argv = [sys.executable, "-m", "sentinel", *arguments, "--config", str(self.config)]
        done = self.lab.shop.run(argv, timeout_seconds=COMMAND_SECONDS, check=False)
        if done.returncode != 0:
            raise SentinelError(
                f"sentinel {' '.join(arguments)}: exit {done.returncode}: {done.stderr[-600:]}"
            )
        return done.stdout.decode()

    # --- evidence -------------------------------------------------------------------------------------------

    def alerts(self, plane: str, address: str = "") -> list[dict[str, Any]]:
        """Alerts in a plane's journal, of one address or of all."""
        path = self.folder / "state" / "journal" / f"{plane}.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        events = [json.loads(line) for line in lines if line.endswith("}")]
        return [
            event["alert"]
            for event in events
            if not address or address in {event.get("src_ip"), event.get("dest_ip")}
        ]

    def ban_records(self) -> set[str]:
        """Bans as state has them: cheap to ask often. `banned` asks the kernel through the command line."""
        return {row["address"] for row in self.state.read("SELECT address FROM ban")}

    def banned(self) -> set[str]:
        return {ban["address"] for ban in json.loads(self.sentinel("firewall", "bans", "--json"))}

    def ruleset(self) -> Any:
        """The kernel's rules without what changes by itself: handles, counters, set elements."""
        listing = json.loads(self.lab.shop.run(["nft", "--json", "list", "table", "inet", "sentinel"]).stdout)
        return [_stable(item["rule"]) for item in listing["nftables"] if "rule" in item]

    def input_chain(self) -> str:
        listing = json.loads(self.lab.shop.run(["nft", "--json", "list", "table", "inet", "sentinel"]).stdout)
        chains = [item["chain"] for item in listing["nftables"] if "chain" in item]
        return str(next(chain["name"] for chain in chains if chain.get("hook") == "input"))

    def scrape(self) -> str:
        code = f"import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:{self.METRICS_PORT}/metrics', timeout=5).read().decode())"
        return self.lab.shop.run([sys.executable, "-c", code]).stdout.decode()

    # --- people ---------------------------------------------------------------------------------------------

    def visit(self, host: Host, role: str, *arguments: str) -> dict[str, Any]:
        return Visit(host, role, *arguments).result()

    def visit_later(self, host: Host, role: str, *arguments: str) -> Visit:
        return Visit(host, role, *arguments)

    def customer_arrives(self) -> None:
        """Comes in and stays until `customer_answers` asks how it was."""
        self._stay = self.folder / "customer-stays"
        self._stay.touch()
        self._customer = self.visit_later(self.lab.customer, "customer", str(self._stay))

    def customer_answers(self) -> dict[str, Any]:
        assert self._customer is not None
        self._stay.unlink()
        return self._customer.result()

    def destroy_database(self) -> None:
        for file in self.database.parent.glob("shop.db*"):
            file.unlink()

    def restore_arguments(self) -> list[str]:
        """Approvals are given here, at run time, as a person would give them."""
        return ["--job", "shop-db", "--approve", "set-aside", "--approve", "put-in-place"]


def _stable(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _stable(item)
            for key, item in value.items()
            if key not in {"handle", "packets", "bytes", "index"}
        }
    if isinstance(value, list):
        return [_stable(item) for item in value]
    return value
