"""An irreducible polynomial over GF(2) of degree 53: `chunker_polynomial` of the config.

Stock restic refuses a repository whose polynomial is reducible (its Rabin chunker needs a field), so ours is drawn
as restic draws it; our own chunker takes it as a seed. Test: Ben-Or, "Probabilistic algorithms in finite fields".
"""

from __future__ import annotations

import secrets

DEGREE = 53


def random_polynomial() -> str:
    while True:
        candidate = secrets.randbits(DEGREE + 1) | 1 << DEGREE | 1
        if is_irreducible(candidate):
            return f"{candidate:x}"


def is_irreducible(f: int) -> bool:
    power = 2  # the polynomial x
    for _ in range((f.bit_length() - 1) // 2):
        power = _square_modulo(power, f)  # x^(2^i) mod f
        if _gcd(f, power ^ 2) != 1:
            return False
    return True


def _square_modulo(a: int, f: int) -> int:
    return _modulo(int(f"{a:b}", 4), f)  # squaring over GF(2) puts a zero between all bits


def _modulo(a: int, f: int) -> int:
    degree = f.bit_length()
    while (excess := a.bit_length() - degree) >= 0:
        a ^= f << excess
    return a


def _gcd(a: int, b: int) -> int:
    while b:
        a, b = b, _modulo(a, b)
    return a
