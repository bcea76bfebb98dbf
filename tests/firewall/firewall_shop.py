"""A guarded host with services and somebody who connects: shared by the firewall's trials and tests."""

import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from firewall_lab import sh

from sentinel.firewall.settings import BanSettings
from sentinel.ledger import Ledger
from sentinel.state import State

ACTIVE = BanSettings.model_validate({"mode": "active", "budget_per_minute": 1_000_000, "aggregate_after": 0})


class Shop:
    """A guarded host (10.90.0.1) and a client (10.90.0.2 and more addresses) over a veth pair."""

    def __init__(self, spaces, folder):
        self.spaces, self.folder = spaces, Path(folder)
        self.host, self.client = spaces.new(), spaces.new()
        with spaces.inside(self.host):
            sh(f"ip link add shop0 type veth peer name c0 netns /proc/{os.getpid()}/fd/{self.client}")
            sh("ip addr add 10.90.0.1/16 dev shop0\nip link set shop0 up")
        with spaces.inside(self.client):
            sh("ip link set c0 up\nip addr add 10.90.0.2/16 dev c0\nip addr add 10.90.0.3/16 dev c0")
            with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
                file.write("10000 65000")
        self.state = State(self.folder / "state")
        self.ledger = Ledger(self.folder / "state")

    def policy(self, text, name="policy.yml"):
        path = self.folder / name
        path.write_text(text)
        return path

    def serve(self, port):
        """An echoing TCP service in the host."""
        with self.spaces.inside(self.host):
            listener = socket.create_server(("10.90.0.1", port), backlog=4096)
        threading.Thread(target=_echo, args=(listener,), daemon=True).start()
        return listener

    def connect(self, port, source="10.90.0.2", seconds=1.0):
        with self.spaces.inside(self.client):
            return socket.create_connection(("10.90.0.1", port), seconds, (source, 0))

    def reaches(self, port, source="10.90.0.2", seconds=0.5):
        try:
            self.connect(port, source, seconds).close()
        except OSError:
            return False
        return True


def _echo(listener):
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    known = {}
    with contextlib.suppress(OSError, ValueError):
        while True:
            for number, _ in poll.poll(1.0):
                if number == listener.fileno():
                    connection, _ = listener.accept()
                    known[connection.fileno()] = connection
                    poll.register(connection, select.EPOLLIN)
                    continue
                try:
                    data = known[number].recv(4096)
                    if data:
                        known[number].send(data)
                        continue
                except OSError:
                    pass
                poll.unregister(number)
                known.pop(number).close()


def daemon(shop):
    """A component that keeps drift away, in a process to kill."""
    code = (
        "import sys, threading; from pathlib import Path\n"
        "from sentinel.firewall.component import FirewallComponent as F; from sentinel.firewall.settings import FirewallSettings as S\n"
        "from sentinel.state import State; from sentinel.ledger import Ledger\n"
        "d = Path(sys.argv[1]); c = F(S(policy=d.parent / 'policy.yml', enforce=True), State(d), Ledger(d))\n"
        "print('up', flush=True); c.run(threading.Event())\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(shop.folder / "state")], stdout=subprocess.PIPE)
    child.stdout.readline()
    child.stdout.close()
    return child


def wait_for(what, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.005)
    return bool(what())
