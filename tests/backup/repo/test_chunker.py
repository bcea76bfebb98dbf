"""Chunks: together they are the data; the same data is cut alike, however it comes in and whatever stands before it."""

import io
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.backup.repo.chunker import MAX_BYTES, MIN_BYTES, Chunker
from sentinel.backup.repo.polynomial import random_polynomial

POLYNOMIAL = random_polynomial()


class Trickle:
    """Gives what it likes, as a pipe does."""

    def __init__(self, data, seed):
        self.data = io.BytesIO(data)
        self.dice = random.Random(seed)

    def read(self, size):
        return self.data.read(min(size, self.dice.choice([1, 4096, 65_536, 3_000_000])))


def cut(data, polynomial=POLYNOMIAL):
    return [bytes(chunk) for chunk in Chunker(polynomial).cut(io.BytesIO(data))]


@settings(max_examples=15)
@given(st.integers(0, 40_000_000), st.integers(0, 100), st.booleans())
def test_chunks_are_the_data(size, seed, zeros):
    data = bytes(size) if zeros else random.Random(seed).randbytes(size)
    chunks = cut(data)
    assert b"".join(chunks) == data
    assert all(MIN_BYTES <= len(chunk) <= MAX_BYTES for chunk in chunks[:-1])
    trickled = [bytes(chunk) for chunk in Chunker(POLYNOMIAL).cut(Trickle(data[:9_000_000], seed))]
    assert trickled == cut(data[:9_000_000])


def test_an_insertion_changes_few_chunks():
    data = random.Random(1).randbytes(30_000_000)
    before = set(cut(data))
    after = cut(b"inserted" + data)
    assert len(set(after) - before) <= 3


def test_each_repository_cuts_differently():
    data = random.Random(2).randbytes(10_000_000)
    assert [len(chunk) for chunk in cut(data)] != [len(chunk) for chunk in cut(data, random_polynomial())]


@pytest.mark.parametrize("size", [0, 1, MIN_BYTES - 1, MIN_BYTES])
def test_small_files_are_one_chunk(size):
    assert len(cut(bytes(size))) == (1 if size else 0)
