"""The last confirmed ruleset in a file, for the unit that runs before the network comes up.

`restore` renders the confirmed version afresh (bans and `until` with the time that is left today). Should the state
be unreadable at boot, the file written at the last confirmation goes in as it is: closed rather than open.
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

from sentinel.errors import FirewallError, SentinelError
from sentinel.firewall import kernel, versions
from sentinel.firewall.versions import Standing

if TYPE_CHECKING:
    from pathlib import Path

    from sentinel.state import State

LAST_GOOD_FILE = "last-good.nft"
INSTALLED_FILE = "installed.nft"
BEFORE_FILE = "before.nft"


def note(state: State, table: str) -> None:
    """What was just installed, without bans: those are in the state and end by themselves."""
    (versions.folder(state) / INSTALLED_FILE).write_text(table)


def keep(state: State) -> None:
    """What is installed was confirmed."""
    write(versions.folder(state) / LAST_GOOD_FILE, (versions.folder(state) / INSTALLED_FILE).read_text())


def write(path: Path, text: str) -> None:
    """Whole or not at all, also over a power cut."""
    fresh = path.with_suffix(".new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.chmod(0o640)
    fresh.replace(path)


def restore(directory: Path) -> str:
    """Put the last good ruleset in place; says which one. A version that waited for confirmation did not survive."""
    from sentinel.firewall import apply
    from sentinel.state import State

    try:
        state = State(directory)
        with versions.locked(state):
            pending = versions.find(state, Standing.PENDING)
            if pending:
                versions.mark(state, {pending.number: Standing.ROLLED_BACK})
            current = versions.find(state, Standing.CURRENT)
            if current is None:
                return "no policy was ever confirmed: nothing to restore"
            apply.install(state, versions.ruleset(state, current.number))
    except (SentinelError, sqlite3.Error, OSError, ValueError) as error:
        path = directory / versions.FOLDER / LAST_GOOD_FILE
        if not path.exists():
            raise FirewallError(f"no last good ruleset to restore: {error}") from None
        kernel.run_script(path.read_text())
        return f"last good ruleset from {path} ({error})"
    return f"version {current.number}"
