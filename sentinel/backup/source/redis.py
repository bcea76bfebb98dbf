"""Redis: an RDB file streamed by the server itself, and a load that needs no access to the server's disk.

In: an address. Out: the RDB and what was measured before and after it (Redis offers no shared snapshot, so counts are
ranges and only values that did not change are sampled). A load starts a private Redis on the RDB and copies key by
key (DUMP, RESTORE), so it works on a running server, local or remote. redis-cli gets the password through
REDISCLI_AUTH. Keys that expire are not counted: they may be gone by the time of the restore, rightly.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import re
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from sentinel import process
from sentinel.backup import sandbox
from sentinel.backup.source.invariants import Invariants, Table, between
from sentinel.backup.source.resp import RedisClient
from sentinel.backup.source.source import INVARIANTS_PART, Opener, Part, bytes_part
from sentinel.errors import ProgramError, SourceError

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

DUMP_PART = "/redis/dump.rdb"
MAGIC = b"REDIS"
BATCH_KEYS = 500
MOST_SCANNED_KEYS = 2_000_000  # beyond, a sample would cost more than it tells
NO_EXPIRY = -1

# How the whole value of a type is read; sets and hashes come in no particular order.
READERS: dict[bytes, tuple[tuple[str, ...], bool]] = {
    b"string": (("GET",), False),
    b"list": (("LRANGE", "0", "-1"), False),
    b"set": (("SMEMBERS",), True),
    b"zset": (("ZRANGE", "0", "-1", "WITHSCORES"), False),
    b"hash": (("HGETALL",), True),
    b"stream": (("XRANGE", "-", "+"), False),
}


@dataclass(frozen=True, slots=True)
class Redis:
    host: str = "127.0.0.1"
    port: int = 6379
    user: str = ""
    password: str | None = None
    sample_keys: int = 1000

    @property
    def kind(self) -> str:
        return "redis"

    def probe(self) -> str:
        return self.address()

    def address(self) -> str:
        with self._client() as client:
            return f"redis:{_info(client, 'server')['run_id']}"

    @contextlib.contextmanager
    def dump(self) -> Iterator[list[Part]]:
        before = self.measure()
        yield [
            Part(DUMP_PART, self._dumping),
            bytes_part(INVARIANTS_PART, lambda: between(before, self.measure()).encode()),
        ]

    def load(self, parts: Opener, *, replace: bool) -> None:
        with self._client() as target:
            if _keyspace(target) and not replace:
                raise SourceError(f"redis: {target.name} is not empty; name another target or force it")
            with _served(parts) as source:
                if replace:
                    target.ask("FLUSHALL")
                for database in _keyspace(source):
                    _copy(source, target, database)
                functions = source.ask("FUNCTION", "DUMP")
                target.ask("FUNCTION", "RESTORE", functions, "REPLACE")

    def measure(self) -> Invariants:
        moment = time.time_ns()
        with self._client() as client:
            databases = _keyspace(client)
            tables = {f"db{number}": self._table(client, number, *databases[number]) for number in databases}
        return Invariants(self.kind, moment, tables)

    def ask(self, query: str) -> str:
        """One command, split at blanks; the answer as text, a list one element a line."""
        with self._client() as client:
            return _text(client.ask(*query.split()))

    # --- inside ---------------------------------------------------------------------------------------------

    def _client(self) -> RedisClient:
        return RedisClient(self.host, self.port, self.user, self.password)

    @contextlib.contextmanager
    def _dumping(self) -> Iterator[IO[bytes]]:
        where = ["-s", self.host] if self.host.startswith("/") else ["-h", self.host, "-p", str(self.port)]
        who = ["--user", self.user] if self.user else []
        env = {} if self.password is None else {"REDISCLI_AUTH": self.password}
        try:
            with process.stream(["redis-cli", *where, *who, "--rdb", "-"], env=env) as stream:
                if cast("io.BufferedReader", stream).peek(len(MAGIC))[: len(MAGIC)] != MAGIC:
                    stream.read()
                    raise SourceError("redis: the server sent no RDB file")
                yield stream
        except ProgramError as error:
            raise SourceError(f"redis: {error}") from error

    def _table(self, client: RedisClient, database: int, keys: int, expiring: int) -> Table:
        client.ask("SELECT", database)
        sample = self._sample(client) if keys <= MOST_SCANNED_KEYS and self.sample_keys else []
        digest = hashlib.sha256()
        for start in range(0, len(sample), BATCH_KEYS):
            chunk = sample[start : start + BATCH_KEYS]
            for key, value in zip(chunk, _values(client, chunk), strict=True):
                digest.update(hashlib.sha256(key).digest() + hashlib.sha256(value).digest())
        return Table.exactly(keys - expiring, sample=digest.hexdigest(), sampled=len(sample))

    def _sample(self, client: RedisClient) -> list[bytes]:
        """The lasting keys with the smallest hashes, in that order: the same in any copy."""
        return heapq.nsmallest(
            self.sample_keys,
            (key for batch in _scan(client) for key in _lasting(client, batch)),
            key=lambda key: hashlib.sha256(key).digest(),
        )


@contextlib.contextmanager
def _served(parts: Opener) -> Iterator[RedisClient]:
    """A private Redis that has loaded the dump."""
    root = sandbox.make_root(Path(tempfile.gettempdir()))
    try:
        (root / "server").mkdir(mode=0o700)
        with parts(DUMP_PART) as source, (root / "server" / "dump.rdb").open("wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
        (root / "server" / "dump.rdb").chmod(0o644)  # its folder is 0700 of the server's account
        if (root / "server" / "dump.rdb").stat().st_size < len(MAGIC):
            raise SourceError("redis: the dump is empty")
        with sandbox.running("redis", root) as server, RedisClient(server.host, 0, "", None) as client:
            yield client
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _copy(source: RedisClient, target: RedisClient, database: int) -> None:
    source.ask("SELECT", database)
    target.ask("SELECT", database)
    for keys in _scan(source):
        answers = source.ask_all([words for key in keys for words in (("DUMP", key), ("PTTL", key))])
        commands = []
        for key, payload, ttl in zip(keys, answers[::2], answers[1::2], strict=True):
            if payload is not None:  # expired while we copied
                commands.append(("RESTORE", key, max(ttl, 0), payload, "REPLACE"))
        target.ask_all(commands)


def _scan(client: RedisClient) -> Iterator[list[bytes]]:
    """Each key once: SCAN may name one twice when the table grows or shrinks, sets of keys do not."""
    cursor, seen = b"0", set()
    while True:
        cursor, keys = client.ask("SCAN", cursor, "COUNT", BATCH_KEYS)
        fresh = [key for key in keys if key not in seen]
        seen.update(fresh)
        if fresh:
            yield fresh
        if cursor == b"0":
            return


def _lasting(client: RedisClient, keys: list[bytes]) -> list[bytes]:
    ttls = client.ask_all([("PTTL", key) for key in keys])
    return [key for key, ttl in zip(keys, ttls, strict=True) if ttl == NO_EXPIRY]


def _values(client: RedisClient, keys: list[bytes]) -> list[bytes]:
    """A canonical text of each value, whatever encoding the server chose inside."""
    kinds = client.ask_all([("TYPE", key) for key in keys])
    commands: list[tuple[str | bytes, ...]] = []
    unordered: list[bool] = []
    for key, kind in zip(keys, kinds, strict=True):
        (verb, *rest), any_order = READERS.get(kind, (("TYPE",), False))
        commands.append((verb, key, *rest))
        unordered.append(any_order)
    answers = client.ask_all(commands)
    return [
        kind + b" " + _canonical(answer, any_order=any_order, pairs=kind == b"hash")
        for kind, answer, any_order in zip(kinds, answers, unordered, strict=True)
    ]


def _canonical(answer: Any, *, any_order: bool, pairs: bool) -> bytes:
    if any_order and isinstance(answer, list):
        step = 2 if pairs else 1
        answer = sorted(answer[index : index + step] for index in range(0, len(answer), step))
    return repr(answer).encode()


def _keyspace(client: RedisClient) -> dict[int, tuple[int, int]]:
    """Database -> (keys, keys that expire); empty databases are not listed."""
    found = {}
    for name, value in _info(client, "keyspace").items():
        match = re.fullmatch(r"keys=(\d+),expires=(\d+).*", value)
        if match and name.startswith("db"):
            found[int(name[2:])] = (int(match[1]), int(match[2]))
    return found


def _info(client: RedisClient, section: str) -> dict[str, str]:
    text = client.ask("INFO", section).decode("utf-8", "replace")
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def _text(answer: Any) -> str:
    if isinstance(answer, list):
        return "\n".join(map(_text, answer))
    if answer is None:
        return ""
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else str(answer)
