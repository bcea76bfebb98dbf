"""Retries, limits, metering and addresses: what they do beyond the contract."""

import os
import stat

import pytest

from sentinel import metrics
from sentinel.backup.store.limit import Bucket
from sentinel.backup.store.local import LocalStore
from sentinel.backup.store.location import StoreOptions, open_store
from sentinel.backup.store.memory import MemoryStore
from sentinel.backup.store.meter import MeterStore
from sentinel.backup.store.retry import RetryStore
from sentinel.backup.store.store import Kind
from sentinel.errors import StoreError, UsageError

NAME = "ab" * 32


class Flaky(MemoryStore):
    """Fails a few times before each success."""

    def __init__(self, failures, error=None):
        super().__init__()
        self.failures = failures
        self.error = error or StoreError("connection reset")
        self.calls = 0

    def fail(self):
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error

    def load(self, *arguments):
        self.fail()
        return super().load(*arguments)

    def list(self, kind):
        yield from list(super().list(kind))[:1]
        self.fail()
        yield from list(super().list(kind))[1:]

    def remove(self, kind, name):
        super().remove(kind, name)
        self.fail()


def test_what_fails_is_tried_again():
    heard = []
    inner = Flaky(3)
    inner.save(Kind.DATA, NAME, b"data")
    store = RetryStore(inner, retries=3, first_wait_seconds=0, on_retry=heard.append)
    assert store.load(Kind.DATA, NAME) == b"data"
    assert heard == ["load"] * 3


def test_there_is_an_end():
    store = RetryStore(Flaky(4), retries=3, first_wait_seconds=0)
    with pytest.raises(StoreError, match="reset"):
        store.load(Kind.DATA, NAME)


@pytest.mark.parametrize("error", [PermissionError("refused"), EOFError("refused")])
def test_refusals_are_not_tried_again(error):
    inner = Flaky(1, error)
    with pytest.raises(StoreError, match="refused"):
        RetryStore(inner, retries=3, first_wait_seconds=60).load(Kind.DATA, NAME)
    assert inner.calls == 1


def test_a_listing_that_breaks_gives_nothing_twice():
    inner = Flaky(1)
    for n in range(3):
        inner.save(Kind.LOCK, f"{n:064x}", b"")
    names = [name for name, _ in RetryStore(inner, first_wait_seconds=0).list(Kind.LOCK)]
    assert sorted(names) == [f"{n:064x}" for n in range(3)]


def test_removed_although_the_answer_was_lost():
    inner = Flaky(1)
    inner.save(Kind.LOCK, NAME, b"")
    RetryStore(inner, first_wait_seconds=0).remove(Kind.LOCK, NAME)
    with pytest.raises(FileNotFoundError):
        RetryStore(inner, first_wait_seconds=0).remove(Kind.LOCK, NAME)


def test_the_limit_is_kept():
    now = [0.0]
    bucket = Bucket(1000, clock=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
    for _ in range(10):
        bucket.spend(500)
    assert now[0] == pytest.approx(5.0)


def test_no_limit_never_sleeps():
    Bucket(0, sleep=lambda seconds: pytest.fail("slept")).spend(10**12)


def requests(operation, result):
    return sum(
        value
        for series, value in metrics.held().items()
        if series.name == metrics.backup_store_requests.name
        and series.labels == (("operation", operation), ("result", result))
    )


def test_the_meter_counts(tmp_path):
    store = MeterStore(LocalStore(tmp_path))
    saved, missing = requests("save", "ok"), requests("size", "missing")
    store.save(Kind.DATA, NAME, b"12345")
    store.load(Kind.DATA, NAME, 1, 3)
    with pytest.raises(FileNotFoundError):
        store.size(Kind.KEY, NAME)
    assert store.counts["sent", "data"] == 5
    assert store.counts["received", "data"] == 3
    assert store.counts["size", "keys"] == 1
    assert (requests("save", "ok"), requests("size", "missing")) == (saved + 1, missing + 1)


def test_files_are_private_and_read_only(tmp_path):
    store = LocalStore(tmp_path / "repository")
    store.create()
    store.save(Kind.DATA, NAME, b"data")
    path = tmp_path / f"repository/data/ab/{NAME}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert {
        stat.S_IMODE(folder.stat().st_mode) for folder in [path.parent, tmp_path / "repository/keys"]
    } == {0o700}


def test_a_shared_repository_stays_shared(tmp_path):
    os.chmod(tmp_path, 0o2770)
    store = LocalStore(tmp_path)
    store.save(Kind.DATA, NAME, b"data")
    assert stat.S_IMODE((tmp_path / f"data/ab/{NAME}").stat().st_mode) == 0o440


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    store = LocalStore(tmp_path)

    def full(descriptor, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreError, match="No space"):
        store.save(Kind.DATA, NAME, b"data")
    assert list((tmp_path / "data/ab").iterdir()) == []


@pytest.mark.parametrize(
    ("address", "location"),
    [
        ("/srv/backup", "/srv/backup"),
        ("file:///srv/backup", "/srv/backup"),
        ("memory:x", "memory:x"),
        ("s3://bucket/a/b", "s3:https://other:9000/bucket/a/b"),
        ("s3:http://127.0.0.1:9000/bucket", "s3:http://127.0.0.1:9000/bucket"),
        ("s3:s3.amazonaws.com/bucket/p", "s3:https://s3.amazonaws.com/bucket/p"),
    ],
)
def test_addresses(address, location):
    assert open_store(address, StoreOptions(endpoint="https://other:9000")).location == location


@pytest.mark.parametrize("address", ["", "sftp:host:/x", "s3:bucket", "s3://"])
def test_wrong_addresses(address):
    with pytest.raises(UsageError):
        open_store(address)


def test_limits_are_wired_in(tmp_path):
    options = StoreOptions(upload_bytes_per_second=10**9, download_bytes_per_second=10**9)
    store = open_store(str(tmp_path), options)
    store.save(Kind.LOCK, NAME, b"x")
    assert store.load(Kind.LOCK, NAME) == b"x"
