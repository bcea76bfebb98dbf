"""Where the files shipped with Sentinel are: rules, playbooks, units. In a wheel inside the package, in a checkout
beside it.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent


def folder(name: str) -> Path:
    """`name` is rules, playbooks or systemd."""
    installed = PACKAGE / "data" / name
    return installed if installed.is_dir() else PACKAGE.parent / name
