"""The rollback, armed before the kernel changes and outside the process that changes it.

Where systemd runs, we are root and in its network namespace: a transient timer. Otherwise a process of its own session
(double fork, `sentinel.firewall.watchdog`), which also works inside a namespace and survives kill -9 of its parents;
where it dies with its unit's control group, the component takes overdue versions back when it starts again.
At the deadline it looks whether its version is still pending; if so it puts the previous state back. When the state
cannot be read it falls back to the script written while arming: rather a stale ruleset than a lock-out.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel import process
from sentinel.errors import FirewallError, ProgramError, SentinelError
from sentinel.firewall import boot, kernel, names, nft, versions
from sentinel.firewall.versions import Standing

if TYPE_CHECKING:
    from sentinel.firewall.versions import Version
    from sentinel.state import State

LOOK_SECONDS = 0.5  # how soon a confirmed version's watchdog notices and ends
ARMED = b"armed\n"
ARMING_SECONDS = 30.0


def arm(state: State, version: Version, seconds: float) -> None:
    """Returns only when the rollback stands; raises FirewallError when nothing would fire."""
    _write_script(state, version)
    command = [
        sys.executable,
        "-m",
        "sentinel.firewall.watchdog",
        str(state.path.parent),
        str(version.number),
    ]
    if _systemd_is_ours() and os.geteuid() == 0:  # others may not start units
        _arm_timer([*command, "0"], version, seconds)
    else:
        _arm_process([*command, str(seconds)])


def script_path(state: State, number: int) -> Path:
    return versions.folder(state) / f"rollback-{number}.nft"


def _write_script(state: State, version: Version) -> None:
    """The fallback: the previous version as it would be installed now."""
    from sentinel.firewall import bans  # heavy (pydantic), and the watchdog's own process does without

    current = versions.find(state, Standing.CURRENT)
    if current is None:
        text = nft.REMOVE + (versions.folder(state) / boot.BEFORE_FILE).read_text()
    else:
        now = time.time_ns()
        complete = names.resolved(state, versions.ruleset(state, current.number))
        text = nft.render(complete, now) + bans.script(state, now)
    boot.write(script_path(state, version.number), text)


def _systemd_is_ours() -> bool:
    """A transient unit runs in systemd's own network namespace: of no use to us in another one."""
    with contextlib.suppress(OSError):
        ours, theirs = Path("/proc/thread-self/ns/net").stat(), Path("/proc/1/ns/net").stat()
        return Path("/run/systemd/system").is_dir() and ours.st_ino == theirs.st_ino
    return False


def timer_command(command: list[str], version: Version, seconds: float) -> list[str]:
    return [
        "systemd-run",
        "--quiet",
        "--collect",
        f"--unit=sentinel-rollback-{version.number}",
        f"--description=Roll back firewall version {version.number} unless confirmed",
        f"--on-active={seconds:g}s",
        "--timer-property=AccuracySec=100ms",
        "--",
        *command,
    ]


def _arm_timer(command: list[str], version: Version, seconds: float) -> None:
    try:
        process.run(timer_command(command, version, seconds), timeout_seconds=ARMING_SECONDS)
    except ProgramError as error:
        raise FirewallError(f"the rollback could not be armed, nothing was changed: {error}") from None


def _arm_process(command: list[str]) -> None:
    """Wait for its word: a watchdog that did not start would be a rollback that never fires."""
    reading, writing = os.pipe()
    try:
        child = process.start([*command, str(writing)], new_session=True, pass_fds=(writing,))
    finally:
        os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.readline()
    if child.wait(ARMING_SECONDS) != 0 or said != ARMED:
        raise FirewallError(
            "the rollback could not be armed, nothing was changed: the watchdog did not start"
        )


# --- the process ------------------------------------------------------------------------------------------------


def main(arguments: list[str]) -> int:
    directory, number, seconds = Path(arguments[0]), int(arguments[1]), float(arguments[2])
    if len(arguments) > 3:
        _detach()
        os.write(int(arguments[3]), ARMED)
        os.close(int(arguments[3]))
    deadline = (
        time.clock_gettime(time.CLOCK_BOOTTIME) + seconds
    )  # runs on while suspended, deaf to clock changes
    while (left := deadline - time.clock_gettime(time.CLOCK_BOOTTIME)) > 0:
        time.sleep(min(left, LOOK_SECONDS))
        if not _still_pending(directory, number):
            _tidy(directory, number)
            return 0
    return _fire(directory, number)


def _detach() -> None:
    """A second fork: the session's leader ends, so no terminal and no parent can reach us."""
    if os.fork():
        os._exit(0)
    for name in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(name, signal.SIG_IGN)
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)


def _still_pending(directory: Path, number: int) -> bool:
    """In doubt it is pending."""
    from sentinel.state import State

    with contextlib.suppress(SentinelError, sqlite3.Error, OSError):
        state = State(directory)
        pending = versions.find(state, Standing.PENDING)
        state.close()
        return pending is not None and pending.number == number
    return True


def _fire(directory: Path, number: int) -> int:
    from sentinel.firewall import apply
    from sentinel.ledger import Ledger
    from sentinel.state import State

    try:
        state = State(directory)
        reason = "not confirmed in time"
        apply.roll_back_pending(state, Ledger(directory, actor="watchdog"), number, reason)
    except (SentinelError, sqlite3.Error, OSError, ValueError):
        kernel.run_script((directory / versions.FOLDER / f"rollback-{number}.nft").read_text())
        return 1
    _tidy(directory, number)
    return 0


def _tidy(directory: Path, number: int) -> None:
    (directory / versions.FOLDER / f"rollback-{number}.nft").unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
