"""Values made from rules with much work, kept in the cache between runs.

In: a path in a cache folder, a value of named tuples and the like. Out: the value, or None. It is only read from a folder
that belongs to this user and that nobody else can write to, and any doubt means making it anew.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def recall(stored: Path) -> Any:
    collecting = gc.isenabled()
    gc.disable()  # nothing here is garbage; the collector would walk ever more tuples
    try:
        if stored.stat().st_uid != os.geteuid() or stored.stat().st_mode & 0o022:
            return None
        return pickle.loads(stored.read_bytes())  # noqa: S301 - written by this user, see the check above
    except (OSError, pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, TypeError):
        return None
    finally:
        if collecting:
            gc.enable()


def keep(stored: Path, value: object) -> None:
    partial = stored.with_suffix(f".{os.getpid()}.new")
    try:
        stored.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial.write_bytes(pickle.dumps(value, protocol=5))
        partial.chmod(0o600)
        partial.replace(stored)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink()  # a cache that cannot be written costs time, nothing else
