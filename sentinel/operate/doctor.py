"""What is wrong on this host, and how to mend it: checks with stable ids, each one function and one table row.

A check looks, it never changes anything. `ok`, `warning` (works, but not as it should) or `failed`; what does not
apply to the configuration is left out. Ids are stable: they appear in tickets and runbooks. A configuration with
mistakes is a failed check like any other: the sections that are right are looked at all the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sentinel import config as configuration
from sentinel import process
from sentinel.backup import history
from sentinel.errors import InvalidInputError, SentinelError
from sentinel.ledger import Ledger
from sentinel.state import FILE_NAME, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sentinel.config import Config
    from sentinel.errors import Problem

Level = Literal["ok", "warning", "failed"]
SILENT_SECONDS = 30.0  # components report every 5 s
STALE_LOG_SECONDS = 86_400.0
FULL_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    level: Level
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    config: Config
    path: Path
    mistakes: list[Problem]  # in the configuration; `config` is what is right of it
    kept: State | None  # None: it cannot be opened, as H001-state reports

    @property
    def state(self) -> State:
        if self.kept is None:
            raise _UnknownError
        return self.kept


class _UnknownError(Exception):
    """A check asks for state that cannot be opened: what it would say is not known."""


def examine(path: Path) -> list[Finding]:
    config, mistakes = configuration.load_what_is_right(path)
    state = None
    with contextlib.suppress(SentinelError):
        state = State(config.state, reading=True)
    patient = Patient(config, path, mistakes, state)
    findings = []
    for check, look in CHECKS.items():
        with contextlib.suppress(_UnknownError):
            try:
                findings += [Finding(check, *seen) for seen in look(patient)]
            except OSError as error:
                text = f"{error.filename}: {error.strerror}" if error.filename else str(error)
                findings.append(Finding(check, "failed", text, "run doctor as root"))
            except SentinelError as error:
                findings.append(Finding(check, "failed", str(error), "see the message"))
    return findings


Seen = tuple[Level, str, str] | tuple[Level, str]


# --- the host -------------------------------------------------------------------------------------------------------


def _configuration(patient: Patient) -> Iterator[Seen]:
    for mistake in patient.mistakes:
        yield (
            "failed",
            str(mistake),
            f"correct it, then sentinel check-config --config {patient.path}; until then a running Sentinel keeps what it has",
        )
    if not patient.mistakes:
        yield "ok", f"{patient.path} loads"


def _state(patient: Patient) -> Iterator[Seen]:
    directory = patient.config.state
    if not (directory / FILE_NAME).exists():
        yield (
            "warning",
            f"{directory}: no state, nothing has run here yet",
            "systemctl enable --now sentinel.target",
        )
        return
    State(directory, reading=True).close()
    usage = os.statvfs(directory)
    used = 1 - usage.f_bavail / max(1, usage.f_blocks)
    if used > FULL_SHARE:
        yield (
            "warning",
            f"{directory}: the file system is {used:.0%} full",
            "free space or move state_directory",
        )
    else:
        yield "ok", f"{directory}: state opens, file system {used:.0%} full"


def _programs(patient: Patient) -> Iterator[Seen]:
    needed = {"nft": ("firewall", "nftables"), "restic": ("backup", "restic")}
    for program, (section, package) in needed.items():
        if getattr(patient.config, section) is None:
            continue
        if process.find(program):
            yield "ok", f"{program} is installed"
        elif program == "nft":
            yield "failed", "nft is not installed", f"apt-get install {package}"
        else:
            yield "warning", f"{program}, the second way out, is not installed", f"apt-get install {package}"


def _secrets(patient: Patient) -> Iterator[Seen]:
    for name, repository in (patient.config.backup.repositories if patient.config.backup else {}).items():
        file = repository.password_file
        if file is None:
            continue
        if not file.exists():
            yield (
                "failed",
                f"repository {name}: {file} does not exist",
                "put the password there, mode 0600; the backup unit gets repository.key as a credential",
            )
        elif file.stat().st_mode & 0o007:
            yield "failed", f"repository {name}: {file} is open to everybody", f"chmod o-rwx {file}"
        else:
            yield "ok", f"repository {name}: {file} is closed to others"


# --- components -----------------------------------------------------------------------------------------------------


def _components(patient: Patient) -> Iterator[Seen]:
    from sentinel.components import BUILDERS

    reports = {row["name"]: row for row in patient.state.read("SELECT * FROM component")}
    for name in BUILDERS:
        if getattr(patient.config, name) is None:
            continue
        row = reports.get(name)
        age = (time.time_ns() - row["updated"]) / 1e9 if row else 0.0
        if row is None:
            yield "failed", f"{name} has never run", f"systemctl enable --now sentinel-{name}.service"
        elif row["state"] != "running":
            yield "failed", f"{name} is {row['state']}", f"journalctl -u sentinel-{name} -n 50"
        elif age > SILENT_SECONDS:
            yield (
                "failed",
                f"{name} has said nothing for {age:.0f} s",
                f"systemctl restart sentinel-{name}.service",
            )
        else:
            yield "ok", f"{name} is running"


def _interfaces(patient: Patient) -> Iterator[Seen]:
    for name in patient.config.network.interfaces if patient.config.network else []:
        if (Path("/sys/class/net") / name).exists():
            yield "ok", f"{name} exists"
        else:
            yield (
                "failed",
                f"interface {name} does not exist",
                f"correct network.interfaces in {patient.path}",
            )


def _logs(patient: Patient) -> Iterator[Seen]:
    for file in patient.config.logs.files if patient.config.logs else []:
        pattern = Path(file.path)
        found = (
            list(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))))
            if pattern.is_absolute()
            else []
        )
        for path in found:
            yield _log(path)
        if not found:
            yield (
                "warning",
                f"{file.path}: no such file yet",
                "is the service's log there? correct logs.files if not",
            )


def _log(path: Path) -> Seen:
    if not os.access(path, os.R_OK):
        return "failed", f"{path} cannot be read", "add the user sentinel to the group that owns it (adm)"
    age = time.time() - path.stat().st_mtime
    if age > STALE_LOG_SECONDS:
        return "warning", f"{path}: last written {age / 3600:.0f} h ago", "does its service still log there?"
    return "ok", f"{path} is readable and fresh"


# --- firewall, backup, ledger ---------------------------------------------------------------------------------------


def _firewall(patient: Patient) -> Iterator[Seen]:
    if patient.config.firewall is None:
        return
    if not patient.config.firewall.enforce:
        yield (
            "warning",
            "the firewall only observes",
            "firewall.enforce: true, when `sentinel firewall plan` looks right",
        )
    pending = patient.state.read("SELECT version FROM firewall_version WHERE state = 'pending'")
    if pending:
        yield (
            "warning",
            f"version {pending[0]['version']} waits for confirmation",
            "sentinel firewall confirm",
        )
    rows = patient.state.read(
        "SELECT max(version) AS version FROM firewall_version WHERE state = 'confirmed'"
    )
    if rows and rows[0]["version"]:
        yield "ok", f"version {rows[0]['version']} of the policy is confirmed"


def _jobs(patient: Patient) -> Iterator[Seen]:
    for name, job in (patient.config.backup.jobs if patient.config.backup else {}).items():
        last = history.last(history.job_runs(patient.state, name, limit=1))
        if last is None:
            yield "warning", f"job {name} has never run", f"sentinel backup run {name}"
        elif last.result == history.RUNNING:
            yield "ok", f"job {name} is running"
        elif last.result != history.OK:
            yield "failed", f"job {name}: last run {_ending(last)}", f"sentinel backup run {name}"
        elif _late(job.schedule, last, job.grace):
            yield "failed", f"job {name}: last good run {_age(last)}", "is sentinel-backup running?"
        else:
            yield "ok", f"job {name} ran well {_age(last)}"


def _drills(patient: Patient) -> Iterator[Seen]:
    for name, job in (patient.config.backup.jobs if patient.config.backup else {}).items():
        last = history.last(history.drill_runs(patient.state, name, limit=1))
        if job.drill is None:
            yield (
                "warning",
                f"job {name} has no drill: nobody knows that it restores",
                "give it a drill in sentinel.yml",
            )
        elif last is None:
            yield "failed", f"job {name}: never drilled", f"sentinel backup drill {name}"
        elif last.result != history.OK:
            yield "failed", f"job {name}: last drill {_ending(last)}", f"sentinel backup drill {name}"
        elif _late(job.drill.schedule, last, job.drill.grace):
            yield "failed", f"job {name}: last drill {_age(last)}", "is sentinel-backup running?"
        else:
            yield "ok", f"job {name}: the last drill restored it {_age(last)}"


def _ending(run: history.Run) -> str:
    return f"{run.result}: {run.detail['message']}" if run.detail.get("message") else run.result


def _age(run: history.Run) -> str:
    return f"{(time.time_ns() - run.started) / 3.6e12:.1f} h ago"


def _late(schedule: str | None, run: history.Run, grace_seconds: float) -> bool:
    """By its own schedule: a weekly job is not late after two days."""
    from sentinel.backup.schedule import due

    should = due(schedule, datetime.fromtimestamp(run.started / 1e9, UTC)) if schedule else None
    return should is not None and (datetime.now(UTC) - should).total_seconds() > grace_seconds


def _ledger(patient: Patient) -> Iterator[Seen]:
    ledger = Ledger(patient.config.state)
    verdict = ledger.verify()
    if verdict.bad_line is None:
        yield "ok", f"{verdict.entries} records, chain intact"
    else:
        yield (
            "failed",
            f"{ledger.path}:{verdict.bad_line}: {verdict.reason}",
            "keep the file as evidence; see playbook under-attack",
        )


CHECKS: dict[str, Callable[[Patient], Iterator[Seen]]] = {
    "H000-configuration": _configuration,
    "H001-state": _state,
    "H002-programs": _programs,
    "H003-secrets": _secrets,
    "C001-components": _components,
    "N001-interfaces": _interfaces,
    "L001-logs": _logs,
    "F001-firewall": _firewall,
    "B001-jobs": _jobs,
    "B002-drills": _drills,
    "A001-ledger": _ledger,
}


def bundle(findings: list[Finding], path: Path) -> bytes:
    """What a colleague needs to help: findings, versions, configuration without secrets, the ledger's last records."""
    import platform

    from sentinel import __version__, yamlfile

    config, _ = configuration.load_what_is_right(path)
    entries = [entry.action + " " + entry.subject for entry in Ledger(config.state).entries()][-50:]
    try:
        data = yamlfile.data(path)
    except InvalidInputError:  # the findings say so; text of which nobody knows what is secret stays here
        data = None
    content = {
        "sentinel": __version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "findings": without_secrets([asdict(finding) for finding in findings]),
        "configuration": without_secrets(data),
        "ledger": entries,
    }
    return json.dumps(content, indent=2, default=str).encode()


SECRET_KEY = re.compile(r"(?i)password|passphrase|secret|token|credential|(?:access|api|private)_?key")
PLACE_KEY = re.compile(r"(?i)_(?:file|env|credential)$")  # says where a secret is kept, not what it is
IN_URL = re.compile(r"(\w+://)[^/\s@\"']+@")
IN_QUERY = re.compile(r"(?i)([?&][^=&\s]*(?:password|secret|token|key|signature)[^=&\s]*=)[^&\s\"']+")
REMOVED = "<removed>"


def without_secrets(data: Any, key: str = "") -> Any:
    """YAML data with every value blanked whose key or form tells of a secret; comments are gone already."""
    if SECRET_KEY.search(key) and not PLACE_KEY.search(key) and not isinstance(data, dict):
        return REMOVED
    if isinstance(data, dict):
        return {name: without_secrets(value, str(name)) for name, value in data.items()}
    if isinstance(data, list):
        return [without_secrets(item, key) for item in data]
    if isinstance(data, str):
        return IN_QUERY.sub(rf"\1{REMOVED}", IN_URL.sub(rf"\1{REMOVED}@", data))
    return data
