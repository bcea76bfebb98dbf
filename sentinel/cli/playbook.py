"""sentinel playbook: list, show, run. The approval of a step is given here, by a person, at run time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sentinel.cli.options import AS_JSON, CONFIG, names_of_jobs

if TYPE_CHECKING:
    from sentinel.config import Config
    from sentinel.playbook.engine import Approval, Outcome
    from sentinel.playbook.runner import Runner
    from sentinel.playbook.settings import Step

app = typer.Typer(
    help="List, show and run playbooks. Exit codes: 0 ok, 1 a step failed or waits, 2 usage or a bad playbook.",
    no_args_is_help=True,
)
JOB = typer.Option(
    "",
    "--job",
    metavar="NAME",
    help="The backup job that the playbook is about.",
    autocompletion=names_of_jobs,
)
SET = typer.Option([], "--set", metavar="NAME=VALUE", help="A parameter of the playbook; repeatable.")


def _names(incomplete: str) -> list[str]:
    """For the shell. A site's own playbooks are named by its configuration, which a shell does not wait for."""
    from sentinel.playbook import book

    return [name for name in sorted(book.available([])) if name.startswith(incomplete)]


@app.command("list")
def list_(config: Path = CONFIG, as_json: bool = AS_JSON) -> None:
    """Every playbook with its title, and how its newest run ended."""
    from sentinel.cli.listing import print_json, print_table
    from sentinel.playbook import book

    settings, state = _settings(config), _state(config)
    own = settings.backup.playbooks if settings and settings.backup else []
    rows = [
        {"name": name, "title": _title(path), "path": str(path), "last": _last_run(state, name)}
        for name, path in sorted(book.available(own).items())
    ]
    if as_json:
        print_json(rows)
        return
    cells = [(row["name"], row["title"], _ended(row["last"])) for row in rows]
    print_table(("playbook", "what it does", "newest run"), cells)


@app.command()
def show(
    name: str = typer.Argument(
        metavar="PLAYBOOK", help="As `playbook list` names it.", autocompletion=_names
    ),
    job: str = JOB,
    values: list[str] = SET,
    config: Path = CONFIG,
    as_json: bool = AS_JSON,
) -> None:
    """The playbook as a page to follow by hand, with stock commands; filled in where the configuration can be read."""
    from sentinel.cli.listing import print_json
    from sentinel.errors import SentinelError
    from sentinel.playbook import book
    from sentinel.playbook.show import render

    settings = _settings(config)
    playbook = book.load(book.find(name, settings.backup.playbooks if settings and settings.backup else []))
    if as_json:
        print_json(playbook.model_dump(mode="json"))
        return
    filled: dict[str, str] = {}
    if settings and settings.backup:
        try:
            runner = _runner(settings, config, reading=True)
            filled = {
                key: value
                for key, value in runner.dry(_request(name, "real", job, values)).values.items()
                if value
            }
        except SentinelError as error:
            if job or values:
                raise
            typer.echo(f"(not filled in: {error})", err=True)
    typer.echo(render(playbook, filled), nl=False)


@app.command()
def run(
    name: str = typer.Argument(
        "", metavar="PLAYBOOK", help="Not needed with --resume.", autocompletion=_names
    ),
    job: str = JOB,
    values: list[str] = SET,
    dry_run: bool = typer.Option(False, "--dry-run", help="Print every command filled in; execute nothing."),
    sandbox: bool = typer.Option(
        False, "--sandbox", help="In a scratch directory with its own server, then tear down."
    ),
    resume: bool = typer.Option(
        False, "--resume", help="Go on with the newest interrupted run (or --run ID)."
    ),
    run_id: str = typer.Option("", "--run", metavar="ID", help="Which run --resume continues."),
    approve: list[str] = typer.Option(
        [], "--approve", metavar="STEP", help="Approve this step now, without a question; repeatable."
    ),
    config: Path = CONFIG,
    as_json: bool = AS_JSON,
) -> None:
    """Run a playbook. Steps that destroy or replace something ask first; without a terminal name them with --approve."""
    from sentinel import config as configuration
    from sentinel.cli.listing import print_json
    from sentinel.errors import UsageError
    from sentinel.playbook.show import render

    if not name and not resume:
        raise UsageError("which playbook? (`sentinel playbook list`)")
    # On a bare machine there is no configuration yet: repository and password are parameters then.
    settings = configuration.load(config) if config.exists() else configuration.Config()
    runner = _runner(settings, config, approve=approve, quiet=as_json, reading=dry_run)
    request = _request(name, "sandbox" if sandbox else "real", job, values)
    if dry_run:
        plan = runner.dry(request)
        if as_json:
            print_json({"playbook": plan.playbook.model_dump(mode="json"), "values": dict(plan.values)})
            return
        typer.echo(render(plan.playbook, plan.values, sandbox=sandbox), nl=False)
        return
    if not resume:
        _known_steps(runner, name, approve)
    outcome = runner.resume(run_id) if resume else runner.run(request)
    if as_json:
        print_json(_outcome(outcome))
    elif outcome.ok:
        typer.echo(f"done in {outcome.seconds:.1f} s (run {outcome.run})")
    if outcome.result == "waiting" and not as_json:
        typer.echo(
            f"go on with: sentinel playbook run --resume --run {outcome.run} --approve {outcome.failed_step}",
            err=True,
        )
    outcome.require_ok()


