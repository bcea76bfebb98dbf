"""A scratch place for drills: an own directory and, where asked, an own database server on a private socket.

In: a kind (directory, postgresql, mariadb, redis) and a parent directory. Out: `files` to restore into and `server`
to load into; nothing listens on the network and nothing outlives the sandbox. Invariant: opening the directory of an
interrupted run again continues with the same data. Servers refuse to run as root, so root runs them as their own
user; they end with the thread that started them (PR_SET_PDEATHSIG through setpriv), also after kill -9.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel import process
from sentinel.errors import CapabilityError, ProgramError, SourceError

if TYPE_CHECKING:
    import subprocess  # noqa: TID251 - only for the type
    from collections.abc import Callable, Iterator, Sequence

PREFIX = "sentinel-sandbox-"
START_SECONDS = 60.0  # a cold disk needs this long for the first start
RETRY_SECONDS = 2.0  # a server that exits at once may have met its predecessor still going down
STALE_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Server:
    """Where a client finds it; `host` is a socket directory (PostgreSQL) or socket (MariaDB, Redis)."""

    kind: str
    host: str
    user: str
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make and start one kind of server in `directory`. `account` is whom root runs it as."""

    account: str
    create: Callable[[Path], list[str]]
    serve: Callable[[Path], list[str]]
    answers: Callable[[Path], list[str]]
    server: Callable[[Path], Server]
    end_signal: signal.Signals


@dataclass(frozen=True, slots=True)
class Sandbox:
    root: Path
    server: Server | None = None

    @property
    def files(self) -> Path:
        return self.root / "files"


@contextlib.contextmanager
def opened(kind: str, parent: Path, *, root: Path | None = None, keep: bool = False) -> Iterator[Sandbox]:
    """`root` names the directory of an interrupted run; `keep` leaves it behind (the server still stops)."""
    if root and not root.is_dir():
        raise SourceError(f"sandbox {root} is gone; the run cannot be continued, start anew")
    place = root or make_root(parent)
    try:
        (place / "files").mkdir(mode=0o700, exist_ok=True)
        if kind == "directory":
            yield Sandbox(place)
        else:
            with running(kind, place) as server:
                yield Sandbox(place, server)
    except (KeyboardInterrupt, SystemExit):
        keep = True  # interrupted: --resume goes on here
        raise
    finally:
        if not keep:
            shutil.rmtree(place, ignore_errors=True)


def make_root(parent: Path) -> Path:
    try:
        parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        place.chmod(0o711)  # the server's account must reach its own directory below; `files` is 0700
    except OSError as error:
        raise SourceError(f"no sandbox in {parent}: {error.strerror}") from error
    return place


def remove_stale(parent: Path) -> int:
    """Directories that a crash left behind more than a day ago."""
    removed = 0
    for place in parent.glob(PREFIX + "*"):
        with contextlib.suppress(OSError):
            if time.time() - place.stat().st_mtime > STALE_SECONDS and place.stat().st_uid == os.geteuid():
                shutil.rmtree(place, ignore_errors=True)
                removed += 1
    return removed


@contextlib.contextmanager
def running(kind: str, place: Path) -> Iterator[Server]:
    """A server of this kind in `place`/server, made anew unless it is there already."""
    recipe = RECIPES[kind]
    directory = place / "server"
    directory.mkdir(mode=0o700, exist_ok=True)
    log = place / "server.log"
    prefix = _as_account(recipe, directory)
    if not (place / "created").exists():
        _create(recipe, directory, prefix)
        (place / "created").touch()
    with log.open("ab") as output:
        child = _serve(recipe, directory, prefix, output.fileno(), log)
        try:
            yield recipe.server(directory)
        finally:
            child.send_signal(recipe.end_signal)
            child.wait()


def _create(recipe: Recipe, directory: Path, prefix: Sequence[str]) -> None:
    data = directory / "data"
    if data.exists():
        shutil.rmtree(data)  # an earlier `create` was interrupted
    command = recipe.create(directory)
    if command:
        process.run([*prefix, *command], timeout_seconds=300, cwd="/")


