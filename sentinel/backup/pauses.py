"""When nothing may start: maintenance windows of the configuration, and a pause somebody ordered.

In: settings, state, a moment. Out: the end of the pause, or None. The ordered pause is one row in state, so the command
line and the daemon need no channel between them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sentinel.backup.schedule import window_end

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentinel.backup.settings import MaintenanceSettings
    from sentinel.state import State

CHECKPOINT = "backup/pause"


def order(state: State, duration_seconds: float) -> datetime:
    """Pause from now on; 0 ends a pause."""
    end = datetime.now(UTC) + timedelta(seconds=duration_seconds)
    state.save_checkpoint(CHECKPOINT, end.timestamp())
    return end


def paused_until(state: State, windows: Sequence[MaintenanceSettings], now: datetime) -> datetime | None:
    ordered = state.checkpoint(CHECKPOINT)
    end = datetime.fromtimestamp(ordered, UTC) if ordered else None
    if end is not None and end <= now:
        end = None
    window = window_end(windows, end or now)
    return window or end
