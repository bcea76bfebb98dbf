"""Install Sentinel as a system service: a list of steps, each of which knows whether it is needed.

Idempotent: what is already as it should be is left alone, and a configuration an operator wrote is never replaced.
`--uninstall` removes what setup put there and leaves configuration, state and repositories. Everything is below
`root`; programs (systemctl, systemd-sysusers) are run only when `root` is the running system.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from sentinel import process, shipped
from sentinel.errors import CapabilityError, ProgramError, UsageError
from sentinel.operate import proposal, survey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

UNITS = Path("etc/systemd/system")
NOTIFY_RELOAD_SINCE = 253  # systemd's NEWS: Type=notify-reload
NOTIFY_RELOAD = "[Service]\nType=notify-reload\nExecReload=\n"
COMMAND = Path("usr/local/bin/sentinel")


@dataclass(frozen=True, slots=True)
class Step:
    """`text` says what it does; `act` is None where there is nothing to do."""

    text: str
    act: Callable[[], None] | None


def install(root: Path = Path("/"), documents: Mapping[Path, str] = MappingProxyType({})) -> list[Step]:
    """`documents` are texts made from the command line itself (man page, completion), by their place below `root`."""
    if root == Path("/"):
        _refuse_hidden(Path(sys.executable).parent, Path(sys.executable).resolve())
    units = [*_copies(root), *_notify_reload(root)]
    return [
        *_command(root),
        *units,
        *_documents(root, documents),
        *_accounts(root),
        *_configuration(root),
        *_daemon_reload(root, needed=any(step.act for step in units)),
    ]


def uninstall(root: Path = Path("/"), documents: Mapping[Path, str] = MappingProxyType({})) -> list[Step]:
    units = (
        ("sentinel.target", "sentinel.service", "sentinel-firewall-boot.service") if root == Path("/") else ()
    )
    steps = [
        Step(f"disable and stop {unit}", _program("systemctl", "disable", "--now", unit)) for unit in units
    ]
    targets = [
        root / COMMAND,
        *(target for _, target in _files(root)),
        *_drop_ins(root),
        *map(root.joinpath, documents),
    ]
    steps += [Step(f"remove {path}", path.unlink) for path in targets if path.exists() or path.is_symlink()]
    steps += _daemon_reload(root, needed=True)
    return [*steps, Step("left alone: /etc/sentinel, /var/lib/sentinel, the user sentinel", None)]


# --- steps ----------------------------------------------------------------------------------------------------------


def _command(root: Path) -> Iterator[Step]:
    own, link = Path(sys.executable).with_name("sentinel"), root / COMMAND
    right = link.is_symlink() and link.readlink() == own
    yield Step(f"link {link} to {own}", None if right or link == own else lambda: _link(link, own))


def _files(root: Path) -> list[tuple[Path, Path]]:
    folder = shipped.folder("systemd")
    units = [(file, root / UNITS / file.name) for file in sorted(folder.glob("sentinel*"))]
    return [
        *units,
        (folder / "sysusers.conf", root / "etc/sysusers.d/sentinel.conf"),
        (folder / "tmpfiles.conf", root / "etc/tmpfiles.d/sentinel.conf"),
    ]


def _copies(root: Path) -> Iterator[Step]:
    for source, target in _files(root):
        same = target.exists() and target.read_bytes() == source.read_bytes()
        yield Step(f"write {target}", None if same else _writer(target, source.read_text(), 0o644))


def _drop_ins(root: Path) -> list[Path]:
    services = [
        file.name for file, _ in _files(root) if file.suffix == ".service" and "boot" not in file.name
    ]
    return [root / UNITS / f"{name}.d" / "10-notify-reload.conf" for name in services]


def _notify_reload(root: Path) -> Iterator[Step]:
    if _systemd_version() < NOTIFY_RELOAD_SINCE:
        return
    for path in _drop_ins(root):
        same = path.exists() and path.read_text() == NOTIFY_RELOAD
        yield Step(f"write {path}", None if same else _writer(path, NOTIFY_RELOAD, 0o644))


def _accounts(root: Path) -> Iterator[Step]:
    if root != Path("/"):
        return
    exists = re.search(r"^sentinel:", Path("/etc/passwd").read_text(), re.MULTILINE)
    yield Step(
        "create the user sentinel",
        None if exists else _program("systemd-sysusers", "/etc/sysusers.d/sentinel.conf"),
    )
    there = all(Path(path).is_dir() for path in ("/etc/sentinel", "/var/lib/sentinel", "/var/cache/sentinel"))
    create = _program("systemd-tmpfiles", "--create", "/etc/tmpfiles.d/sentinel.conf")
    yield Step("create /etc/sentinel, /var/lib/sentinel, /var/cache/sentinel", None if there else create)


def _configuration(root: Path) -> Iterator[Step]:
    folder = root / "etc/sentinel"
    found = survey.look(root)
    key = secrets.token_urlsafe(32) + "\n"
    texts: tuple[tuple[str, str, str, int], ...] = (
        ("write", "sentinel.yml", proposal.configuration(found), 0o640),
        ("write", "policy.yml", proposal.policy(found), 0o640),
        ("make a repository password in", "repository.key", key, 0o600),  # units get it as a credential
    )
    for verb, name, text, mode in texts:
        path = folder / name
        yield Step(f"{verb} {path}", None if path.exists() else _writer(path, text, mode))


def _documents(root: Path, documents: Mapping[Path, str]) -> Iterator[Step]:
    for place, text in documents.items():
        path = root / place
        same = path.exists() and path.read_text() == text
        yield Step(f"write {path}", None if same else _writer(path, text, 0o644))


def _daemon_reload(root: Path, *, needed: bool) -> Iterator[Step]:
    if root == Path("/"):
        yield Step("systemctl daemon-reload", _program("systemctl", "daemon-reload") if needed else None)


def _refuse_hidden(*places: Path) -> None:
    """ProtectHome= and PrivateTmp= hide these from the units: they could not even start the interpreter."""
    for place in places:
        if place.is_relative_to("/home") or place.is_relative_to("/root") or place.is_relative_to("/tmp"):  # noqa: S108
            raise UsageError(
                f"{place}: the sandboxed units cannot see this place; install into /opt/sentinel "
                "(python3 -m venv /opt/sentinel, with a python3 of the system) and run its setup"
            )


# --- acts -----------------------------------------------------------------------------------------------------------


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        link.unlink()
    link.symlink_to(target)


def _writer(path: Path, text: str, mode: int) -> Callable[[], None]:
    def write() -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode)
            path.write_text(text)
            _give_to_group(path, mode)
        except PermissionError:
            raise CapabilityError(f"{path}: permission denied; run setup as root") from None

    return write


def _give_to_group(path: Path, mode: int) -> None:
    """Configuration is root's to write and the group sentinel's to read."""
    import grp
    import os

    path.chmod(mode)
    with contextlib.suppress(KeyError, PermissionError):
        if mode == 0o640:
            os.chown(path, -1, grp.getgrnam("sentinel").gr_gid)


def _program(*argv: str) -> Callable[[], None]:
    def call() -> None:
        process.run(argv)

    return call


def _systemd_version() -> int:
    try:
        first = process.run(["systemctl", "--version"]).stdout.decode().split()
    except ProgramError:
        return 0
    return int(first[1]) if len(first) > 1 and first[1].isdigit() else 0
