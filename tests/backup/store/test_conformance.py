"""One suite for every store and every wrapper: the contract of sentinel/backup/store/store.py."""

import hashlib
import os
import threading

import pytest

from sentinel.backup.store.limit import Bucket, LimitStore
from sentinel.backup.store.local import LocalStore
from sentinel.backup.store.location import open_store
from sentinel.backup.store.memory import MemoryStore
from sentinel.backup.store.meter import MeterStore
from sentinel.backup.store.retry import RetryStore
from sentinel.backup.store.store import Kind
from sentinel.errors import StoreError

NAMED = [kind for kind in Kind if kind is not Kind.CONFIG]
STORES = [
    "memory",
    "local",
    "wrapped",
    pytest.param("s3", marks=pytest.mark.service),
    pytest.param("s3 locked", marks=pytest.mark.service),
    pytest.param("s3 failing", marks=pytest.mark.service),
]


@pytest.fixture(params=STORES)
def store(request, tmp_path):
    place = request.getfixturevalue("s3_place") if request.param.startswith("s3") else None
    if request.param == "memory":
        made = MemoryStore()
    elif request.param == "local":
        made = LocalStore(tmp_path / "deep/repository")
    elif request.param == "wrapped":
        made = RetryStore(LimitStore(MeterStore(LocalStore(tmp_path)), Bucket(10**9), Bucket(10**9)))
    elif request.param == "s3":
        made = open_store(*place(storage_class="STANDARD_IA"))
    elif request.param == "s3 locked":
        made = open_store(*place(object_lock_days=1))
    else:
        proxy = request.getfixturevalue("fault_proxy")(rate=0.3)
        made = open_store(*place(proxy.endpoint, retries=12))
    made.create()
    yield made
    made.close()


def name_of(data):
    return hashlib.sha256(data).hexdigest()


def test_what_was_saved_is_loaded(store):
    data = os.urandom(100_000)
    for kind in Kind:
        store.save(kind, name_of(data), data)
        assert store.load(kind, name_of(data)) == data
        assert store.size(kind, name_of(data)) == len(data)


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_any_buffer_may_be_saved(store, wrap):
    store.save(Kind.DATA, name_of(b"buffer"), wrap(b"buffer"))
    assert store.load(Kind.DATA, name_of(b"buffer")) == b"buffer"


def test_a_part_is_exactly_the_part(store):
    data = bytes(range(256)) * 10
    store.save(Kind.DATA, name_of(data), data)
    for offset, length in [(0, 1), (0, len(data)), (17, 0), (100, 1000), (len(data) - 1, 1), (5, None)]:
        expected = data[offset:] if length is None else data[offset : offset + length]
        assert store.load(Kind.DATA, name_of(data), offset, length) == expected


def test_asking_for_more_than_there_is_fails(store):
    store.save(Kind.DATA, name_of(b"short"), b"short")
    for offset, length in [(0, 6), (3, 5), (5, 1), (50, 1)]:
        with pytest.raises((StoreError, EOFError)):
            store.load(Kind.DATA, name_of(b"short"), offset, length)


@pytest.mark.parametrize("kind", Kind)
def test_what_is_not_there_is_not_found(store, kind):
    missing = "00" * 32
    assert list(store.list(kind)) == []
    for action in (store.load, store.size, store.remove):
        with pytest.raises(FileNotFoundError):
            action(kind, missing)


def test_kinds_are_apart(store):
    name = name_of(b"x")
    for number, kind in enumerate(NAMED):
        store.save(kind, name, b"x" * number)
    for number, kind in enumerate(NAMED):
        assert list(store.list(kind)) == [(name, number)]
        assert store.load(kind, name) == b"x" * number


def test_the_config_is_one_file(store):
    store.save(Kind.CONFIG, "config", b"sealed")
    assert list(store.list(Kind.CONFIG)) == [("config", 6)]
    assert store.load(Kind.CONFIG, "config") == b"sealed"


def test_saving_again_is_harmless(store):
    for _ in range(2):
        store.save(Kind.INDEX, name_of(b"again"), b"again")
    assert list(store.list(Kind.INDEX)) == [(name_of(b"again"), 5)]


def test_removing(store):
    names = [name_of(bytes([n])) for n in range(3)]
    for name in names:
        store.save(Kind.LOCK, name, b"lock")
    store.remove(Kind.LOCK, names[1])
    assert {name for name, _ in store.list(Kind.LOCK)} == {names[0], names[2]}
    with pytest.raises(FileNotFoundError):
        store.load(Kind.LOCK, names[1])


def test_many_threads_at_once(store):
    contents = [os.urandom(3000) for _ in range(24)]

    def work(part):
        for data in part:
            store.save(Kind.DATA, name_of(data), data)
            assert store.load(Kind.DATA, name_of(data), 1, 10) == data[1:11]

    threads = [threading.Thread(target=work, args=(contents[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert dict(store.list(Kind.DATA)) == {name_of(data): 3000 for data in contents}


def test_an_empty_file(store):
    store.save(Kind.LOCK, name_of(b""), b"")
    assert store.load(Kind.LOCK, name_of(b"")) == b""


def test_sweeping_keeps_finished_files(store):
    store.save(Kind.DATA, name_of(b"kept"), b"kept")
    store.sweep()
    assert store.load(Kind.DATA, name_of(b"kept")) == b"kept"


def test_the_location_is_for_people(store):
    assert str(store.location)
    assert store.connections >= 1
