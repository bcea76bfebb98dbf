"""Waiting for what another thread or process does: as long as the slowest machine needs, and no longer than it takes."""

import random
import socket
import threading
import time

PATIENCE_SECONDS = 120.0  # below pytest's own limit, so that a failure says what did not happen
PAUSE_SECONDS = 0.01
# Servers of tests listen below where the kernel picks ports from (net.ipv4.ip_local_port_range): what was free stays so.
PORTS = range(20_000, 32_000)


def until(condition, what="it did not happen"):
    """What `condition` answers once that is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        threading.Event().wait(PAUSE_SECONDS)
    return found


def free_port():
    """A port that nobody listens at; by chance, which keeps test runs side by side apart."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
