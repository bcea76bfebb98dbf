"""S3 for real: whole backups through a failing network, stock restic beside us, Object Lock against our own keys."""

import contextlib
import os
import time
from datetime import UTC, datetime, timedelta

import botocore.exceptions
import pytest

from sentinel.backup.archive import backup
from sentinel.backup.check import Subset, check
from sentinel.backup.prune import PruneOptions, prune
from sentinel.backup.renewal import renew
from sentinel.backup.repo.keyfile import ScryptCost
from sentinel.backup.repo.pack import BlobType
from sentinel.backup.repo.repository import Repository
from sentinel.backup.repo.snapshots import find_snapshot, list_snapshots
from sentinel.backup.repo.writer import BlobWriter
from sentinel.backup.restore import restore
from sentinel.backup.retention import forget
from sentinel.backup.store.location import open_store
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


def lapse(client, bucket, prefix, more_than_days):
    """As if time had passed: what has not been renewed loses its retention (governance can be bypassed)."""
    ended = set()
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        for item in page["Versions"]:
            version = {"Bucket": bucket, "Key": item["Key"], "VersionId": item["VersionId"]}
            ends = client.head_object(**version).get("ObjectLockRetainUntilDate")
            if ends is not None and ends - datetime.now(UTC) < timedelta(days=more_than_days):
                soon = datetime.now(UTC) + timedelta(seconds=1)
                retention = {"Mode": "GOVERNANCE", "RetainUntilDate": soon}
                client.put_object_retention(**version, Retention=retention, BypassGovernanceRetention=True)
                ended.add(item["Key"].removeprefix(prefix + "/"))
    time.sleep(1.5)
    return ended


def test_retention_is_renewed_for_what_is_needed_and_lapses_for_the_rest(
    source, s3_place, s3_server, tmp_path
):
    address, options = s3_place(object_lock_days=2, object_lock_mode="GOVERNANCE")
    repository = Repository.create(open_store(address, options), PASSWORD, cost=WEAK)
    old = backup(repository, paths=[source]).snapshot
    for path in (*source.rglob("f*"), source / "large"):
        path.write_bytes(os.urandom(path.stat().st_size))
    new = backup(repository, paths=[source]).snapshot
    assert forget(repository, [old.id]) == 0
    assert {snapshot.id for snapshot in list_snapshots(repository)} == {old.id, new.id}
    assert renew(repository, 2).renewed == 0  # all of it is left
    report = renew(repository, 30, unwanted=[old.id])
    assert report.lapsing > 0
    assert 0 < report.renewed <= report.files
    assert renew(repository, 30, unwanted=[old.id]).renewed == 0
    with contextlib.closing(s3_server.client()) as client:
        ended = lapse(client, *place_of(address), more_than_days=20)
    assert f"snapshots/{old.id}" in ended
    assert not ended & {"config", f"snapshots/{new.id}"}
    assert forget(repository, [old.id, new.id]) == 1
    pruned = prune(repository, PruneOptions(max_unused_percent=0))
    assert pruned.packs_removed == report.lapsing
    assert pruned.bytes_freed > 20_000_000
    fresh = Repository.open(open_store(address, options), PASSWORD)
    assert check(fresh, read_data=Subset.everything()).problems == []
    restore(fresh, find_snapshot(fresh, new.id), tmp_path / "out").require_complete()
    assert contents(tmp_path / f"out{source}") == contents(source)


def test_what_is_needed_moves_out_of_a_retained_pack_that_is_mostly_waste(
    source, s3_place, s3_server, restic, s3_environment, tmp_path
):
    """Else one small file would have a whole pack renewed for ever."""
    address, options = s3_place(object_lock_days=2, object_lock_mode="GOVERNANCE")
    repository = Repository.create(open_store(address, options), PASSWORD, cost=WEAK)
    old = backup(repository, paths=[source]).snapshot
    kept = source / "d1/f1"
    for path in (*source.rglob("f*"), source / "large"):
        if path != kept:
            path.write_bytes(os.urandom(100))
    new = backup(repository, paths=[source]).snapshot
    with contextlib.closing(s3_server.client()) as client:
        bucket, prefix = place_of(address)
        lapse(client, bucket, f"{prefix}/snapshots/{old.id}", more_than_days=20)
    assert forget(repository, [old.id]) == 1
    planned = prune(repository, PruneOptions(dry_run=True))
    done = prune(repository)
    assert planned.packs_copied == done.packs_copied > 0
    assert planned.bytes_copied == done.bytes_copied < 100_000
    assert done.bytes_freed == planned.bytes_freed == 0
    assert prune(repository).packs_copied == 0  # once is enough
    fresh = Repository.open(open_store(address, options), PASSWORD)
    assert renew(fresh, 30).lapsing >= done.packs_copied
    with contextlib.closing(s3_server.client()) as client:
        lapse(client, bucket, prefix, more_than_days=20)
    last = prune(fresh)
    assert last.packs_removed >= done.packs_copied
    assert last.bytes_freed > 20_000_000
    restic("check", "--read-data", repository=address, env=s3_environment)
    fresh = Repository.open(open_store(address, options), PASSWORD)
    restore(fresh, find_snapshot(fresh, new.id), tmp_path / "out").require_complete()
    assert contents(tmp_path / f"out{source}") == contents(source)


def test_pruning_what_is_retained_changes_nothing(source, s3_place):
    address, options = s3_place(object_lock_days=2)
    repository = Repository.create(open_store(address, options), PASSWORD, cost=WEAK)
    backup(repository, paths=[source])
    with BlobWriter(repository) as writer:  # what an interrupted backup leaves
        writer.add(BlobType.DATA, b"in no snapshot")
        writer.flush()
    before = sorted(repository.store.list(Kind.INDEX))
    for _ in range(2):
        report = prune(repository, PruneOptions(max_unused_percent=0))
        assert (report.packs_removed, report.packs_retained, report.bytes_freed) == (0, 1, 0)
        assert sorted(repository.store.list(Kind.INDEX)) == before
    assert check(repository).problems == []
