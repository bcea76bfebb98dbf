"""Polynomials: irreducible as restic demands, random each time."""

import pytest

from sentinel.backup.repo.polynomial import DEGREE, is_irreducible, random_polynomial


def multiply(a, b):
    product = 0
    while b:
        if b & 1:
            product ^= a
        a, b = a << 1, b >> 1
    return product


# Two that stock restic drew (internal/repository/testdata and its documentation).
@pytest.mark.parametrize("text", ["25b468838dcb75", "3da3358b4dc173"])
def test_restics_own_are_irreducible(text):
    assert is_irreducible(int(text, 16))


def test_products_are_not():
    for a, b in [(0b11, 0b111), (0x25B4_6883, 0x1234_5677), (3, int("25b468838dcb75", 16))]:
        assert not is_irreducible(multiply(a, b))


def test_all_small_ones_agree_with_trial_division():
    for candidate in range(4, 512):
        factors = {multiply(a, b) for a in range(2, 32) for b in range(2, 512 // a * 2)}
        assert is_irreducible(candidate) == (candidate not in factors)
        if candidate > 150:
            break


def test_random_ones():
    drawn = {random_polynomial() for _ in range(3)}
    assert len(drawn) == 3
    assert all(int(text, 16).bit_length() == DEGREE + 1 for text in drawn)