@app.command()
def facts(as_json: bool = AS_JSON) -> None:
    """What a playbook may write as {name} without declaring it."""
    from sentinel.cli.listing import print_json, print_table
    from sentinel.playbook.facts import FACTS

    if as_json:
        print_json(FACTS)
        return
    print_table(("fact", "meaning"), list(FACTS.items()))


# --- inside -----------------------------------------------------------------------------------------------------


def _title(path: Path) -> str:
    from sentinel.errors import InvalidInputError
    from sentinel.playbook import book

    try:
        return book.load(path).title
    except InvalidInputError as error:
        return f"does not load: {error.problems[0]}"


def _last_run(state: Any, name: str) -> dict[str, Any] | None:
    rows = (
        state.read(
            "SELECT id, mode, result, started FROM playbook_run WHERE playbook = ? ORDER BY started DESC LIMIT 1",
            (name,),
        )
        if state
        else []
    )
    return dict(rows[0]) if rows else None


def _ended(last: Any) -> str:
    return f"{last['result']} ({last['mode']})" if last else "never run"


def _settings(path: Path) -> Config | None:
    """The configuration, or None: showing a playbook must work on a bare machine."""
    from sentinel import config as configuration

    return configuration.load(path) if path.exists() else None


def _state(path: Path) -> Any:
    from sentinel.state import State

    settings = _settings(path)
    return State(settings.state, reading=True) if settings else None


def _runner(
    settings: Config,
    path: Path,
    *,
    approve: list[str] | None = None,
    quiet: bool = False,
    reading: bool = False,
) -> Runner:
    from sentinel.backup.settings import BackupSettings
    from sentinel.ledger import Ledger
    from sentinel.playbook.runner import Runner, silent
    from sentinel.state import State

    return Runner(
        config=path.resolve(),
        settings=settings.backup or BackupSettings(),
        state=State(settings.state, reading=reading),
        ledger=Ledger(settings.state, actor=_person()),
        approve=_Asker(approve or []),
        tell=silent if quiet else _tell,
    )


def _request(name: str, mode: str, job: str, values: list[str]) -> Any:
    from sentinel.errors import UsageError
    from sentinel.playbook.engine import Mode
    from sentinel.playbook.runner import Request

    wrong = [value for value in values if "=" not in value]
    if wrong:
        raise UsageError(f"--set {wrong[0]}: expected NAME=VALUE")
    return Request(name, Mode(mode), job, dict(value.split("=", 1) for value in values))


def _known_steps(runner: Runner, name: str, approve: list[str]) -> None:
    from sentinel.errors import UsageError
    from sentinel.playbook import book

    steps = book.load(book.find(name, runner.settings.playbooks)).step_names()
    unknown = [step for step in approve if step not in steps]
    if unknown:
        raise UsageError(f"--approve {unknown[0]}: {name} has no such step; it has: {', '.join(steps)}")


def _person() -> str:
    import getpass
    import os

    return os.environ.get("SUDO_USER") or getpass.getuser()


class _Asker:
    """Approves the steps named on this command line; asks a terminal for the others."""

    def __init__(self, named: list[str]) -> None:
        self.named = named

    def __call__(self, step: Step, question: str) -> Approval | None:
        import sys

        from sentinel.playbook.engine import Approval

        if step.step in self.named:
            return Approval(_person(), "--approve")
        if not sys.stdin.isatty():
            return None
        typer.echo(f"\n  {question}")
        answer = typer.prompt(
            f"  type {step.step} to approve, anything else to stop", default="", show_default=False
        )
        return Approval(_person(), "terminal") if answer.strip() == step.step else None


def _tell(event: str, step: Step, text: str) -> None:
    if event == "step":
        typer.echo(f"{step.step}: {text}")
    elif event == "command":
        typer.echo(f"  $ {text}")
    elif event == "output":
        typer.echo("\n".join(f"    {line}" for line in text.splitlines()[-20:]))
    else:
        typer.echo(
            f"  {event}{': ' + text if text else ''}", err=event not in {"ok", "already done", "skipped"}
        )


def _outcome(outcome: Outcome) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(outcome)
