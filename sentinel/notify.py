"""sd_notify(3): tell the supervisor (systemd, or `sentinel run`) how we are. Silent without NOTIFY_SOCKET.

Also reads WATCHDOG_USEC (sd_watchdog_enabled(3)): pings are due at half of it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time

PATIENCE_SECONDS = 1.0  # whoever listens may hang; that must not keep us from hearing a signal


def send(*assignments: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    name = "\0" + address[1:] if address.startswith("@") else address
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link,
    ):
        link.settimeout(PATIENCE_SECONDS)
        link.sendto("\n".join(assignments).encode(), name)


def ready(status: str = "") -> None:
    send("READY=1", f"STATUS={status}")


def reloading() -> None:
    """Type=notify-reload wants the moment the reload began, on the monotonic clock."""
    send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    send("STOPPING=1")


def watchdog() -> None:
    send("WATCHDOG=1")


def watchdog_seconds() -> float | None:
    """How often to ping, or None when nobody watches (or another process is meant)."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 2_000_000
