"""A distant store is asked for a pack of trees, not for each tree; a disk is not made to read more than needed."""

import pytest

from sentinel.backup.repo.keyfile import ScryptCost
from sentinel.backup.repo.pack import BlobType
from sentinel.backup.repo.repository import Repository
from sentinel.backup.repo.writer import BlobWriter
from sentinel.backup.store.memory import MemoryStore
from sentinel.backup.store.meter import MeterStore
from sentinel.backup.store.store import Kind
from sentinel.errors import RepositoryError


class Distant(MemoryStore):
    connections = 5


def filled(place):
    store = MeterStore(place)
    repository = Repository.create(store, "correct horse", cost=ScryptCost(n=1024))
    with BlobWriter(repository) as writer:
        trees = [writer.add(BlobType.TREE, b"tree %d" % n) for n in range(50)]
        writer.flush()
    return repository, trees


@pytest.mark.parametrize(("place", "requests"), [(Distant(), 1), (MemoryStore(), 50)])
def test_requests(place, requests):
    repository, trees = filled(place)
    assert [repository.load_blob(BlobType.TREE, tree) for tree in trees] == [
        b"tree %d" % n for n in range(50)
    ]
    assert repository.store.counts["load", "data"] == requests


def test_damage_is_asked_for_again():
    place = Distant()
    repository, trees = filled(place)
    ((_, name),) = [key for key in place.files if key[0] is Kind.DATA]
    whole = place.files[Kind.DATA, name]
    place.files[Kind.DATA, name] = bytes(len(whole))
    with pytest.raises(RepositoryError):
        repository.load_blob(BlobType.TREE, trees[0])
    place.files[Kind.DATA, name] = whole
    assert repository.load_blob(BlobType.TREE, trees[0]) == b"tree 0"
