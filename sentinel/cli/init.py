"""sentinel init: look at this host and write a first configuration that only observes."""

from __future__ import annotations

from pathlib import Path

import typer

from sentinel.errors import UsageError


def init(
    directory: Path = typer.Argument(Path("/etc/sentinel"), metavar="DIR", help="Where the two files go."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Print the files instead of writing them."),
    force: bool = typer.Option(False, "--force", help="Replace files that exist."),
) -> None:
    """Write sentinel.yml and policy.yml from what this host has: interfaces, services, logs, databases."""
    from sentinel.operate import proposal, survey

    found = survey.look()
    texts = {"sentinel.yml": proposal.configuration(found), "policy.yml": proposal.policy(found)}
    existing = [str(directory / name) for name in texts if (directory / name).exists()]
    if existing and not (force or dry_run):
        raise UsageError(
            f"{', '.join(existing)}: exists; --force replaces, --dry-run shows what would be written"
        )
    for name, text in texts.items():
        if dry_run:
            print(f"# ---- {directory / name}\n{text}")
            continue
        directory.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(
            text.replace("/etc/sentinel/policy.yml", str(directory.resolve() / "policy.yml"))
        )
        print(f"wrote {directory / name}")