def _serve(
    recipe: Recipe, directory: Path, prefix: Sequence[str], output: int, log: Path
) -> subprocess.Popen[bytes]:
    """Start and wait until it answers. A predecessor that is still going down makes the first tries fail."""
    began, child = time.monotonic(), None
    while time.monotonic() < began + START_SECONDS:
        if child is None or child.poll() is not None:
            if time.monotonic() > began + RETRY_SECONDS:
                break
            child = process.start(
                [*prefix, *recipe.serve(directory)], output=output, new_session=True, cwd="/"
            )
        if process.run(recipe.answers(directory), check=False, timeout_seconds=30).returncode == 0:
            return child
        time.sleep(0.1)
    if child is not None:
        process.stop(child)
    last = log.read_text(errors="replace").strip().splitlines()[-3:]
    raise SourceError(f"sandbox: the server does not start: {' / '.join(last)}")


def _as_account(recipe: Recipe, directory: Path) -> list[str]:
    """The argv prefix that drops to the server's own account (root only) and ties its life to ours."""
    tie = ["setpriv", "--pdeathsig", recipe.end_signal.name.removeprefix("SIG")]
    if os.geteuid() != 0:
        return tie
    for name in (recipe.account, "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            os.chown(directory, entry.pw_uid, entry.pw_gid)
            return [*tie, f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
    raise CapabilityError(f"sandbox: there is no user {recipe.account!r} to run the server as")


def find_program(*names: str) -> str:
    """A server's program: from PATH, or the newest of Debian's versioned folders."""
    for name in names:
        found = process.find(name)
        if found:
            return found
        versions = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
        newest = max(versions, key=lambda path: float(path.parts[-3]), default=None)
        if newest:
            return str(newest)
    raise ProgramError(f"{names[0]}: not installed; a sandbox of this kind needs it")


# --- one recipe a kind ----------------------------------------------------------------------------------------


def _postgresql_serve(directory: Path) -> list[str]:
    # A sandbox is thrown away: no promise to the disk is worth waiting for.
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(directory),
        "fsync": "off",
        "full_page_writes": "off",
        "synchronous_commit": "off",
        "shared_buffers": "64MB",
        "max_wal_size": "1GB",
    }
    options = [f"--{key}={value}" for key, value in settings.items()]
    return [find_program("postgres"), "-D", f"{directory}/data", *options]


def _mariadb_serve(directory: Path) -> list[str]:
    return [
        find_program("mariadbd", "mysqld"),
        "--no-defaults",
        f"--datadir={directory}/data",
        f"--socket={directory}/mariadb.sock",
        f"--pid-file={directory}/mariadb.pid",
        "--skip-networking",
        "--innodb-buffer-pool-size=64M",
        "--innodb-flush-log-at-trx-commit=0",
        "--skip-log-bin",
    ]


def _redis_serve(directory: Path) -> list[str]:
    return [
        find_program("redis-server"),
        *("--port", "0", "--unixsocket", f"{directory}/redis.sock", "--unixsocketperm", "777"),
        *("--dir", str(directory), "--save", "", "--appendonly", "no", "--daemonize", "no"),
        *("--repl-diskless-sync-delay", "0"),
    ]


RECIPES: dict[str, Recipe] = {
    "postgresql": Recipe(
        account="postgres",
        create=lambda directory: [
            find_program("initdb"),
            *("-D", f"{directory}/data", "-U", "postgres", "--auth=trust", "--no-sync"),
            *("--encoding=UTF8", "--locale=C.UTF-8"),
        ],
        serve=_postgresql_serve,
        answers=lambda directory: ["pg_isready", "-q", "-h", str(directory)],
        server=lambda directory: Server("postgresql", str(directory), "postgres"),
        end_signal=signal.SIGQUIT,  # immediate, but unlike SIGKILL it gives the shared memory back
    ),
    "mariadb": Recipe(
        account="mysql",
        create=lambda directory: [
            find_program("mariadb-install-db", "mysql_install_db"),
            "--no-defaults",
            f"--datadir={directory}/data",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ],
        serve=_mariadb_serve,
        answers=lambda directory: [
            "mariadb-admin",
            "--no-defaults",
            f"--socket={directory}/mariadb.sock",
            "--user=root",
            "ping",
        ],
        server=lambda directory: Server("mariadb", f"{directory}/mariadb.sock", "root"),
        end_signal=signal.SIGKILL,
    ),
    "redis": Recipe(
        account="redis",
        create=lambda _directory: [],
        serve=_redis_serve,
        answers=lambda directory: ["redis-cli", "-s", f"{directory}/redis.sock", "ping"],
        server=lambda directory: Server("redis", f"{directory}/redis.sock", ""),
        end_signal=signal.SIGKILL,
    ),
}
