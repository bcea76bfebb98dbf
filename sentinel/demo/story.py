"""The demo's promises, each kept for real and measured.

A promise is a function of the stage: it does something to the lab, waits for Sentinel's own evidence (journals, the
kernel, stock tools, the CLI's JSON) and returns one line that says what was seen. A broken promise raises.
"""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sentinel import process
from sentinel.demo.lab import ATTACKERS, CUSTOMER
from sentinel.errors import SentinelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.demo.stage import Stage

ALERT_SECONDS = 90.0
BAN_SECONDS = 90.0
REPAIR_SECONDS = 60.0

# attack -> (its address, planes that must see it)
ATTACKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "sql-injection": (ATTACKERS[0], ("network", "logs")),
    "path-traversal": (ATTACKERS[1], ("network", "logs")),
    "log4shell": (ATTACKERS[2], ("network", "logs")),
    "port-scan": (ATTACKERS[3], ("network",)),
    "credential-stuffing": (ATTACKERS[4], ("logs",)),
}


@dataclass(frozen=True, slots=True)
class Promise:
    plane: str
    text: str
    keep: Callable[[Stage], str]


def wait_for(what: str, seconds: float, probe: Callable[[], Any]) -> Any:
    """The first true value of `probe`; asked 20 times a second."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = probe()
        if value:
            return value
        time.sleep(0.05)
    raise SentinelError(f"{what}: not within {seconds:g} s")


# --- firewall: allowlist ------------------------------------------------------------------------------------------


def allowlist(stage: Stage) -> str:
    answer = stage.visit(stage.lab.customer, "knock", CUSTOMER)
    if answer["status"] != 200:
        raise SentinelError(f"the customer got {answer['status']} from the shop")
    closed = stage.visit(stage.lab.attacker, "knock", ATTACKERS[0], str(stage.ADMIN_PORT))
    if closed["status"] is not None:
        raise SentinelError("the admin port, which no rule allows, answered")
    return f"port 80 answers 200; port {stage.ADMIN_PORT}, open on the host, times out from outside"


# --- detection and response -----------------------------------------------------------------------------------------


def detection(stage: Stage) -> str:
    stage.attack_started = time.time()
    attacks = [stage.visit_later(stage.lab.attacker, role) for role in ATTACKS]
    wait_for("alerts of all attacks", ALERT_SECONDS, lambda: not _unseen(stage))
    stage.attack_results = [visit.result() for visit in attacks]
    planes = {plane: len(stage.alerts(plane)) for plane in ("network", "logs")}
    first = min(alert["signature"] for alert in stage.alerts("network", ATTACKERS[2]))
    return f"5 attacks seen: {planes['network']} network and {planes['logs']} log alerts; such as “{first}”"


def _unseen(stage: Stage) -> list[str]:
    return [
        f"{attack} in {plane}"
        for attack, (address, planes) in ATTACKS.items()
        for plane in planes
        if not stage.alerts(plane, address)
    ]


def ban(stage: Stage) -> str:
    wait_for("all attackers banned", BAN_SECONDS, lambda: set(ATTACKERS) <= stage.ban_records())
    took = time.time() - stage.attack_started
    knocks = {address: stage.visit_later(stage.lab.attacker, "knock", address) for address in ATTACKERS}
    for address, knock in knocks.items():
        answer = knock.result()
        if answer["status"] is not None:
            raise SentinelError(f"{address} is banned, yet the shop answered {answer['status']}")
    stuffing = stage.attack_results[-1]
    cut = f"stuffing cut off after {stuffing['attempts_answered']} of {stuffing['planned']} attempts"
    return f"{len(ATTACKERS)} addresses banned within {took:.1f} s of the first attack, new connections time out; {cut}"


def customer(stage: Stage) -> str:
    answers = stage.customer_answers()
    if set(answers["answers"]) != {"200"}:
        raise SentinelError(f"the customer got {answers['answers']}")
    return (
        f"{answers['answers']['200']} requests meanwhile, every one a 200, slowest {answers['slowest_ms']} ms"
    )


# --- firewall: drift ------------------------------------------------------------------------------------------------


def drift(stage: Stage) -> str:
    before = stage.ruleset()
    chain = stage.input_chain()
    stage.lab.shop.run(["nft", "flush", "chain", "inet", "sentinel", chain])
    started = time.monotonic()
    wait_for("the flushed chain", REPAIR_SECONDS, lambda: stage.ruleset() == before)
    took = (time.monotonic() - started) * 1000
    if not set(ATTACKERS) <= stage.banned():
        raise SentinelError("bans were lost in the repair")
    return f"chain {chain} flushed by hand, whole again after {took:.0f} ms, bans kept, written to the ledger"


# --- backup ---------------------------------------------------------------------------------------------------------


def backup(stage: Stage) -> str:
    stage.sentinel("backup", "init", "main")
    stage.sentinel("backup", "run", "shop-db")
    check = process.run(
        ["restic", "-r", str(stage.repository), "check", "--read-data"], env=stage.restic_environment
    )
    if b"no errors were found" not in check.stdout:
        raise SentinelError(f"stock restic: {check.stdout.decode(errors='replace')[-200:]}")
    size = sum(file.stat().st_size for file in stage.repository.rglob("*") if file.is_file())
    return f"orders backed up, {size / 1024:.0f} KiB encrypted; stock restic check --read-data: no errors were found"


def restore(stage: Stage) -> str:
    before = orders(stage)
    stage.destroy_database()
    if orders(stage) is not None:
        raise SentinelError("the database is still there")
    started = time.monotonic()
    stage.sentinel("playbook", "run", "restore-sqlite", *stage.restore_arguments())
    took = time.monotonic() - started
    after = orders(stage)
    if before is None or after != before:
        raise SentinelError("the orders are not what they were")
    return f"database deleted; playbook restore-sqlite brought back all {len(after)} orders, identical, in {took:.1f} s"


def orders(stage: Stage) -> list[Any] | None:
    try:
        with sqlite3.connect(f"file:{stage.database}?mode=ro", uri=True) as connection:
            return connection.execute("SELECT * FROM orders ORDER BY id").fetchall()
    except sqlite3.OperationalError:
        return None


def drill(stage: Stage) -> str:
    stage.sentinel("backup", "drill", "shop-db")
    row = stage.state.read("SELECT * FROM drill_run ORDER BY id DESC LIMIT 1")[0]
    if row["result"] != "ok":
        raise SentinelError(f"drill: {row['result']}: {row['detail']}")
    return f"same playbook rehearsed in a sandbox: RTO {row['rto_seconds']:.1f} s, RPO {row['rpo_seconds']:.0f} s"


# --- operate --------------------------------------------------------------------------------------------------------

KEY_METRICS = ("sentinel_alerts_total", "sentinel_network_packets_total", "sentinel_firewall_drift_total")


def observe(stage: Stage) -> str:
    text = stage.scrape()
    values = {name: _sum(text, name) for name in KEY_METRICS}
    absent = [name for name, value in values.items() if not value]
    if absent:
        raise SentinelError(f"no value for {', '.join(absent)}")
    families = text.count("# TYPE ")
    shown = ", ".join(f"{name.removeprefix('sentinel_')} {value:.0f}" for name, value in values.items())
    return f"{families} metric families on one endpoint: {shown}"


def _sum(text: str, name: str) -> float:
    lines = (line for line in text.splitlines() if line.startswith((name + "{", name + " ")))
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def ledger(stage: Stage) -> str:
    verdict = json.loads(stage.sentinel("ledger", "verify", "--json"))
    components = json.loads(stage.sentinel("status", "--json"))
    down = [row["component"] for row in components if row["state"] != "running"]
    if down:
        raise SentinelError(f"not running: {', '.join(down)}")
    return f"{verdict['entries']} records, chain intact; {len(components)} components running"


PROMISES = (
    Promise("firewall", "only what the policy allows gets in", allowlist),
    Promise("network, logs", "attacks are seen on the wire and in the logs", detection),
    Promise("response", "attackers are banned", ban),
    Promise("firewall", "drift is repaired", drift),
    Promise("backup", "backups are encrypted and open to stock restic", backup),
    Promise("backup", "lost data comes back by playbook", restore),
    Promise("backup", "restores are rehearsed", drill),
    Promise("firewall", "customers notice nothing", customer),
    Promise("operate", "everything is measured", observe),
    Promise("operate", "everything done is on record", ledger),
)
