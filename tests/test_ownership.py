"""Root's files follow their folder's owner, all the way down."""

import os

import pytest

from sentinel import ownership
from sentinel.backup.store.local import LocalStore
from sentinel.backup.store.store import Kind
from sentinel.ledger import Ledger
from sentinel.state import State

OTHER = 12_345  # no user of this host needs to have it


@pytest.fixture
def folder(tmp_path):
    if os.geteuid() == 0:
        os.chown(tmp_path, OTHER, OTHER)
    return tmp_path


def test_everything_below_a_state_directory_has_its_owner(folder):
    """As root they are OTHER's; as anybody else they are our own, and nothing failed."""
    state = State(folder / "state")
    Ledger(folder / "state").append("service.start", "host")
    store = LocalStore(folder / "state" / "repository")
    store.create()
    store.save(Kind.CONFIG, "config", b"x")
    store.save(Kind.DATA, "ab" * 32, b"x")
    state.close()
    owners = {path.stat().st_uid for path in folder.rglob("*")}
    assert owners == {folder.stat().st_uid}
    assert (folder.stat().st_uid == OTHER) == (os.geteuid() == 0)


def test_a_folder_of_roots_own_changes_nothing(tmp_path):
    (tmp_path / "file").touch()
    before = (tmp_path / "file").stat()
    ownership.follow(tmp_path / "file")
    assert (tmp_path / "file").stat().st_uid == before.st_uid
