"""What root's commands make belongs to the owner of the folder it is made in: the service must be able to use it later.

`sentinel backup init`, `firewall apply` or `ledger` run as root on a host whose components run as the user sentinel.
For anybody but root nothing changes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def follow(path: Path | str) -> None:
    if os.geteuid() != 0:
        return
    folder = os.stat(os.path.dirname(path))  # noqa: PTH116, PTH120 - stores and walks have paths as text
    if folder.st_uid:
        os.chown(path, folder.st_uid, folder.st_gid, follow_symlinks=False)
