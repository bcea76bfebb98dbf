"""An open repository: a store and its master key. Everything that comes out of it was authenticated and hashed.

In: a store and a password. Out: JSON files (snapshots, locks, indexes) and blobs. Invariants: a file's name is the
SHA-256 of its content and is compared on reading; a blob's id is the SHA-256 of its plaintext and is compared on
reading; what does not match is read once more (a transfer may have failed) and then refused.
"""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Self

from sentinel.backup.repo import config as config_file
from sentinel.backup.repo.compression import Compression, compress, decompress
from sentinel.backup.repo.config import NEWEST_VERSION, Config
from sentinel.backup.repo.crypto import OVERHEAD_BYTES, MasterKey
from sentinel.backup.repo.index import Index, Location
from sentinel.backup.repo.keyfile import ScryptCost, find_key, store_key
from sentinel.backup.repo.pack import BlobType
from sentinel.backup.repo.treepacks import TreePacks
from sentinel.backup.store.store import Buffer, Kind, Store
from sentinel.errors import NoRepositoryError, RepositoryError

if TYPE_CHECKING:
    from collections.abc import Callable


ENCODING_COMPRESSED = 2  # first byte of a version 2 file; "[" and "{" mark plain JSON
PLAIN_JSON = b"[{"


class Repository:
    def __init__(self, store: Store, key: MasterKey, key_id: str, config: Config) -> None:
        self.store = store
        self.key = key
        self.key_id = key_id
        self.config = config
        self.compression = Compression.AUTO
        self._index: Index | None = None
        self._index_lock = threading.Lock()
        self._trees = TreePacks(store)

    @classmethod
    def create(
        cls, store: Store, password: str, *, version: int = NEWEST_VERSION, cost: ScryptCost | None = None
    ) -> Self:
        """Make a new repository; there must be none yet."""
        if version not in config_file.READABLE_VERSIONS:
            raise RepositoryError(f"repository format version {version} is not supported")
        if any(True for _ in store.list(Kind.CONFIG)):
            raise RepositoryError(f"{store.location}: there is a repository already")
        store.create()
        if any(True for _ in store.list(Kind.KEY)):
            raise RepositoryError(f"{store.location}: there are keys of another repository")
        master = MasterKey.random()
        key_id = store_key(store, master, password, cost or ScryptCost())
        config = Config.random(version)
        store.save(Kind.CONFIG, "config", master.seal(config.encode()))
        return cls(store, master, key_id, config)

    @classmethod
    def open(cls, store: Store, password: str) -> Self:
        if not any(True for _ in store.list(Kind.CONFIG)):
            raise NoRepositoryError(f"{store.location}: there is no repository")
        key_id, master = find_key(store, password)
        try:
            plain = master.open(store.load(Kind.CONFIG, "config"))
        except RepositoryError as error:
            raise RepositoryError(f"{store.location}: config is damaged: {error}") from error
        return cls(store, master, key_id, config_file.decode(plain))

    @property
    def id(self) -> str:
        return self.config.id

    @property
    def version(self) -> int:
        return self.config.version

    @property
    def compresses(self) -> bool:
        return self.config.version >= 2

    def close(self) -> None:
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # --- index ----------------------------------------------------------------------------------------------

    @property
    def index(self) -> Index:
        """Loaded at first use. List snapshots before, so that all they need is in it (design.rst, ordering)."""
        index = self._index
        if index is not None:
            return index
        with self._index_lock:  # threads that add blobs ask at the same time
            if self._index is None:
                self._index = load_index(self)
            return self._index

    def reload_index(self) -> None:
        """Whoever comes to hold a lock must do this: before, another host's prune may have removed what we remember."""
        self._index = load_index(self)

    def use_index(self, index: Index) -> None:
        """What check could read of a damaged one."""
        self._index = index

    def forget_index(self) -> None:
        self._index = None

    # --- whole files ----------------------------------------------------------------------------------------

    def save_file(self, kind: Kind, document: bytes) -> str:
        """Seal a JSON document and store it under its hash."""
        if self.compresses:
            document = bytes([ENCODING_COMPRESSED]) + compress(document)
        sealed = self.key.seal(document)
        name = hashlib.sha256(sealed).hexdigest()
        self.store.save(kind, name, sealed)
        return name

    def load_file(self, kind: Kind, name: str) -> bytes:
        return self._twice(lambda: self._load_file(kind, name), f"{kind.value}/{name[:12]}")

    def _load_file(self, kind: Kind, name: str) -> bytes:
        sealed = self.store.load(kind, name)
        if hashlib.sha256(sealed).hexdigest() != name:
            raise RepositoryError("content does not match its name")
        plain = self.key.open(sealed)
        if plain[:1] and plain[:1] in PLAIN_JSON:
            return plain
        if plain[:1] != bytes([ENCODING_COMPRESSED]):
            raise RepositoryError("unknown encoding")
        return decompress(memoryview(plain)[1:])

    # --- blobs ----------------------------------------------------------------------------------------------

    def load_blob(self, kind: BlobType, blob_id: bytes) -> bytes:
        """Plaintext of a blob; where its first copy is damaged, any other copy."""
        location = self.index.find(kind, blob_id)
        if location is None:
            raise RepositoryError(f"{kind.word} blob {blob_id.hex()[:12]} is not in the index")
        what = f"{kind.word} blob {blob_id.hex()[:12]} in pack {location.pack.hex()[:12]}"
        try:
            return self._twice(lambda: self._load_blob(kind, location, blob_id), what)
        except RepositoryError:
            for other in self.index.find_all(kind, blob_id):
                if other.pack != location.pack:
                    return self._twice(lambda place=other: self._load_blob(kind, place, blob_id), what)  # type: ignore[misc]
            raise

    def _load_blob(self, kind: BlobType, location: Location, blob_id: bytes) -> bytes:
        try:
            if kind is BlobType.TREE:
                sealed = self._trees.load(location)
            else:
                sealed = self.store.load(Kind.DATA, location.pack.hex(), location.offset, location.length)
        except FileNotFoundError:
            raise RepositoryError("the pack is missing") from None
        except EOFError:
            raise RepositoryError("the pack is shorter than the index says") from None
        try:
            return self.open_blob(blob_id, sealed, location.raw_length)
        except RepositoryError:
            self._trees.forget(location.pack)
            raise

    def open_blob(self, blob_id: bytes, sealed: Buffer, raw_length: int) -> bytes:
        """Decrypt, decompress, compare with the id."""
        plain = self.key.open(sealed)
        if raw_length:
            plain = decompress(plain, raw_length)
        if hashlib.sha256(plain).digest() != blob_id:
            raise RepositoryError("blob does not match its id")
        return plain

    def plain_size(self, blob_id: bytes) -> int:
        """Of a data blob."""
        location = self.index.find(BlobType.DATA, blob_id)
        if location is None:
            raise RepositoryError(f"data blob {blob_id.hex()[:12]} is not in the index")
        return location.raw_length or location.length - OVERHEAD_BYTES

    def _twice(self, read: Callable[[], bytes], what: str) -> bytes:
        try:
            return read()
        except RepositoryError:
            pass
        try:
            return read()
        except RepositoryError as error:
            raise RepositoryError(f"{self.store.location}: {what}: {error}") from error


def load_index(repository: Repository) -> Index:
    """All index files merged. A damaged one is an error: going on would store its blobs a second time unseen."""
    index = Index()
    for name, _ in sorted(repository.store.list(Kind.INDEX)):
        try:
            document = repository.load_file(Kind.INDEX, name)
        except (
            FileNotFoundError
        ):  # merged into another by a prune since we listed; that one is in the list of retries
            continue
        index.add_document(document)
    return index
