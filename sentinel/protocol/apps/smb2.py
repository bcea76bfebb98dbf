"""SMB 2 and 3 messages (MS-SMB2 section 2.2), also compounded: the fields rules and files need.

In: one record without NetBIOS framing. Out: calls of `Smb`. Numbers are little-endian; a field that is not there reads
as zero, so a short message can only miss something.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.protocol.apps.smb_pending import Pending

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.protocol.apps.smb import Smb

_HEADER = 64
_MAX_COMPOUND = 256
_NEGOTIATE, _SESSION, _LOGOFF, _TREE, _UNTREE, _CREATE, _CLOSE, _FLUSH, _READ, _WRITE, _LOCK, _IOCTL = range(
    12
)
_NAMES = [
    "NEGOTIATE_PROTOCOL",
    "SESSION_SETUP",
    "SESSION_LOGOFF",
    "TREE_CONNECT",
    "TREE_DISCONNECT",
    "CREATE",
    "CLOSE",
    "FLUSH",
    "READ",
    "WRITE",
    "LOCK",
    "IOCTL",
    "CANCEL",
    "KEEPALIVE",
    "FIND",
    "CHANGE_NOTIFY",
    "GET_INFO",
    "SET_INFO",
    "OPLOCK_BREAK",
]
_FROM_SERVER = 0x01
_PENDING, _MORE = 0x00000103, 0xC0000016
_PIPE_TRANSCEIVE = 0x0011C017
_PIPE_SHARE = 2


class Message:
    __slots__ = ("body", "command", "raw", "reply", "status", "tree")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.body = raw[_HEADER:]
        self.status = int.from_bytes(raw[8:12], "little")
        self.command = int.from_bytes(raw[12:14], "little")
        self.reply = bool(raw[16] & _FROM_SERVER)
        self.tree = int.from_bytes(raw[36:40], "little")

    def number(self, start: int, size: int) -> int:
        return int.from_bytes(self.body[start : start + size], "little")

    @property
    def key(self) -> tuple[int, int]:
        return int.from_bytes(self.raw[24:32], "little"), int.from_bytes(self.raw[40:48], "little")

    def part(self, offset: int, size: int) -> bytes:
        """Offsets count from the header."""
        return self.raw[offset : offset + size] if offset >= _HEADER else b""


def read(smb: Smb, direction: int, record: bytes) -> None:
    for _ in range(_MAX_COMPOUND):
        if len(record) < _HEADER or not record.startswith(b"\xfeSMB"):
            smb.event("malformed_data")
            return
        following = int.from_bytes(record[20:24], "little")
        if 0 < following < _HEADER:
            smb.event("malformed_data")
            return
        _message(smb, direction, Message(record[:following] if following else record))
        if not following:
            return
        record = record[following:]


def _message(smb: Smb, direction: int, message: Message) -> None:
    if message.reply != (direction == 1):
        smb.event("response_to_server" if message.reply else "request_to_client")
        return
    if not message.reply:
        _request(smb, message)
        return
    if message.status == _PENDING:
        return  # the real answer comes later
    key = message.key
    pending = smb.answer(key, message.status) or smb.answer((key[0], 0), message.status)
    reader = _ANSWERS.get(message.command)
    if pending is not None and reader is not None and message.status in {0, _MORE}:
        reader(smb, message, pending)


def _request(smb: Smb, message: Message) -> None:
    number = message.command
    name = f"SMB2_COMMAND_{_NAMES[number]}" if number < len(_NAMES) else str(number)
    pending = Pending(None, name)
    if number not in {_READ, _WRITE}:
        pending.transaction = smb.begin(name)
    reader = _REQUESTS.get(number)
    if reader is not None:
        reader(smb, message, pending)
    key = message.key
    # The session id is given in the answer to the first messages.
    smb.request((key[0], 0) if number in {_NEGOTIATE, _SESSION} else key, pending)


# --- requests ------------------------------------------------------------------------------------------------------
def _session(smb: Smb, message: Message, pending: Pending) -> None:
    if pending.transaction is not None:
        smb.ntlm(pending.transaction, message.part(message.number(12, 2), message.number(14, 2)))


def _tree(smb: Smb, message: Message, pending: Pending) -> None:
    pending.name = message.part(message.number(4, 2), message.number(6, 2)).replace(b"\0", b"")
    smb.share(pending)


def _create(smb: Smb, message: Message, pending: Pending) -> None:
    pending.name = message.part(message.number(44, 2), message.number(46, 2)).replace(b"\0", b"")


def _close(smb: Smb, message: Message, pending: Pending) -> None:
    smb.close(message.body[8:24])


def _read(smb: Smb, message: Message, pending: Pending) -> None:
    pending.file = message.body[16:32]
    pending.offset = message.number(8, 8)


def _write(smb: Smb, message: Message, pending: Pending) -> None:
    data = message.part(message.number(2, 2), message.number(4, 4))
    smb.transfer(0, message.body[16:32], message.number(8, 8), data, pipe=message.tree in smb.pipes)


def _ioctl(smb: Smb, message: Message, pending: Pending) -> None:
    if message.number(4, 4) != _PIPE_TRANSCEIVE:
        return
    pending.file = message.body[8:24]
    data = message.part(message.number(24, 4), message.number(28, 4))
    smb.transfer(0, pending.file, 0, data, pipe=True)


# --- answers -------------------------------------------------------------------------------------------------------
def _tree_answer(smb: Smb, message: Message, pending: Pending) -> None:
    smb.tree(pending, message.tree, pipe=message.body[2:3] == bytes((_PIPE_SHARE,)))


def _create_answer(smb: Smb, message: Message, pending: Pending) -> None:
    if len(message.body) >= 80:
        smb.open(message.body[64:80], pending.name)


def _read_answer(smb: Smb, message: Message, pending: Pending) -> None:
    data = message.part(message.body[2] if len(message.body) > 2 else 0, message.number(4, 4))
    if data:
        smb.transfer(1, pending.file, pending.offset, data, pipe=message.tree in smb.pipes)


def _ioctl_answer(smb: Smb, message: Message, pending: Pending) -> None:
    data = message.part(message.number(32, 4), message.number(36, 4))
    if pending.file and data:
        smb.transfer(1, pending.file, 0, data, pipe=True)


_REQUESTS: dict[int, Callable[[Smb, Message, Pending], None]] = {
    _SESSION: _session,
    _TREE: _tree,
    _CREATE: _create,
    _CLOSE: _close,
    _READ: _read,
    _WRITE: _write,
    _IOCTL: _ioctl,
}
_ANSWERS: dict[int, Callable[[Smb, Message, Pending], None]] = {
    _TREE: _tree_answer,
    _CREATE: _create_answer,
    _READ: _read_answer,
    _IOCTL: _ioctl_answer,
}
