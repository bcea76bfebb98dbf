"""Elements of ban sets into the kernel and out of it by netlink, a call in one transaction where it is not very large.

For this one thing `nft` is too slow where an allowlist is large: before it adds an element to any set it reads all
interval sets of the table (1.3 s with 100,000 entries, for each ban). Ban sets are hash sets of plain addresses, so
the message is short. Layout: linux/netfilter/nfnetlink.h (batches), linux/netfilter/nf_tables.h (attributes).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import TYPE_CHECKING, TypeAlias

from sentinel.errors import CapabilityError, FirewallError
from sentinel.firewall.netlink import (
    DELETE_ELEMENT,
    MESSAGE_BYTES,
    NEW_ELEMENT,
    NFPROTO_INET,
    NFT_SUBSYSTEM,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    open_socket,
)
from sentinel.firewall.ruleset import TABLE, ban_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sentinel.firewall.networks import Network
    from sentinel.firewall.nft import BanElement

NLM_F_ACK, NLM_F_CREATE = 4, 0x400
BATCH_BEGIN, BATCH_END = 16, 17
NESTED = 1 << 15
TABLE_NAME, SET_NAME, ELEMENTS = 1, 2, 3  # NFTA_SET_ELEM_LIST_
LIST_ELEMENT, KEY, VALUE, TIMEOUT, EXPIRATION = 1, 1, 1, 4, 5
KEY_BYTES = {4: 4, 6: 16}
AT_ONCE = 256  # elements of a transaction: a batch must fit into the socket's buffer
Message: TypeAlias = tuple[int, int, bytes]  # nf_tables message type, flags, attributes


def put(elements: Iterable[BanElement]) -> int:
    """Add, delete, add: the first makes the delete safe, the delete lets a longer time take the place of a shorter.

    The number of transactions.
    """
    return _commit_all(_renewal(one) for one in elements)


def remove(pieces: Iterable[Network]) -> int:
    """Elements that are gone already are no error. The number of transactions."""
    return _commit_all(_removal(piece) for piece in pieces)


def _renewal(one: BanElement) -> list[Message]:
    bare = _element(one.set_name, one.family, one.network)
    timed = _element(one.set_name, one.family, one.network, one.total, one.left)
    return [(NEW_ELEMENT, NLM_F_CREATE, bare), (DELETE_ELEMENT, 0, bare), (NEW_ELEMENT, NLM_F_CREATE, timed)]


def _removal(piece: Network) -> list[Message]:
    bare = _element(ban_set(piece.family, piece.length), piece.family, piece.first)
    return [(NEW_ELEMENT, NLM_F_CREATE, bare), (DELETE_ELEMENT, 0, bare)]


def _commit_all(changes: Iterable[list[Message]]) -> int:
    waiting = list(changes)
    starts = range(0, len(waiting), AT_ONCE)
    for start in starts:
        _commit([message for change in waiting[start : start + AT_ONCE] for message in change])
    return len(starts)


def _element(set_name: str, family: int, network: int, total: int = 0, left: int = 0) -> bytes:
    key = _attribute(KEY | NESTED, _attribute(VALUE, network.to_bytes(KEY_BYTES[family], "big")))
    if total:
        milliseconds = (max(value // 1_000_000, 1) for value in (total, left))
        times = zip((TIMEOUT, EXPIRATION), milliseconds, strict=True)
        key += b"".join(_attribute(kind, struct.pack(">Q", value)) for kind, value in times)
    return (
        _attribute(TABLE_NAME, TABLE.encode() + b"\0")
        + _attribute(SET_NAME, set_name.encode() + b"\0")
        + _attribute(ELEMENTS | NESTED, _attribute(LIST_ELEMENT | NESTED, key))
    )


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", len(value) + 4, kind) + value + b"\0" * (-len(value) % 4)


def _message(kind: int, flags: int, sequence: int, family: int, resource: int, body: bytes) -> bytes:  # noqa: PLR0917
    head = struct.pack("=IHHII", 20 + len(body), kind, NLM_F_REQUEST | flags, sequence, 0)
    return head + struct.pack(">BBH", family, 0, resource) + body


def _commit(messages: list[Message]) -> None:
    """The kernel applies a batch whole or not at all. Only the last message asks for an answer: errors come unasked,
    and a hundred answers would overflow the socket.
    """
    asks = {len(messages): NLM_F_ACK}
    parts = [_message(BATCH_BEGIN, 0, 0, socket.AF_UNSPEC, NFT_SUBSYSTEM, b"")]
    parts += [
        _message(NFT_SUBSYSTEM << 8 | kind, flags | asks.get(number, 0), number, NFPROTO_INET, 0, body)
        for number, (kind, flags, body) in enumerate(messages, 1)
    ]
    parts.append(_message(BATCH_END, 0, len(messages) + 1, socket.AF_UNSPEC, NFT_SUBSYSTEM, b""))
    with open_socket() as connection:
        connection.send(b"".join(parts))
        answers: list[int] = []
        while messages and not answers:
            answers += _verdicts(connection.recv(MESSAGE_BYTES))
            failed = next(filter(None, answers), 0)
            if failed:
                raise _error(failed)


def _verdicts(data: bytes) -> Iterator[int]:
    position = 0
    while position + 20 <= len(data):
        length, kind = struct.unpack_from("=IH", data, position)
        if kind == NLMSG_ERROR:
            yield -struct.unpack_from("=i", data, position + 16)[0]
        position += max((length + 3) & ~3, 20)


def _error(code: int) -> CapabilityError | FirewallError:
    if code == errno.EPERM:
        return CapabilityError("changing bans needs CAP_NET_ADMIN: run as root, or grant it to the unit")
    if code == errno.ENOENT:
        return FirewallError(
            "the table inet sentinel or its ban sets are not in the kernel: sentinel firewall status"
        )
    return FirewallError(f"the kernel refused a change of bans: {os.strerror(code)}")
