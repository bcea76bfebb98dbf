"""sentinel firewall: the policy into the kernel and back, bans, and why a packet passes or not."""

from __future__ import annotations

import json
import os
import pwd
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sentinel.cli.options import AS_JSON, CONFIG
from sentinel.errors import FirewallError, UsageError

if TYPE_CHECKING:
    from sentinel.firewall.bans import Bans
    from sentinel.firewall.explain import Packet
    from sentinel.firewall.settings import FirewallSettings
    from sentinel.ledger import Ledger
    from sentinel.state import State

app = typer.Typer(
    help="The firewall policy: plan, apply, confirm or roll back, explain, bans.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

POLICY = typer.Option(None, "--policy", metavar="FILE", help="Instead of the configured policy.")
STATE = typer.Option(None, "--state-directory", metavar="DIR", help="Instead of the configured one.")
REASON = typer.Option("", "--reason", metavar="TEXT", help="Kept with the version and in the ledger.")
MOST_VERSIONS = 10  # shown; --json has all


@app.command()
def plan(
    config: Path = CONFIG,
    policy: Path | None = POLICY,
    state_directory: Path | None = STATE,
    as_json: bool = AS_JSON,
) -> None:
    """Show what an apply would change, whose sessions it would cut, and what is odd about the policy."""
    from sentinel.firewall import compile as compiler
    from sentinel.firewall import docker, lint, names, versions
    from sentinel.firewall import plan as plans
    from sentinel.firewall import policy as policies

    place = _policy_path(config, policy)
    wanted = policies.load(place)
    state = _known(config, state_directory)
    compiled = compiler.compile_policy(wanted)
    found = plans.plan(wanted, compiled, state)
    remarks = [*map(str, lint.lint(wanted, time.time_ns())), *map(str, docker.bypassing(compiled))]
    answers = names.known(state)
    remarks += [f"{name}: no address known yet" for name in wanted.names if not answers.get(name)]
    if versions.expected(state) and not versions.in_sync(state):
        remarks.append(
            "the kernel's table is not as it was applied (drift); the plan compares with what was applied"
        )
    if as_json:
        print(json.dumps(asdict(found) | {"remarks": remarks}))
        return
    for line in found.lines or ("no changes",):
        print(line)
    for session in found.cut:
        print(f"! would not be let in again: {session}")
    for remark in remarks:
        print(f"? {remark}")
    if found.refused:
        raise FirewallError(
            f"apply would refuse this policy: it cuts failsafe access of {'; '.join(found.refused)}"
        )


@app.command()
def apply(
    config: Path = CONFIG,
    policy: Path | None = POLICY,
    state_directory: Path | None = STATE,
    confirm: str = typer.Option(
        "", "--confirm", metavar="probe", help="Confirm by itself when the probes pass."
    ),
    timeout: str = typer.Option("", "--timeout", metavar="TIME", help="Roll back after this (default 60s)."),
    reason: str = REASON,
    force: bool = typer.Option(False, "--force", help="Even if a live failsafe session would be cut."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only plan."),
) -> None:
    """Apply the policy with a rollback armed first; it fires unless `confirm` follows in time."""
    from sentinel.durations import seconds
    from sentinel.firewall import apply as applying

    if confirm not in {"", "probe"}:
        raise UsageError("--confirm knows one word: probe")
    if dry_run:
        plan(config, policy, state_directory, as_json=False)
        return
    try:
        wait = seconds(timeout) if timeout else _settings(config).confirm_seconds
    except ValueError as error:
        raise UsageError(str(error)) from None
    version = applying.apply(
        _policy_path(config, policy),
        _state(config, state_directory),
        _ledger(config, state_directory),
        author=_author(),
        reason=reason,
        confirm_seconds=wait,
        confirm=applying.Confirm.PROBE if confirm else applying.Confirm.WAIT,
        force=force,
        resolver=_settings(config).resolver,
    )
    if confirm:
        print(f"version {version.number} applied and confirmed by its probes")
    else:
        print(f"version {version.number} applied; it is rolled back in {wait:g} s unless confirmed:")
        print("  sentinel firewall confirm")


@app.command()
def confirm(config: Path = CONFIG, state_directory: Path | None = STATE) -> None:
    """Keep the version that waits."""
    from sentinel.firewall import apply as applying

    version = applying.confirm_pending(_state(config, state_directory), _ledger(config, state_directory))
    print(f"version {version.number} confirmed")


@app.command()
def rollback(
    version: int = typer.Argument(0, metavar="VERSION", help="Default: the one before."),
    config: Path = CONFIG,
    state_directory: Path | None = STATE,
    reason: str = REASON,
) -> None:
    """Return to an earlier version; a version that waits for confirmation is dropped."""
    from sentinel.firewall import apply as applying

    found = applying.roll_back(
        _state(config, state_directory),
        _ledger(config, state_directory),
        version or None,
        author=_author(),
        reason=reason,
    )
    print(
        f"version {found.number} is in the kernel" if found else "the state before the first version is back"
    )


@app.command()
def status(config: Path = CONFIG, state_directory: Path | None = STATE, as_json: bool = AS_JSON) -> None:
    """Versions, whether the kernel agrees, what ends by itself, DNS names and their age."""
    from sentinel.firewall import overview

    now = time.time_ns()
    found = overview.overview(_known(config, state_directory), now)
    if as_json:
        print(json.dumps(asdict(found) | {"versions": [_with_standing(one) for one in found.versions]}))
        return
    if not found.versions:
        print("no policy was ever applied")
    elif not found.in_kernel:
        print("NOT IN THE KERNEL: table inet sentinel is missing")
    else:
        print("the kernel agrees" if found.in_sync else "DRIFT: the kernel's table is not as it was applied")
    print(f"bans {found.bans}")
    for name, age in found.names.items():
        print(f"name {name}: {'never answered' if age is None else f'answered {age:.0f} s ago'}")
    for temporary in found.temporary:
        left = _left(temporary.seconds_left(now)) if temporary.until > now else "ended"
        print(f"temporary {temporary.what}: {left} {temporary.reason}".rstrip())
    for port in found.published:
        print(f"published {port}")
    for one in found.versions[:MOST_VERSIONS]:
        print(
            f"version {one.number:4} {_when(one.applied)} {one.standing.value:12} {one.author} {one.reason}".rstrip()
        )


def _with_standing(version: Any) -> dict[str, Any]:
    return asdict(version) | {"standing": version.standing.value}


def _left(seconds: float) -> str:
    return f"{int(seconds // 86_400)}d {time.strftime('%H:%M:%S', time.gmtime(seconds % 86_400))} left"


@app.command()
def explain(
    address: str = typer.Argument(metavar="ADDR", help="The other side's address."),
    service: str = typer.Argument(metavar="PROTO/PORT", help="tcp/443, udp/53, icmp/echo-request, gre ..."),
    config: Path = CONFIG,
    policy: Path | None = POLICY,
    state_directory: Path | None = STATE,
    outbound: bool = typer.Option(False, "--outbound", help="From this host to ADDR."),
    forward: bool = typer.Option(False, "--forward", help="From ADDR through this host; see --to."),
    to: str = typer.Option("", "--to", metavar="ADDR", help="Destination, where rules ask for it."),
    interface: str = typer.Option(
        "", "--interface", metavar="NAME", help="Where the packet comes in, or goes out."
    ),
    as_json: bool = AS_JSON,
) -> None:
    """Say which rule decides about a new connection, and why: from the policy, not from a trace."""
    from sentinel.firewall import bans, names
    from sentinel.firewall import explain as explaining
    from sentinel.firewall import policy as policies
    from sentinel.firewall.policy import Direction

    direction = Direction.OUTBOUND if outbound else Direction.FORWARD if forward else Direction.INBOUND
    wanted = policies.load(_policy_path(config, policy))
    state = _known(config, state_directory)
    banned = [ban.network for ban in bans.live(state)]
    packet = _packet(address, service, to, interface, direction)
    decision = explaining.decide(wanted, packet, time.time_ns(), answers=names.known(state), bans=banned)
    if as_json:
        print(json.dumps(asdict(decision) | {"action": decision.action.value}))
        return
    where = f" ({wanted.path}:{decision.line})" if decision.line else ""
    print(f"{decision.action.value}: {decision.rule}{where}: {decision.why}")
    for condition in decision.unsure:
        print(f"  provided that: {condition}")


def _packet(address: str, service: str, to: str, interface: str, direction: Any) -> Packet:
    from sentinel.firewall import explain as explaining
    from sentinel.firewall import intervals, services
    from sentinel.firewall.policy import Direction

    try:
        family, number = intervals.parse_address(address)
        other = intervals.parse_address(to)[1] if to else None
        asked = services.parse(service)
    except ValueError as error:
        raise UsageError(str(error)) from None
    outward = direction is Direction.OUTBOUND
    ports = asked.ports[0] if asked.ports else (None, None)
    if ports[0] != ports[1] or len(asked.ports) > 1:
        raise UsageError(f"{service!r}: explain needs one port")
    return explaining.Packet(
        direction,
        family,
        source=other if outward else number,
        destination=number if outward else other,
        protocol=asked.protocol,
        port=ports[0],
        icmp_type=asked.types[0] if asked.types else "",
        in_interface=None if outward else interface or None,
        out_interface=interface or None if outward else None,
    )


@app.command()
def ban(
    address: str = typer.Argument(
        metavar="ADDR", help="Address or network; an IPv6 address stands for its /64."
    ),
    duration: str = typer.Option("", "--for", metavar="TIME", help="15m, 1h, 7d; default: by escalation."),
    until: str = typer.Option("", "--until", metavar="TIME", help="2026-12-01T00:00:00Z"),
    reason: str = REASON,
    config: Path = CONFIG,
    state_directory: Path | None = STATE,
    dry_run: bool = typer.Option(False, "--dry-run", help="Only say what would be banned, and until when."),
) -> None:
    """Drop everything from an address for a while."""
    from sentinel.firewall.bans import Outcome

    seconds = _ban_seconds(duration, until)
    result = _bans(config, state_directory, observe=dry_run).add(address, seconds, reason, f"by {_author()}")
    if result.outcome is Outcome.NEVER:
        raise FirewallError(f"{result.network} is protected by never_ban")
    word = "would be banned" if dry_run else "banned"
    print(f"{result.network} {word} until {_when(result.expires)}")


def _ban_seconds(duration: str, until: str) -> float | None:
    from sentinel.durations import seconds

    if duration and until:
        raise UsageError("--for and --until exclude each other")
    length: float | None = None
    try:
        if until:
            moment = _moment(until)
            length = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - time.time()
        elif duration:
            length = seconds(duration)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if length is not None and length <= 0:
        raise UsageError("a ban must end in the future")
    return length


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time such as 2026-12-01T00:00:00Z") from None


@app.command()
def unban(
    address: str = typer.Argument(metavar="ADDR", help="As `bans` lists it."),
    reason: str = REASON,
    config: Path = CONFIG,
    state_directory: Path | None = STATE,
) -> None:
    """Lift a ban before its time."""
    bans = _bans(config, state_directory)
    removed = bans.remove(address, reason)
    wider = bans.covering(address)
    if wider:
        names = ", ".join(one.address for one in wider)
        raise FirewallError(f"{address} is still covered by the ban of {names}: unban that network")
    if not removed:
        raise FirewallError(f"{address} is not banned")
    print(f"{address} is free")


@app.command()
def bans(config: Path = CONFIG, state_directory: Path | None = STATE, as_json: bool = AS_JSON) -> None:
    """List live bans with time left, hits (packets dropped) and reason."""
    now = time.time_ns()
    listed = _bans(config, state_directory, reading=True).list()
    if as_json:
        print(json.dumps([asdict(one) | {"seconds_left": one.seconds_left(now)} for one in listed]))
        return
    for one in listed:
        left = _left(one.seconds_left(now))
        print(f"{one.address:43} {left:>19} {one.hits:9} hits  {one.reason} {one.rule_id}".rstrip())
    if not listed:
        print("no bans")


@app.command()
def boot(config: Path = CONFIG, state_directory: Path | None = STATE) -> None:
    """Put the last confirmed ruleset in place; for the unit that runs before the network comes up."""
    from sentinel.firewall import boot as booting

    print(booting.restore(_directory(config, state_directory)))


# --- where things are -------------------------------------------------------------------------------------------


def _directory(config: Path, given: Path | None) -> Path:
    if given is not None:
        return given
    from sentinel.config import load

    return load(config).state


def _state(config: Path, given: Path | None) -> State:
    from sentinel.firewall import versions
    from sentinel.state import State

    state = State(_directory(config, given))
    versions.hand_over(state.path.parent)
    return state


def _known(config: Path, given: Path | None) -> State:
    """For commands that only look."""
    from sentinel.state import State

    return State(_directory(config, given), reading=True)


def _ledger(config: Path, given: Path | None) -> Ledger:
    from sentinel.firewall import versions
    from sentinel.ledger import Ledger

    directory = _directory(config, given)
    ledger = Ledger(directory, actor=_author())
    if directory.is_dir():
        ledger.path.touch(mode=0o640)
        versions.hand_over(directory)
    return ledger


def _policy_path(config: Path, given: Path | None) -> Path:
    if given is not None:
        return given
    from sentinel.config import load

    settings = load(config).firewall
    if settings is None:
        raise UsageError(f"{config} has no firewall section; name a policy with --policy")
    return settings.policy


def _settings(config: Path) -> FirewallSettings:
    """The configured ones; the defaults where only --policy and --state-directory are given."""
    from sentinel.config import load
    from sentinel.firewall.settings import FirewallSettings

    settings = load(config).firewall if config.exists() else None
    return settings or FirewallSettings.model_validate({})


def _bans(config: Path, given: Path | None, *, observe: bool = False, reading: bool = False) -> Bans:
    """An operator's own bans: active whatever the response is set to, and outside its budget."""
    from sentinel.firewall.bans import Bans
    from sentinel.firewall.settings import BanMode, BanSettings

    mode = BanMode.OBSERVE if observe else BanMode.ACTIVE
    settings = BanSettings.model_validate({"mode": mode, "budget_per_minute": 1_000_000})
    state = _known(config, given) if reading else _state(config, given)
    return Bans(state, _ledger(config, given), settings)


def _author() -> str:
    name = os.environ.get("SUDO_USER", "")
    if name:
        return name
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _when(nanoseconds: int) -> str:
    return f"{datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"
