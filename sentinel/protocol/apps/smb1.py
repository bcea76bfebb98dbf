"""SMB 1 messages (MS-CIFS section 2.2): the fields rules and files need, reported to the connection.

In: one record without NetBIOS framing. Out: calls of `Smb`. Numbers are little-endian; a field that is not there reads
as zero, so a short message can only miss something.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.protocol.apps.smb_pending import Pending

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.protocol.apps.smb import Smb

_CLOSE, _WRITE, _TRANS, _READ_X, _WRITE_X = 0x04, 0x0B, 0x25, 0x2E, 0x2F
_NEGOTIATE, _SESSION, _TREE, _CREATE = 0x72, 0x73, 0x75, 0xA2
_NAMES = {
    _CLOSE: "SMB1_COMMAND_CLOSE", _WRITE: "SMB1_COMMAND_WRITE", _TRANS: "SMB1_COMMAND_TRANS",
    _READ_X: "SMB1_COMMAND_READ_ANDX", _WRITE_X: "SMB1_COMMAND_WRITE_ANDX",
    _NEGOTIATE: "SMB1_COMMAND_NEGOTIATE_PROTOCOL", _SESSION: "SMB1_COMMAND_SESSION_SETUP_ANDX",
    _TREE: "SMB1_COMMAND_TREE_CONNECT_ANDX", _CREATE: "SMB1_COMMAND_NT_CREATE_ANDX",
}  # fmt: skip
_HEADER = 32
_REPLY, _UNICODE = 0x80, 0x8000


class Message:
    """Header fields, parameter words and the place of the data."""

    __slots__ = ("command", "data_at", "raw", "reply", "status", "tree", "unicode", "words")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.command = raw[4]
        self.status = int.from_bytes(raw[5:9], "little")
        self.reply = bool(raw[9] & _REPLY)
        self.unicode = bool(int.from_bytes(raw[10:12], "little") & _UNICODE)
        self.tree = int.from_bytes(raw[24:26], "little")
        end = _HEADER + 1 + 2 * raw[_HEADER]
        self.words = raw[_HEADER + 1 : end]
        self.data_at = end + 2

    def number(self, start: int, size: int) -> int:
        return int.from_bytes(self.words[start : start + size], "little")

    @property
    def key(self) -> tuple[int, int]:
        """Answers are matched by process and multiplex id."""
        return int.from_bytes(self.raw[26:28], "little"), int.from_bytes(self.raw[30:32], "little")

    def handle(self, start: int) -> bytes:
        return self.words[start : start + 2]

    def part(self, offset: int, size: int) -> bytes:
        return self.raw[offset : offset + size] if offset >= _HEADER else b""

    def text(self, start: int) -> tuple[bytes, int]:
        """A terminated string; UTF-16 ones begin at an even offset."""
        if not self.unicode:
            end = self.raw.find(b"\0", start)
            end = len(self.raw) if end < 0 else end
            return self.raw[start:end], end + 1
        start += start % 2
        end = start
        while end + 1 < len(self.raw) and self.raw[end : end + 2] != b"\0\0":
            end += 2
        return self.raw[start:end].replace(b"\0", b""), end + 2


def read(smb: Smb, direction: int, record: bytes) -> None:
    if len(record) <= _HEADER:
        smb.event("malformed_data")
        return
    message = Message(record)
    if message.reply != (direction == 1):
        smb.event("response_to_server" if message.reply else "request_to_client")
        return
    if message.reply:
        pending = smb.answer(message.key, message.status)
        reader = _ANSWERS.get(message.command)
        if pending is not None and reader is not None:
            reader(smb, message, pending)
    else:
        _request(smb, message)


def _request(smb: Smb, message: Message) -> None:
    name = _NAMES.get(message.command, f"{message.command}")
    pending = Pending(None, name)
    reader = _REQUESTS.get(message.command)
    if message.command not in {_READ_X, _WRITE_X, _WRITE}:
        pending.transaction = smb.begin(name)
    if reader is not None:
        reader(smb, message, pending)
    smb.request(message.key, pending)


# --- requests ------------------------------------------------------------------------------------------------------
def _session(smb: Smb, message: Message, pending: Pending) -> None:
    if pending.transaction is not None:
        smb.ntlm(pending.transaction, message.raw)


def _tree(smb: Smb, message: Message, pending: Pending) -> None:
    password = message.number(6, 2)
    pending.name = message.text(message.data_at + password)[0]
    smb.share(pending)


def _create(smb: Smb, message: Message, pending: Pending) -> None:
    size = message.number(5, 2)
    start = message.data_at + (message.data_at % 2 if message.unicode else 0)
    pending.name = message.raw[start : start + size].replace(b"\0", b"")


def _read(smb: Smb, message: Message, pending: Pending) -> None:
    pending.file = message.handle(4)
    pending.offset = message.number(6, 4) | message.number(20, 4) << 32


def _write_x(smb: Smb, message: Message, pending: Pending) -> None:
    offset = message.number(6, 4) | message.number(24, 4) << 32
    size = message.number(18, 2) << 16 | message.number(20, 2)
    data = message.part(message.number(22, 2), size)
    smb.transfer(0, message.handle(4), offset, data, pipe=message.tree in smb.pipes)


def _write(smb: Smb, message: Message, pending: Pending) -> None:
    data = message.part(message.data_at + 3, message.number(2, 2))
    smb.transfer(0, message.handle(0), message.number(4, 4), data, pipe=message.tree in smb.pipes)


def _close(smb: Smb, message: Message, pending: Pending) -> None:
    smb.close(message.handle(0))


def _trans(smb: Smb, message: Message, pending: Pending) -> None:
    if message.number(28, 2) != 0x26:  # TransactNmPipe
        return
    pending.file = message.handle(30)
    smb.transfer(0, pending.file, 0, message.part(message.number(24, 2), message.number(22, 2)), pipe=True)


# --- answers -------------------------------------------------------------------------------------------------------
def _tree_answer(smb: Smb, message: Message, pending: Pending) -> None:
    if message.status == 0:
        service = message.raw[message.data_at : message.data_at + 4]
        smb.tree(pending, message.tree, pipe=service.startswith(b"IPC"))


def _create_answer(smb: Smb, message: Message, pending: Pending) -> None:
    if message.status == 0:
        smb.open(message.handle(5), pending.name)


def _read_answer(smb: Smb, message: Message, pending: Pending) -> None:
    size = message.number(10, 2) | message.number(14, 4) << 16
    data = message.part(message.number(12, 2), size)
    if data:
        smb.transfer(1, pending.file, pending.offset, data, pipe=message.tree in smb.pipes)


def _trans_answer(smb: Smb, message: Message, pending: Pending) -> None:
    data = message.part(message.number(14, 2), message.number(12, 2))
    if pending.file and data:
        smb.transfer(1, pending.file, 0, data, pipe=True)


_REQUESTS: dict[int, Callable[[Smb, Message, Pending], None]] = {
    _SESSION: _session,
    _TREE: _tree,
    _CREATE: _create,
    _READ_X: _read,
    _WRITE_X: _write_x,
    _WRITE: _write,
    _CLOSE: _close,
    _TRANS: _trans,
}
_ANSWERS: dict[int, Callable[[Smb, Message, Pending], None]] = {
    _TREE: _tree_answer,
    _CREATE: _create_answer,
    _READ_X: _read_answer,
    _TRANS: _trans_answer,
}
