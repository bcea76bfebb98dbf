"""A needed blob counts in one pack, in the same one for all who ask."""

import itertools

from sentinel.backup.packuse import survey
from sentinel.backup.reach import Reachable
from sentinel.backup.repo.index import Index
from sentinel.backup.repo.pack import BlobType, Entry


def blob(number, length=100, kind=BlobType.DATA):
    return Entry(kind, bytes([number]) * 32, 0, length, 0)


def index_of(packs):
    index = Index()
    for pack, entries in packs.items():
        index.add_pack(pack, entries)
    return index


def test_used_and_unused_bytes():
    index = index_of({b"a" * 32: [blob(1), blob(2, 30), blob(3, 7, BlobType.TREE)]})
    (use,) = survey(index, Reachable(trees={bytes([3]) * 32}, data={bytes([1]) * 32}), index.packs())
    assert [entry.id[0] for entry in use.used] == [1, 3]
    assert (use.used_bytes, use.unused_bytes) == (107, 30)
    assert use.kinds == {BlobType.DATA, BlobType.TREE}


def test_a_copy_counts_where_there_is_the_least_waste():
    packs = {
        b"old" + bytes(29): [blob(1), blob(2), blob(3), blob(4)],
        b"new" + bytes(29): [blob(1), blob(2)],
        b"twin" + bytes(28): [blob(2), blob(1)],
    }
    reached = Reachable(data={bytes([1]) * 32, bytes([2]) * 32})
    for order in itertools.permutations(packs):
        index = index_of({pack: packs[pack] for pack in order})
        used = {use.id[:3]: len(use.used) for use in survey(index, reached, index.packs())}
        assert used == {b"old": 0, b"new": 2, b"twi": 0}


def test_packs_that_are_gone_hold_nothing():
    index = index_of({b"a" * 32: [blob(1)], b"b" * 32: [blob(1), blob(2)]})
    (use,) = survey(index, Reachable(data={bytes([1]) * 32}), [b"b" * 32])
    assert (len(use.used), use.used_bytes, use.unused_bytes) == (1, 100, 100)
