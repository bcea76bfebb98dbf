"""AES-128 in counter mode (FIPS 197, SP 800-38A) for QUIC's Initial packets, whose keys anybody can derive.

In: key and blocks. Out: encrypted blocks. All blocks of a packet go through the rounds together as one numpy array, so
a packet costs a few hundred microseconds. Nothing secret is protected with this: it only reads what is public.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROUNDS = 10
# ShiftRows on a column-major state of 16 bytes.
_SHIFT = np.array([0, 5, 10, 15, 4, 9, 14, 3, 8, 13, 2, 7, 12, 1, 6, 11])


def _multiply(left: int, right: int) -> int:
    """In GF(2^8) modulo x^8 + x^4 + x^3 + x + 1."""
    product = 0
    while right:
        if right & 1:
            product ^= left
        left = left << 1 ^ (0x11B if left & 0x80 else 0)
        right >>= 1
    return product


@cache
def _tables() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The S-box and multiplication by two."""
    box = np.zeros(256, np.uint8)
    inverse = [0] * 256
    for a in range(1, 256):
        for b in range(1, 256):
            if _multiply(a, b) == 1:
                inverse[a] = b
                break
    for value in range(256):
        x = inverse[value]
        result = 0x63
        for shift in range(5):
            result ^= (x << shift | x >> (8 - shift)) & 0xFF
        box[value] = result
    double = np.array([_multiply(value, 2) for value in range(256)], np.uint8)
    return box, double


def expand(key: bytes) -> NDArray[np.uint8]:
    """Eleven round keys of sixteen bytes."""
    box, _ = _tables()
    words = [key[i : i + 4] for i in range(0, 16, 4)]
    constant = 1
    while len(words) < 4 * (_ROUNDS + 1):
        word = words[-1]
        if len(words) % 4 == 0:
            turned = word[1:] + word[:1]
            word = bytes(int(box[byte]) for byte in turned)
            word = bytes((word[0] ^ constant,)) + word[1:]
            constant = _multiply(constant, 2)
        words.append(bytes(a ^ b for a, b in zip(words[-4], word, strict=True)))
    return np.frombuffer(b"".join(words), np.uint8).reshape(_ROUNDS + 1, 16)


def encrypt(keys: NDArray[np.uint8], blocks: bytes) -> bytes:
    """Each 16-byte block by itself."""
    box, double = _tables()
    state = np.frombuffer(blocks, np.uint8).reshape(-1, 16) ^ keys[0]
    for number in range(1, _ROUNDS + 1):
        state = box[state][:, _SHIFT]
        if number < _ROUNDS:
            columns = state.reshape(-1, 4, 4)
            turned = np.roll(columns, -1, axis=2)
            every = columns[:, :, 0] ^ columns[:, :, 1] ^ columns[:, :, 2] ^ columns[:, :, 3]
            state = (columns ^ every[:, :, None] ^ double[columns ^ turned]).reshape(-1, 16)
        state ^= keys[number]
    result: bytes = state.tobytes()
    return result


def counter_mode(keys: NDArray[np.uint8], nonce: bytes, data: bytes) -> bytes:
    """GCM's decryption without its tag: the counter of the first data block is 2."""
    count = -(-len(data) // 16)
    blocks = b"".join(nonce + (2 + i).to_bytes(4, "big") for i in range(count))
    stream = encrypt(keys, blocks)[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(data), "big")
