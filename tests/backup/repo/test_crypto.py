"""Sealing: what comes out is what went in, or an error; never anything else."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.backup.repo.crypto import OVERHEAD_BYTES, SLACK_BYTES, MasterKey
from sentinel.errors import RepositoryError

KEY = MasterKey.random()


@given(st.binary(max_size=5000))
def test_round_trip(plain):
    sealed = KEY.seal(plain)
    assert len(sealed) == len(plain) + OVERHEAD_BYTES
    assert KEY.open(sealed) == plain
    assert KEY.seal(plain) != sealed  # a new nonce each time


@given(st.binary(max_size=200), st.data())
def test_any_flipped_bit_is_refused(plain, data):
    sealed = bytearray(KEY.seal(plain))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(RepositoryError):
        KEY.open(sealed)


@pytest.mark.parametrize("size", [0, 1, 31])
def test_too_short(size):
    with pytest.raises(RepositoryError, match="short"):
        KEY.open(bytes(size))


def test_another_key_opens_nothing():
    with pytest.raises(RepositoryError):
        MasterKey.random().open(KEY.seal(b"secret"))


def test_known_answer():
    """Restic internal/crypto: AES-256-CTR and Poly1305-AES, computed step by step with the primitives."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.poly1305 import Poly1305

    sealed = KEY.seal(b"some plaintext")
    iv, body, mac = sealed[:16], sealed[16:-16], sealed[-16:]
    assert Cipher(algorithms.AES(KEY.encrypt), modes.CTR(iv)).encryptor().update(b"some plaintext") == body
    nonce = Cipher(algorithms.AES(KEY.mac_k), modes.ECB()).encryptor().update(iv)
    assert Poly1305.generate_tag(KEY.mac_r + nonce, body) == mac


def test_sealing_into_a_buffer_leaves_the_rest_alone():
    buffer = bytearray(b"x" * (10 + 5 + OVERHEAD_BYTES + SLACK_BYTES))
    length = KEY.seal_into(b"plain", buffer, 10)
    assert buffer[:10] == b"x" * 10
    assert KEY.open(bytes(buffer[10 : 10 + length])) == b"plain"


def test_threads_do_not_disturb_each_other():
    failed = []

    def work(number):
        plain = bytes([number]) * 50_000
        failed.extend(number for _ in range(50) if KEY.open(KEY.seal(plain)) != plain)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_keys_have_their_lengths():
    with pytest.raises(RepositoryError):
        MasterKey(b"short", bytes(16), bytes(16))
