"""Repositories of all kinds for the engine's tests; stock restic as the second opinion."""

import os
import subprocess

import pytest

from sentinel.backup import lock
from sentinel.backup.repo.keyfile import ScryptCost
from sentinel.backup.repo.repository import Repository
from sentinel.backup.store.local import LocalStore
from sentinel.backup.store.memory import MemoryStore

PASSWORD = "correct horse"
WEAK = ScryptCost(n=1024, r=8, p=1)  # the cost of a real key would be the whole test's


@pytest.fixture
def memory_repository():
    return Repository.create(MemoryStore(), PASSWORD, cost=WEAK)


@pytest.fixture
def local_repository(tmp_path):
    return Repository.create(LocalStore(tmp_path / "repository"), PASSWORD, cost=WEAK)


@pytest.fixture
def no_settling(monkeypatch):
    """Where nobody else is, nobody needs to be waited for."""
    monkeypatch.setattr(lock, "SETTLE_SECONDS", 0.0)


@pytest.fixture
def reopen():
    """The same place seen by a new process: nothing is remembered."""
    return lambda repository: Repository.open(repository.store, PASSWORD)


@pytest.fixture
def restic(tmp_path):
    """Run the stock binary; its cache is ours alone."""

    def run(*arguments, repository=None, check=0, **options):
        command = ["restic", "--no-cache"]
        if repository is not None:
            command += ["-r", str(repository)]
        done = subprocess.run(
            [*command, *map(str, arguments)],
            env={**os.environ, "RESTIC_PASSWORD": PASSWORD, "HOME": str(tmp_path)},
            capture_output=True,
            check=False,
            **options,
        )
        if check is not None:
            assert done.returncode == check, (done.stdout + done.stderr).decode(errors="replace")
        return done

    return run
