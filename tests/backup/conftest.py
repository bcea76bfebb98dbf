"""Repositories of all kinds for the engine's tests; stock restic as the second opinion."""

import importlib.util
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sentinel.backup import lock
from sentinel.backup.repo.keyfile import ScryptCost
from sentinel.backup.repo.repository import Repository
from sentinel.backup.store.local import LocalStore
from sentinel.backup.store.location import StoreOptions
from sentinel.backup.store.memory import MemoryStore

if "shop" not in sys.modules:  # a shop in each kind of database, shared with tests/playbook
    _spec = importlib.util.spec_from_file_location("shop", Path(__file__).parents[1] / "shop.py")
    sys.modules["shop"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["shop"])

from shop import bench_of, servers  # noqa: F401 - fixtures

PASSWORD = "correct horse"
WEAK = ScryptCost(n=1024, r=8, p=1)  # the cost of a real key would be the whole test's


def sibling(name):
    """A module of this folder; tests are no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


seaweed = sibling("seaweed")
_numbers = itertools.count()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory):
    server = seaweed.S3Server(tmp_path_factory.mktemp("s3"))
    yield server
    server.close()


@pytest.fixture
def s3_place(s3_server):
    """Address and options of a place of one's own; its bucket is made at `create`."""

    def place(endpoint=None, bucket=None, **options):
        bucket = bucket or ("retained" if options.get("object_lock_days") else "plain")
        address = f"s3:{endpoint or s3_server.endpoint}/{bucket}/some/prefix-{next(_numbers)}"
        keys = {"access_key": seaweed.ACCESS_KEY, "secret_key": seaweed.SECRET_KEY}
        return address, StoreOptions(**{"retries": 0, "first_wait_seconds": 0.01, **keys, **options})

    return place


@pytest.fixture
def s3_environment():
    return {"AWS_ACCESS_KEY_ID": seaweed.ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": seaweed.SECRET_KEY}


@pytest.fixture
def fault_proxy(s3_server):
    started = []

    def start(**options):
        started.append(seaweed.FaultProxy(s3_server.port, **options))
        return started[-1]

    yield start
    for proxy in started:
        proxy.close()


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
    """Run the stock binary; its cache is ours alone. Before 0.17 every refusal is exit status 1, later 10 to 12."""

    def run(*arguments, repository=None, check=(0,), env=None, **options):
        command = ["restic", "--no-cache"]
        if repository is not None:
            command += ["-r", str(repository)]
        done = subprocess.run(
            [*command, *map(str, arguments)],
            env={**os.environ, "RESTIC_PASSWORD": PASSWORD, "HOME": str(tmp_path), **(env or {})},
            capture_output=True,
            check=False,
            **options,
        )
        if check is not None:
            assert done.returncode in check, (done.stdout + done.stderr).decode(errors="replace")
        return done

    return run
