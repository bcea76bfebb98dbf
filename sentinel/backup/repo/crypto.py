"""restic's cryptography: AES-256-CTR with Poly1305-AES over the ciphertext, and scrypt for passwords.

Everything sealed is IV (16) || ciphertext || MAC (16); see restic doc/design.rst, "Keys, Encryption and MAC". The
MAC is verified before anything is decrypted, so damaged or foreign bytes never become plaintext. The only importer
of `cryptography`, which releases the interpreter lock for larger buffers: seal and open may run in threads.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.poly1305 import Poly1305

from sentinel.errors import RepositoryError

if TYPE_CHECKING:
    from sentinel.backup.store.store import Buffer

IV_BYTES = 16
MAC_BYTES = 16
OVERHEAD_BYTES = IV_BYTES + MAC_BYTES
SLACK_BYTES = 15  # OpenSSL asks for a block more room than it fills


class MasterKey:
    """The three keys of a repository (or of a password): AES-256, AES-128 for nonces, Poly1305's r."""

    def __init__(self, encrypt: bytes, mac_k: bytes, mac_r: bytes) -> None:
        if len(encrypt) != 32 or len(mac_k) != 16 or len(mac_r) != 16:
            raise RepositoryError("a key of the repository has the wrong length")
        self.encrypt = encrypt
        self.mac_k = mac_k
        self.mac_r = mac_r
        self._local = threading.local()

    @classmethod
    def random(cls) -> MasterKey:
        return cls(os.urandom(32), os.urandom(16), os.urandom(16))

    @classmethod
    def from_password(cls, password: str, salt: bytes, *, n: int, r: int, p: int) -> MasterKey:
        derived = Scrypt(salt=salt, length=64, n=n, r=r, p=p).derive(password.encode())
        return cls(derived[:32], derived[32:48], derived[48:])

    def seal(self, plaintext: Buffer) -> bytes:
        size = memoryview(plaintext).nbytes
        buffer = bytearray(size + OVERHEAD_BYTES + SLACK_BYTES)
        self.seal_into(plaintext, buffer, 0)
        return bytes(memoryview(buffer)[: size + OVERHEAD_BYTES])

    def seal_into(self, plaintext: Buffer, buffer: bytearray, offset: int) -> int:
        """Write the sealed bytes at `offset` (there must be SLACK_BYTES more room) and return their number."""
        ctr, ecb = self._contexts()
        iv = os.urandom(IV_BYTES)
        ctr.reset_nonce(iv)
        view = memoryview(buffer)
        start = offset + IV_BYTES
        end = start + ctr.update_into(plaintext, view[start:])
        buffer[offset:start] = iv
        buffer[end : end + MAC_BYTES] = Poly1305.generate_tag(self.mac_r + ecb.update(iv), view[start:end])
        return end + MAC_BYTES - offset

    def open(self, sealed: Buffer) -> bytes:
        """Raises RepositoryError when a single bit is not as it was sealed."""
        view = memoryview(sealed)
        if len(view) < OVERHEAD_BYTES:
            raise RepositoryError("ciphertext is too short")
        ctr, ecb = self._contexts()
        iv = bytes(view[:IV_BYTES])
        body = view[IV_BYTES:-MAC_BYTES]
        try:
            Poly1305.verify_tag(self.mac_r + ecb.update(iv), body, bytes(view[-MAC_BYTES:]))
        except InvalidSignature:
            raise RepositoryError("ciphertext verification failed") from None
        ctr.reset_nonce(iv)
        return ctr.update(body)

    def _contexts(self) -> tuple[CipherContext, CipherContext]:
        """One pair a thread: making a context costs ten times what sealing a small blob costs."""
        try:
            return self._local.contexts  # type: ignore[no-any-return]
        except AttributeError:
            ctr = Cipher(algorithms.AES(self.encrypt), modes.CTR(bytes(IV_BYTES))).encryptor()
            # One block of AES on a fresh random nonce is what Poly1305-AES is; there is no mode to choose.
            ecb = Cipher(algorithms.AES(self.mac_k), modes.ECB()).encryptor()  # noqa: S305
            self._local.contexts = (ctr, ecb)
            return ctr, ecb
