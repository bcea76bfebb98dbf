"""nf_tables over netlink: the kernel's generation number, and what happens to our table as it happens.

Events come in transactions: the changes, then NEWGEN with the process that committed them (its id is the initial
namespace's). Only headers and a few attributes are read, because a transaction of 100,000 elements is 100,000
messages; a library that decodes each into objects falls behind and the socket overflows. An overflow is no loss:
`Burst.overflow` says "compare everything". Layout: linux/netlink.h, linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sentinel.errors import CapabilityError
from sentinel.firewall.ruleset import TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

NETLINK_NETFILTER = 12
NFT_SUBSYSTEM = 10
NFT_GROUP = 1 << 6  # NFNLGRP_NFTABLES is 7
NFPROTO_INET = 1
SO_RCVBUFFORCE = 33
RECEIVE_BYTES = 8 * 1024 * 1024
MESSAGE_BYTES = 1 << 16
NLM_F_REQUEST = 1
NLMSG_ERROR = 2
NEW_ELEMENT, DELETE_ELEMENT, NEW_GENERATION, GET_GENERATION = 12, 14, 15, 16
# message type -> (what, deleted, attribute with the chain's or set's name)
KINDS = {
    0: ("table", False, 0), 2: ("table", True, 0), 3: ("chain", False, 3), 5: ("chain", True, 3),
    6: ("rule", False, 2), 8: ("rule", True, 2), 9: ("set", False, 2), 11: ("set", True, 2),
    NEW_ELEMENT: ("element", False, 2), DELETE_ELEMENT: ("element", True, 2),
    18: ("object", False, 2), 20: ("object", True, 2), 22: ("flowtable", False, 2), 24: ("flowtable", True, 2),
}  # fmt: skip
_TABLE_ATTRIBUTE = 1
_ELEMENTS_ATTRIBUTE = 3
_KEY, _EXPIRATION = 1, 5  # NFTA_SET_ELEM_
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER


@dataclass(frozen=True, slots=True)
class Change:
    kind: str
    deleted: bool
    name: str = ""
    elements: tuple[tuple[bytes, int], ...] = ()  # key, milliseconds until it ends (0: it does not)

    def __str__(self) -> str:
        return f"{self.kind} {self.name} {'deleted' if self.deleted else 'added'}".replace("  ", " ")


@dataclass(frozen=True, slots=True)
class Author:
    """Who committed a transaction; the generation is its number in this network namespace."""

    generation: int
    pid: int
    name: str


@dataclass(slots=True)
class Burst:
    """What arrived since the last reading: the commits that touched our table, in order."""

    commits: list[tuple[Author, list[Change]]] = field(default_factory=list)
    overflow: bool = False

    def __bool__(self) -> bool:
        return bool(self.commits) or self.overflow

    def outcome(self, set_name: str) -> dict[bytes, int | None]:
        """Of each element of a set that was touched: how long it lives now, None where it was deleted."""
        return {
            key: None if change.deleted else milliseconds
            for _, changes in self.commits
            for change in changes
            if change.kind == "element" and change.name == set_name
            for key, milliseconds in change.elements
        }

    def touched_sets(self) -> set[str]:
        return {change.name for _, changes in self.commits for change in changes if change.kind == "element"}


def generation() -> int:
    """Counts commits in this network namespace, whoever made them."""
    header = struct.pack("=IHHII", 20, NFT_SUBSYSTEM << 8 | GET_GENERATION, NLM_F_REQUEST, 1, 0)
    with open_socket() as connection:
        connection.send(header + struct.pack("=BBH", socket.AF_UNSPEC, 0, 0))
        for kind, _, body in _messages(connection.recv(MESSAGE_BYTES)):
            if kind == NEW_GENERATION:
                return int.from_bytes(_attributes(body).get(1, b""), "big")
    raise CapabilityError("the kernel does not answer nf_tables requests (CAP_NET_ADMIN, nf_tables module)")


class Events:
    """A subscription; `read` never blocks, `fileno` is for select."""

    def __init__(self) -> None:
        self._connection = open_socket()
        self._connection.setblocking(False)
        try:
            self._connection.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BYTES)
        except OSError:  # in a user namespace only up to rmem_max
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        try:
            self._connection.bind((0, NFT_GROUP))
        except PermissionError:
            self._connection.close()
            raise CapabilityError(
                "watching the firewall needs CAP_NET_ADMIN: run as root, or grant it to the unit"
            ) from None
        self._open: list[Change] = []  # of a transaction whose NEWGEN has not come yet

    def fileno(self) -> int:
        return self._connection.fileno()

    def close(self) -> None:
        self._connection.close()

    def read(self) -> Burst:
        burst = Burst()
        while True:
            try:
                data = self._connection.recv(MESSAGE_BYTES)
            except BlockingIOError:
                return burst
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                burst.overflow = True
                continue
            for kind, family, body in _messages(data):
                self._take(kind, family, body, burst)

    def _take(self, kind: int, family: int, body: bytes, burst: Burst) -> None:
        if kind == NEW_GENERATION:
            if self._open:
                attributes = _attributes(body)
                generation_id, pid = (int.from_bytes(attributes.get(i, b""), "big") for i in (1, 2))
                author = Author(generation_id, pid, _text(attributes.get(3, b"")))
                burst.commits.append((author, self._open))
                self._open = []
        elif family == NFPROTO_INET and kind in KINDS:
            what, deleted, name = KINDS[kind]
            attributes = _attributes(body)
            if _text(attributes.get(_TABLE_ATTRIBUTE, b"")) == TABLE:
                elements = tuple(_elements(attributes)) if what == "element" else ()
                self._open.append(Change(what, deleted, _text(attributes.get(name, b"")), elements))


def process_name(pid: int, fallback: str) -> str:
    """`fallback` is the kernel's short name; the command line says more while the process lives."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123 - a proc file, not a path to handle
            words = file.read(512).replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        words = ""
    return words or fallback


def open_socket() -> socket.socket:
    try:
        connection = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER
        )
    except OSError as error:
        raise CapabilityError(f"no netfilter netlink: {os.strerror(error.errno or 0)}") from None
    connection.settimeout(5.0)
    return connection


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(nf_tables message type, protocol family, attributes) of each message; others are skipped."""
    position = 0
    while position + 20 <= len(data):
        length, kind = struct.unpack_from("=IH", data, position)
        if length < 20:
            return
        if kind >> 8 == NFT_SUBSYSTEM:
            yield kind & 0xFF, data[position + 16], data[position + 20 : position + length]
        position += (length + 3) & ~3


def _pairs(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, position)
        if length < 4:
            return
        yield kind & _TYPE_MASK, data[position + 4 : position + length]
        position += (length + 3) & ~3


def _attributes(data: bytes) -> dict[int, bytes]:
    return dict(_pairs(data))


def _elements(attributes: dict[int, bytes]) -> Iterator[tuple[bytes, int]]:
    for _, element in _pairs(attributes.get(_ELEMENTS_ATTRIBUTE, b"")):
        found = _attributes(element)
        value = _attributes(found.get(_KEY, b"")).get(1, b"")
        if value:
            yield value, int.from_bytes(found.get(_EXPIRATION, b""), "big")


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode("utf-8", "replace")
