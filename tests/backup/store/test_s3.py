"""S3 for real: whole backups through a failing network, stock restic beside us, Object Lock against our own keys."""

import os
from datetime import UTC, datetime, timedelta

import botocore.exceptions
import pytest

from sentinel.backup.archive import backup
from sentinel.backup.check import Subset, check
from sentinel.backup.prune import PruneOptions, prune
from sentinel.backup.repo.keyfile import ScryptCost
from sentinel.backup.repo.repository import Repository
from sentinel.backup.repo.snapshots import find_snapshot, list_snapshots
from sentinel.backup.restore import restore
from sentinel.backup.retention import forget
from sentinel.backup.store.location import open_store, renew_object_lock
from sentinel.backup.store.store import Kind, relative_path
from sentinel.errors import NoRepositoryError, StoreError

pytestmark = [pytest.mark.service, pytest.mark.usefixtures("no_settling")]
PASSWORD = "correct horse"
WEAK = ScryptCost(n=1024)


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "src"
    for n in range(60):
        (folder / f"d{n % 7}").mkdir(parents=True, exist_ok=True)
        (folder / f"d{n % 7}/f{n}").write_bytes(os.urandom(40_000))
    (folder / "large").write_bytes(os.urandom(20_000_000))
    return folder


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def place_of(address):
    """What restic and boto3 call it."""
    bucket, _, prefix = address.removeprefix("s3:http://").partition("/")[2].partition("/")
    return bucket, prefix


def test_through_a_failing_network_nothing_is_lost(
    source, s3_place, fault_proxy, restic, s3_environment, tmp_path
):
    proxy = fault_proxy(rate=0.3, seed=4)
    address, options = s3_place(proxy.endpoint, retries=15)
    repository = Repository.create(open_store(address, options), PASSWORD, cost=WEAK)
    first = backup(repository, paths=[source]).snapshot
    (source / "d1/f1").write_bytes(b"changed")
    backup(repository, paths=[source]).require_complete()
    forget(repository, [first.id])
    prune(repository, PruneOptions(max_unused_percent=0))
    report = check(repository, read_data=Subset.everything())
    assert report.problems == []
    restored = restore(repository, list_snapshots(repository)[-1], tmp_path / "out")
    assert restored.problems == ()
    assert contents(tmp_path / f"out{source}") == contents(source)
    assert all(proxy.counts.values()), proxy.counts
    direct = address.replace(proxy.endpoint, f"http://127.0.0.1:{proxy.target_port}")
    restic("check", "--read-data", repository=direct, env=s3_environment)


def test_both_ways_with_restic(source, s3_place, restic, s3_environment, tmp_path):
    address, options = s3_place()
    restic("init", repository=address, env=s3_environment)
    restic("backup", source, repository=address, env=s3_environment)
    repository = Repository.open(open_store(address, options), PASSWORD)
    restore(repository, find_snapshot(repository, "latest"), tmp_path / "ours").require_complete()
    assert contents(tmp_path / f"ours{source}") == contents(source)
    (source / "new").write_bytes(b"new")
    backup(repository, paths=[source])
    restic("check", "--read-data", repository=address, env=s3_environment)
    restic("restore", "latest", "--target", tmp_path / "theirs", repository=address, env=s3_environment)
    assert contents(tmp_path / f"theirs{source}") == contents(source)


def test_a_server_that_is_away_is_one_clear_error(s3_place):
    address, options = s3_place("http://127.0.0.1:9", retries=1)
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:9"):
        Repository.open(open_store(address, options), PASSWORD)


def test_no_bucket_is_no_repository(s3_place):
    with pytest.raises(NoRepositoryError):
        Repository.open(open_store(*s3_place(bucket="nowhere")), PASSWORD)


def test_wrong_keys_are_refused_at_once(s3_place, s3_server):
    address, options = s3_place(access_key="wrong", secret_key="wrong", retries=50, first_wait_seconds=60)
    with pytest.raises(StoreError):
        Repository.open(open_store(address, options), PASSWORD)


def test_large_files_go_up_in_parts(s3_place):
    store = open_store(*s3_place())
    store.create()
    data = os.urandom(70_000_000)
    store.save(Kind.DATA, "ab" * 32, data)
    assert store.load(Kind.DATA, "ab" * 32) == data
    assert store.sweep() == 0
    store.remove(Kind.DATA, "ab" * 32)


def test_object_lock_holds_against_our_own_keys(source, s3_place, s3_server, tmp_path):
    address, options = s3_place(object_lock_days=3)
    store = open_store(address, options)
    repository = Repository.create(store, PASSWORD, cost=WEAK)
    snapshot = backup(repository, paths=[source]).snapshot
    bucket, prefix = place_of(address)
    client = s3_server.client()
    victims = [(kind, name) for kind in Kind if kind is not Kind.LOCK for name, _ in store.list(kind)]
    assert len({kind for kind, _ in victims}) == 5
    for kind, name in victims:
        key = f"{prefix}/{relative_path(kind, name)}"
        version = client.list_object_versions(Bucket=bucket, Prefix=key)["Versions"][0]["VersionId"]
        with pytest.raises(StoreError, match="AccessDenied"):
            store.remove(kind, name)
        with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
            client.delete_object(Bucket=bucket, Key=key, VersionId=version)
        with pytest.raises(botocore.exceptions.ClientError, match="PreconditionFailed"):
            client.put_object(Bucket=bucket, Key=key, Body=b"ransom", IfNoneMatch="*")
        # What S3 does allow hides a file and destroys nothing: we read the first version all the same.
        client.put_object(Bucket=bucket, Key=key, Body=b"ransom")
        client.delete_object(Bucket=bucket, Key=key)
    client.close()
    fresh = Repository.open(open_store(address, options), PASSWORD)
    assert check(fresh, read_data=Subset.everything()).problems == []
    restore(fresh, find_snapshot(fresh, snapshot.id), tmp_path / "out").require_complete()
    assert contents(tmp_path / f"out{source}") == contents(source)


def test_retention_is_renewed(s3_place, s3_server):
    address, options = s3_place(object_lock_days=2)
    Repository.create(open_store(address, options), PASSWORD, cost=WEAK)
    assert renew_object_lock(address, options, 2) == 0  # all of it is left
    assert renew_object_lock(address, options, 30) == 2  # key and config
    bucket, prefix = place_of(address)
    client = s3_server.client()
    ends = client.head_object(Bucket=bucket, Key=f"{prefix}/config")["ObjectLockRetainUntilDate"]
    client.close()
    assert ends - datetime.now(UTC) > timedelta(days=29)
