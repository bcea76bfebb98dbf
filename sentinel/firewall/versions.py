"""Applied rulesets and the order of their states; every change here and in the kernel happens under one file lock.

    pending     in the kernel, waits for `confirm`; the watchdog takes it back at its deadline
    current     in the kernel, confirmed
    superseded  was current            rolled-back  was pending            failed  the kernel refused it

At most one version is pending and one current. What the kernel should hold is the pending one, else the current one.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sentinel.errors import FirewallError
from sentinel.firewall import kernel, listing
from sentinel.firewall.ruleset import Ruleset

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sentinel.firewall.listing import Listing
    from sentinel.state import State

PENDING_KEY = "firewall.pending"
LISTING_KEY = "firewall.listing"
FOLDER = "firewall"
LOCK_FILE = "lock"
KEPT_VERSIONS = 100
GRACE_NANOSECONDS = 5_000_000_000  # the watchdog goes first


class Standing(enum.Enum):
    PENDING = "pending"
    CURRENT = "current"
    SUPERSEDED = "superseded"
    ROLLED_BACK = "rolled-back"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Version:
    number: int
    applied: int
    standing: Standing
    author: str
    reason: str
    digest: str


def folder(state: State) -> Path:
    place = state.path.parent / FOLDER
    place.mkdir(mode=0o750, exist_ok=True)
    return place


@contextlib.contextmanager
def locked(state: State) -> Iterator[None]:
    """Held around every change of the kernel's table and of the rows that describe it."""
    with (folder(state) / LOCK_FILE).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
        hand_over(state.path.parent)


def hand_over(directory: Path) -> None:
    """What root's commands create belongs to the state directory's owner, or the daemon could not write it later.

    SQLite gives its side files the owner of the database by itself.
    """
    owner = directory.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        return
    place = directory / FOLDER
    for path in (*directory.glob("*.db"), *directory.glob("*.jsonl"), place, *place.glob("*")):
        if path.exists() and path.stat().st_uid != owner.st_uid:
            os.chown(path, owner.st_uid, owner.st_gid)


def overdue(state: State, now: int) -> int | None:
    """A pending version whose deadline went by: its watchdog must have died with its control group."""
    deadline = state.checkpoint(PENDING_KEY)
    pending = find(state, Standing.PENDING) if deadline else None
    if pending and pending.number == deadline["version"] and deadline["deadline"] + GRACE_NANOSECONDS < now:
        return pending.number
    return None


def in_sync(state: State) -> bool:
    """Does the kernel list the table as it did when it was installed? Elements are not looked at."""
    return listing.read(kernel.listing()) == noted(state)


def noted(state: State) -> Listing:
    """How the kernel listed the table when it was installed."""
    return listing.read(str(state.checkpoint(LISTING_KEY) or ""))


_HISTORY = (
    "SELECT version, applied, state, author, reason, digest FROM firewall_version ORDER BY version DESC"
)


def _version(row: Any) -> Version:
    number, applied, standing, author, reason, digest = row
    return Version(number, applied, Standing(standing), author, reason, digest)


def history(state: State) -> list[Version]:
    return [_version(row) for row in state.read(_HISTORY)]


def find(state: State, *standings: Standing) -> Version | None:
    """The newest version in one of these states."""
    return next((version for version in history(state) if version.standing in standings), None)


def expected(state: State) -> Version | None:
    return find(state, Standing.PENDING) or find(state, Standing.CURRENT)


def ruleset(state: State, number: int) -> Ruleset:
    return Ruleset.from_json(_stored(state, number)[0])


def policy_text(state: State, number: int) -> str:
    return _stored(state, number)[1]


def _stored(state: State, number: int) -> tuple[str, str]:
    rows = state.read("SELECT ruleset, policy FROM firewall_version WHERE version = ?", (number,))
    if not rows:
        raise FirewallError(f"there is no firewall version {number}")
    return rows[0]["ruleset"], rows[0]["policy"]


def add(state: State, compiled: str, digest: str, policy: str, *, author: str, reason: str) -> Version:
    now = time.time_ns()
    with state.write() as connection:
        cursor = connection.execute(
            "INSERT INTO firewall_version (applied, state, author, reason, digest, ruleset, policy)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (now, Standing.PENDING.value, author, reason, digest, compiled, policy),
        )
        number = int(cursor.lastrowid or 0)
        connection.execute(
            "DELETE FROM firewall_version WHERE version <= ? AND state NOT IN ('pending', 'current')",
            (number - KEPT_VERSIONS,),
        )
    return Version(number, now, Standing.PENDING, author, reason, digest)


def mark(state: State, changes: dict[int, Standing]) -> None:
    with state.write() as connection:
        for number, standing in changes.items():
            connection.execute(
                "UPDATE firewall_version SET state = ? WHERE version = ?", (standing.value, number)
            )
