"""Key files: the master key, sealed with a key derived from a password by scrypt; several for one repository.

restic doc/design.rst, "Keys, Encryption and MAC". A key file is plain JSON named by its own SHA-256. Rotating a
password writes the new key before the old one is removed. The cost is restic's order of magnitude: 64 MiB of memory.
"""

from __future__ import annotations

import base64
import getpass
import hashlib
import json
import os
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sentinel.backup.repo.crypto import MasterKey
from sentinel.backup.repo.gojson import time_string
from sentinel.backup.store.store import Kind, Store
from sentinel.errors import NoRepositoryError, RepositoryError, WrongPasswordError

if TYPE_CHECKING:
    from collections.abc import Iterator

SALT_BYTES = 64
LARGEST_SCRYPT_BYTES = 1 << 30  # a key file asking for more memory than this is damaged or hostile
MOST_KEYS_TRIED = 20  # restic's limit: each try costs a fifth of a second


@dataclass(frozen=True, slots=True)
class ScryptCost:
    n: int = 65_536
    r: int = 8
    p: int = 1


@dataclass(frozen=True, slots=True)
class KeyInfo:
    id: str
    hostname: str
    username: str
    created: str
    current: bool


def store_key(store: Store, master: MasterKey, password: str, cost: ScryptCost) -> str:
    """Write a key file for `password`; its id."""
    if not password:
        raise RepositoryError("an empty password is not accepted")
    salt = os.urandom(SALT_BYTES)
    user = MasterKey.from_password(password, salt, n=cost.n, r=cost.r, p=cost.p)
    document = {
        "created": time_string(time.time_ns()),
        "username": current_user(),
        "hostname": socket.gethostname(),
        "kdf": "scrypt",
        "N": cost.n,
        "r": cost.r,
        "p": cost.p,
        "salt": _base64(salt),
        "data": _base64(user.seal(_encode_master(master))),
    }
    encoded = json.dumps(document, separators=(",", ":")).encode()
    name = hashlib.sha256(encoded).hexdigest()
    store.save(Kind.KEY, name, encoded)
    return name


def find_key(store: Store, password: str) -> tuple[str, MasterKey]:
    """The first key that opens; WrongPasswordError when none does."""
    tried = 0
    unreadable: list[str] = []
    for name, content in _key_files(store):
        tried += 1
        if tried > MOST_KEYS_TRIED:
            break
        try:
            master = _open(content, password)
        except (ValueError, KeyError, TypeError) as error:
            unreadable.append(f"{name[:8]}: {error}")
            continue
        if master is not None:
            return name, master
    if not tried:
        raise NoRepositoryError(f"{store.location}: the repository has no keys")
    if len(unreadable) == tried:
        raise RepositoryError(f"{store.location}: no key file can be read: {'; '.join(unreadable)}")
    raise WrongPasswordError(f"{store.location}: wrong password: no key of the repository opens with it")


def list_key_files(store: Store, current: str) -> list[KeyInfo]:
    keys = []
    for name, content in _key_files(store):
        try:
            document = json.loads(content)
            hostname, username = str(document["hostname"]), str(document["username"])
            created = str(document["created"])
        except (ValueError, KeyError, TypeError):
            hostname, username, created = "", "", "(damaged)"
        keys.append(KeyInfo(name, hostname, username, created, current=name == current))
    return sorted(keys, key=lambda key: key.created)


def current_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as under systemd's DynamicUser
        return str(os.getuid())


def _key_files(store: Store) -> Iterator[tuple[str, bytes]]:
    for name, _ in sorted(store.list(Kind.KEY)):
        yield name, store.load(Kind.KEY, name)


def _open(content: bytes, password: str) -> MasterKey | None:
    document = json.loads(content)
    if document["kdf"] != "scrypt":
        raise ValueError(f"key derivation {document['kdf']!r} is not supported")
    n, r, p = int(document["N"]), int(document["r"]), int(document["p"])
    if 128 * n * r * p > LARGEST_SCRYPT_BYTES:
        raise ValueError("scrypt parameters are out of bounds")
    salt = base64.b64decode(document["salt"], validate=True)
    user = MasterKey.from_password(password, salt, n=n, r=r, p=p)
    try:
        plain = user.open(base64.b64decode(document["data"], validate=True))
    except RepositoryError:
        return None
    return _decode_master(json.loads(plain))


def _encode_master(master: MasterKey) -> bytes:
    document = {
        "mac": {"k": _base64(master.mac_k), "r": _base64(master.mac_r)},
        "encrypt": _base64(master.encrypt),
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _decode_master(document: dict[str, Any]) -> MasterKey:
    mac = document["mac"]
    return MasterKey(*(base64.b64decode(each) for each in (document["encrypt"], mac["k"], mac["r"])))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
