"""What tests of several folders share."""

import os
import re
import socket
import subprocess
import sys
import urllib.request

import pytest
import waiting
from hypothesis import settings
from waiting import PATIENCE_SECONDS, until

from sentinel.state import State

# Wherever a person runs the tests, properties try new examples each time; in CI they try the same ones, so that a red
# run speaks about the change. No deadline: a machine may be slow.
settings.register_profile("explore", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "explore")

# What whoever runs the tests has set must not reach them, nor the programs they start: a manager's directories, another
# repository's password, a proxy, a width or a colour.
FOREIGN = re.compile(
    r"(AWS|RESTIC|SUDO|MYSQL|REDISCLI|WATCHDOG)_\w+|PG[A-Z]+|(STATE|CACHE|CREDENTIALS)_DIRECTORY|NOTIFY_SOCKET|JOURNAL_STREAM"
    r"|SENTINEL_DEBUG|\w+_PROXY|COLUMNS|FORCE_COLOR|TZ",
    re.IGNORECASE,
)
for name in filter(FOREIGN.fullmatch, list(os.environ)):
    del os.environ[name]


class Daemon:
    """A real `sentinel run` with its notify socket in our hands, as systemd has it."""

    def __init__(self, folder, config, *arguments):
        self.path = folder / "sentinel.yml"
        self.path.write_text(config)
        self.link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.link.bind(str(folder / "notify"))
        self.link.settimeout(PATIENCE_SECONDS)
        self.log = (folder / "log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sentinel", "run", *arguments, "--config", str(self.path)],
            env={
                "NOTIFY_SOCKET": str(folder / "notify"),
                "PATH": "/usr/bin:/usr/sbin",
                "WATCHDOG_USEC": "4000000",
            },
            stderr=self.log,
            start_new_session=True,
        )

    def hear(self, word):
        """Wait for a notification that contains the word; the whole message."""
        return until(lambda: word in (message := self.link.recv(4096).decode()) and message, word)

    def wait(self):
        """For the end; the exit status."""
        return self.process.wait(PATIENCE_SECONDS)

    def configure(self, port):
        self.path.write_text(metrics_only(self.path.parent, port))
        self.port = port

    def scrape(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=60) as answer:
            return answer.read().decode()

    def output(self):
        self.log.seek(0)
        return self.log.read()

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.link.close()
        self.log.close()


def metrics_only(folder, port):
    return f"state_directory: {folder}/state\nmetrics: {{listen: '127.0.0.1:{port}'}}\n"


@pytest.fixture
def daemon(tmp_path):
    started = []

    def start(*arguments, port=0, folder=tmp_path):
        folder.mkdir(exist_ok=True)
        started.append(Daemon(folder, metrics_only(folder, port), *arguments))
        started[-1].port = port
        return started[-1]

    yield start
    for running in started:
        running.close()


@pytest.fixture
def state(tmp_path):
    found = State(tmp_path / "state")
    yield found
    found.close()


@pytest.fixture
def free_port():
    return waiting.free_port()


@pytest.fixture
def sentinel():
    """Run the command line as a user does."""

    def run(*arguments, check=None, **options):
        done = subprocess.run(
            [sys.executable, "-m", "sentinel", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            **options,
        )
        if check is not None:
            assert done.returncode == check, done.stderr + done.stdout
        return done

    return run
