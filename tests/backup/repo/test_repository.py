"""Opening, passwords and single files of a repository; each refusal has its exit code and one clear line."""

import json
import os

import pytest

from sentinel.backup.repo.keyfile import ScryptCost
from sentinel.backup.repo.keys import add_key, change_password, list_keys, remove_key
from sentinel.backup.repo.pack import BlobType
from sentinel.backup.repo.repository import Repository
from sentinel.backup.repo.writer import BlobWriter
from sentinel.backup.store.local import LocalStore
from sentinel.backup.store.memory import MemoryStore
from sentinel.backup.store.store import Kind
from sentinel.errors import NoRepositoryError, RepositoryError, WrongPasswordError

PASSWORD = "correct horse"
WEAK = ScryptCost(n=1024)


def test_no_repository(tmp_path):
    with pytest.raises(NoRepositoryError) as caught:
        Repository.open(LocalStore(tmp_path / "none"), PASSWORD)
    assert caught.value.exit_code == 10
    assert "\n" not in str(caught.value)


def test_wrong_password(local_repository):
    with pytest.raises(WrongPasswordError, match="wrong password") as caught:
        Repository.open(local_repository.store, "wrong")
    assert caught.value.exit_code == 12
    assert "\n" not in str(caught.value)


def test_a_repository_is_not_made_twice(local_repository):
    with pytest.raises(RepositoryError, match="already"):
        Repository.create(local_repository.store, PASSWORD, cost=WEAK)


def test_an_empty_password_is_refused():
    with pytest.raises(RepositoryError, match="empty"):
        Repository.create(MemoryStore(), "", cost=WEAK)


def test_restic_opens_ours_with_each_password(local_repository, restic):
    place = local_repository.store.location
    add_key(local_repository, "second", WEAK)
    for password, status in [(PASSWORD, (0,)), ("second", (0,)), ("third", (1, 12))]:
        restic("cat", "config", repository=place, env={"RESTIC_PASSWORD": password}, check=status)


def test_we_open_restics_with_each_password(restic, tmp_path):
    restic("init", repository=tmp_path)
    (tmp_path / "new").write_text("second")
    restic("key", "add", "--new-password-file", tmp_path / "new", repository=tmp_path)
    opened = [Repository.open(LocalStore(tmp_path), password).id for password in (PASSWORD, "second")]
    assert opened[0] == opened[1] == json.loads(restic("cat", "config", repository=tmp_path).stdout)["id"]


def test_rotating_the_password(local_repository, restic):
    old = local_repository.key_id
    change_password(local_repository, "new one", WEAK)
    assert [key.current for key in list_keys(local_repository)] == [True]
    assert Repository.open(local_repository.store, "new one").key_id != old
    with pytest.raises(WrongPasswordError):
        Repository.open(local_repository.store, PASSWORD)


def test_removing_keys(local_repository):
    second = add_key(local_repository, "second", WEAK)
    with pytest.raises(RepositoryError, match="in use"):
        remove_key(local_repository, local_repository.key_id)
    for wrong in ("", "zz"):
        with pytest.raises(RepositoryError, match="keys have an id"):
            remove_key(local_repository, wrong)
    assert remove_key(local_repository, second[:8]) == second
    assert len(list_keys(local_repository)) == 1


def test_a_damaged_key_does_not_keep_the_others_out(local_repository):
    local_repository.store.save(Kind.KEY, "00" * 32, b"{damaged")
    assert Repository.open(local_repository.store, PASSWORD).id == local_repository.id
    assert {key.created for key in list_keys(local_repository)} >= {"(damaged)"}


@pytest.mark.parametrize("change", [{"N": 2**30}, {"kdf": "md5"}, {"N": 3}, {"salt": "%"}, {"data": ""}])
def test_hostile_key_files_are_refused(memory_repository, change):
    (name, _), *_ = memory_repository.store.list(Kind.KEY)
    document = json.loads(memory_repository.store.load(Kind.KEY, name))
    memory_repository.store.files[Kind.KEY, name] = json.dumps({**document, **change}).encode()
    with pytest.raises(RepositoryError):
        Repository.open(memory_repository.store, PASSWORD)


@pytest.mark.parametrize("version", [0, 3])
def test_unknown_versions_are_refused(version):
    with pytest.raises(RepositoryError, match="version"):
        Repository.create(MemoryStore(), PASSWORD, version=version, cost=WEAK)


@pytest.mark.parametrize("version", [1, 2])
def test_files_survive(version):
    repository = Repository.create(MemoryStore(), PASSWORD, version=version, cost=WEAK)
    name = repository.save_file(Kind.SNAPSHOT, b'{"a":1}')
    assert repository.load_file(Kind.SNAPSHOT, name) == b'{"a":1}'


def test_a_file_under_another_name_is_refused(memory_repository):
    """Somebody who can write to the store puts an old, well-sealed index in the place of a new one."""
    one, two = (memory_repository.save_file(Kind.INDEX, b'{"packs":[%d]}' % n) for n in (1, 2))
    memory_repository.store.files[Kind.INDEX, two] = memory_repository.store.load(Kind.INDEX, one)
    with pytest.raises(RepositoryError, match="does not match its name"):
        memory_repository.load_file(Kind.INDEX, two)


def test_a_transfer_that_failed_once_is_repeated(memory_repository, monkeypatch):
    name = memory_repository.save_file(Kind.SNAPSHOT, b"{}")
    real = memory_repository.store.load
    broken = [b"broken in transit"]
    monkeypatch.setattr(memory_repository.store, "load", lambda *a: broken.pop() if broken else real(*a))
    assert memory_repository.load_file(Kind.SNAPSHOT, name) == b"{}"


def test_a_second_copy_saves_a_damaged_blob(memory_repository):
    with BlobWriter(memory_repository) as writer:
        blob = writer.add(BlobType.DATA, b"precious")
        writer.flush()
    first = {name for name, _ in memory_repository.store.list(Kind.DATA)}
    with BlobWriter(memory_repository) as writer:
        writer.add_again(BlobType.DATA, blob, b"precious")
        writer.flush()
    memory_repository.store.files[Kind.DATA, first.pop()] = bytes(200)
    assert Repository.open(memory_repository.store, PASSWORD).load_blob(BlobType.DATA, blob) == b"precious"


def test_equal_blobs_are_stored_once(memory_repository):
    data = os.urandom(1000)
    with BlobWriter(memory_repository) as writer:
        ids = {writer.add(BlobType.DATA, data) for _ in range(5)}
        tree = writer.add(BlobType.TREE, data)  # the same bytes as a tree are another blob
        writer.flush()
    assert ids == {tree}
    assert writer.blobs_added == 2


def test_what_is_not_there_is_said(memory_repository):
    with pytest.raises(RepositoryError, match="not in the index"):
        memory_repository.load_blob(BlobType.DATA, bytes(32))
