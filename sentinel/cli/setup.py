"""sentinel setup: install units, user, directories and a first configuration; or take them away again."""

from __future__ import annotations

from pathlib import Path

import typer


def setup(
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would be done, do nothing."),
    uninstall: bool = typer.Option(
        False, "--uninstall", help="Remove units and links; data and configuration stay."
    ),
    root: Path = typer.Option(
        Path("/"), "--root", metavar="DIR", help="Install into this tree (images, tests)."
    ),
) -> None:
    """Install Sentinel as a system service. Safe to run again: what is right is left alone.

    A configuration that exists is never replaced; a new one only observes. Start with:
    systemctl enable --now sentinel-firewall-boot.service sentinel.target
    """
    from sentinel.operate import setup as installer

    steps = installer.uninstall(root, _documents()) if uninstall else installer.install(root, _documents())
    for step in steps:
        if step.act is None:
            print(f"  ok  {step.text}")
            continue
        print(f"would {step.text}" if dry_run else f"  do  {step.text}")
        if not dry_run:
            step.act()


def _documents() -> dict[Path, str]:
    """Man page and shell completion, made from the command line itself."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # public in its docs only

    from sentinel.cli.manual import render

    share = Path("usr/local/share")
    completion = {
        "bash": share / "bash-completion/completions/sentinel",
        "zsh": share / "zsh/site-functions/_sentinel",
        "fish": share / "fish/vendor_completions.d/sentinel.fish",
    }
    scripts = {
        place: get_completion_script(prog_name="sentinel", complete_var="_SENTINEL_COMPLETE", shell=shell)
        for shell, place in completion.items()
    }
    return {share / "man/man1/sentinel.1": render() + "\n", **{p: f"{text}\n" for p, text in scripts.items()}}
