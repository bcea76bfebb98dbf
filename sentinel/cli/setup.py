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

    steps = installer.uninstall(root) if uninstall else installer.install(root)
    for step in steps:
        if step.act is None:
            print(f"  ok  {step.text}")
            continue
        print(f"would {step.text}" if dry_run else f"  do  {step.text}")
        if not dry_run:
            step.act()
