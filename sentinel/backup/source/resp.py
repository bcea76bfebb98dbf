"""A Redis client of one page: RESP2 over a socket, pipelined (redis.io/docs/reference/protocol-spec).

In: address and log-in data. Out: answers as bytes, int, None and lists. Invariant: an error answer raises SourceError
with Redis' own words; the password goes into the socket and nowhere else.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Self

from sentinel.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TIMEOUT_SECONDS = 60.0


class RedisClient:
    def __init__(self, host: str, port: int, user: str, password: str | None) -> None:
        self.name = host if host.startswith("/") else f"{host}:{port}"
        try:
            self._socket = _connect(host, port)
        except OSError as error:
            raise SourceError(f"redis: {self.name}: {error.strerror or error}") from error
        self._input = self._socket.makefile("rb")
        if password is not None:
            try:
                self.ask("AUTH", *([user] if user else []), password)
            except SourceError:
                self.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._input.close()
        self._socket.close()

    def ask(self, *words: bytes | str | int) -> Any:
        return self.ask_all([words])[0]

    def ask_all(self, commands: Iterable[Sequence[bytes | str | int]]) -> list[Any]:
        """Send all, then read all answers; the first error answer raises after the others were read."""
        encoded = [_encode(words) for words in commands]
        try:
            self._socket.sendall(b"".join(encoded))
            answers = [self._answer() for _ in encoded]
        except OSError as error:
            raise SourceError(f"redis: {self.name}: {error.strerror or error}") from error
        for answer in answers:
            if isinstance(answer, SourceError):
                raise answer
        return answers

    def _answer(self) -> Any:
        line = self._input.readline()
        if not line.endswith(b"\r\n"):
            raise SourceError(f"redis: {self.name}: the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            return SourceError(f"redis: {self.name}: {rest.decode('utf-8', 'replace')}")
        if kind == b"+":
            return rest
        number = int(rest)
        if kind == b":":
            return number
        if number < 0:
            return None
        if kind == b"*":
            return [self._answer() for _ in range(number)]
        return self._input.read(number + 2)[:-2]


def _connect(host: str, port: int) -> socket.socket:
    if host.startswith("/"):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(TIMEOUT_SECONDS)
        try:
            connection.connect(host)
        except OSError:
            connection.close()
            raise
        return connection
    return socket.create_connection((host, port), TIMEOUT_SECONDS)


def _encode(words: Sequence[bytes | str | int]) -> bytes:
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
