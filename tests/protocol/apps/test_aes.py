"""AES against the example of FIPS 197 and against a library, in counter mode."""

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from sentinel.protocol.apps import aes


def test_fips_197():
    keys = aes.expand(bytes(range(16)))
    assert (
        aes.encrypt(keys, bytes.fromhex("00112233445566778899aabbccddeeff")).hex()
        == "69c4e0d86a7b0430d8cdb78070b4c55a"
    )


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=12, max_size=12), st.binary(max_size=200))
def test_counter_mode_reads_gcm(key, nonce, data):
    sealed = AESGCM(key).encrypt(nonce, data, None)
    assert aes.counter_mode(aes.expand(key), nonce, sealed[:-16]) == data
