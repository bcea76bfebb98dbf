"""FTP (RFC 959, 2428) and its data connections: one transaction a command; data flows become "ftp-data".

In: both directions of a control flow, or a data flow that a control flow announced. Out: transactions "ftp" with the
command, or one transaction "ftp-data" with the transferred file. Invariants: lines are cut at MAX_LINE, announced
connections at MAX_EXPECTED for all flows together.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sentinel.protocol.apps.session import append_file, close_file, open_file

if TYPE_CHECKING:
    from sentinel.model import File, Transaction
    from sentinel.protocol.apps.layer import AppLayer
    from sentinel.protocol.apps.session import Session

# Suricata: ftp max-line-length.
MAX_LINE = 4096
MAX_EXPECTED = 4096
_MAX_WAITING = 256
_PASV = re.compile(rb"(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3})")
_EPSV = re.compile(rb"\(\|\|\|(\d{1,5})\|\)")
_EPRT = re.compile(rb"\|([12])\|([0-9a-fA-F.:]+)\|(\d{1,5})\|")
_TRANSFERS = frozenset({b"RETR", b"STOR", b"APPE", b"STOU"})


@dataclass(frozen=True, slots=True)
class Transfer:
    """What a control flow says about the data flow to come."""

    command: str
    name: bytes


def _port(high: bytes, low: bytes) -> int:
    return (int(high) << 8 | int(low)) & 0xFFFF


class Ftp:
    """The parser of a control flow."""

    def __init__(self, session: Session, layer: AppLayer) -> None:
        self.session = session
        self.layer = layer
        self.rest = [b"", b""]
        self.truncating = [False, False]
        self.waiting: list[Transaction] = []
        self.port = 0  # of the next data connection
        self.address = b""
        self.passive = False

    def feed(self, direction: int, data: bytes, *, gap: int = 0, eof: bool = False) -> bool:
        if gap:
            return False
        data = self.rest[direction] + data
        pos = 0
        while (end := data.find(b"\n", pos)) >= 0:
            if self.truncating[direction]:
                self.truncating[direction] = False
            else:
                self._line(direction, data[pos:end].removesuffix(b"\r"), long=end - pos > MAX_LINE)
            pos = end + 1
            if self.session.change is not None:
                return True
        rest = data[pos:]
        if len(rest) > MAX_LINE:
            if not self.truncating[direction]:
                self.truncating[direction] = True
                self._line(direction, rest[:MAX_LINE], long=True)
            rest = b""
        self.rest[direction] = rest
        return True

    def _line(self, direction: int, line: bytes, *, long: bool) -> None:
        if direction:
            self._reply(line, long=long)
        else:
            self._command(line[:MAX_LINE], long=long)

    def _command(self, line: bytes, *, long: bool) -> None:
        transaction = self.session.begin("ftp")
        transaction.derive = derive
        word, _, argument = line.strip().partition(b" ")
        word = word.upper()
        buffers = transaction.buffers[0]
        buffers["ftp.command"] = word
        buffers["ftp.command_data"] = argument
        transaction.progress[0] = 1
        transaction.done[0] = True
        transaction.parser_state = []
        if long:
            self.session.flag(transaction, "request_command_too_long")
        self.waiting.append(transaction)
        if len(self.waiting) > _MAX_WAITING:
            self.session.finish(self.waiting.pop(0))
        if word in {b"PORT", b"EPRT"}:
            (self._active if word == b"PORT" else self._active_extended)(argument)
            if self.port and self.address != self.session.flow.src:
                buffers["ftpbounce"] = True
        elif word in _TRANSFERS:
            self._announce(word, argument)

    def _active(self, argument: bytes) -> None:
        found = _PASV.search(argument)
        if found and all(int(group) < 256 for group in found.groups()):
            self.address = bytes(int(group) for group in found.groups()[:4])
            self.port = _port(found[5], found[6])
            self.passive = False

    def _active_extended(self, argument: bytes) -> None:
        found = _EPRT.search(argument)
        if found is None:
            return
        try:
            self.address = ipaddress.ip_address(found[2].decode()).packed
        except ValueError:
            return
        self.port = int(found[3]) & 0xFFFF
        self.passive = False

    def _announce(self, word: bytes, argument: bytes) -> None:
        if not self.port:
            return
        flow = self.session.flow
        transfer = Transfer(word.decode("latin-1"), argument)
        # Passive: the client connects to the server's port. Active: the server connects to the client's.
        key = (flow.src, flow.dst, self.port) if self.passive else (flow.dst, flow.src, self.port)
        self.layer.expect(key, transfer)
        self.port = 0

    def _reply(self, line: bytes, *, long: bool) -> None:
        transaction = self.waiting[0] if self.waiting else None
        if transaction is None:
            transaction = self.session.begin("ftp")
            transaction.derive = derive
            transaction.parser_state = []
            transaction.progress[0] = 1
            transaction.done[0] = True
        if long:
            self.session.flag(transaction, "response_command_too_long")
        transaction.parser_state.append(line[:MAX_LINE])
        del transaction.parser_state[:-_MAX_WAITING]
        self.session.touch(transaction)
        code = line[:3]
        if not code.isdigit() or line[3:4] == b"-":
            return
        self._passive(code, line)
        word = transaction.buffers[0].get("ftp.command")
        if word == b"AUTH" and code == b"234":
            self.session.change = "tls"
        if code[:1] != b"1":  # 1xx is preliminary: the transfer's end is still to come
            transaction.progress[1] = 1
            self.session.finish(transaction)
            if self.waiting and self.waiting[0] is transaction:
                del self.waiting[0]

    def _passive(self, code: bytes, line: bytes) -> None:
        if code == b"227":
            found = _PASV.search(line)
            if found:
                self.port, self.passive = _port(found[5], found[6]), True
        elif code == b"229":
            extended = _EPSV.search(line)
            if extended:
                self.port, self.passive = int(extended[1]) & 0xFFFF, True


class FtpData:
    """The parser of a data flow: all of its bytes are the file."""

    def __init__(self, session: Session, transfer: Transfer) -> None:
        self.session = session
        self.transaction = session.begin("ftp-data")
        self.transaction.derive = derive_data
        self.transaction.parser_state = transfer
        self.upload = transfer.command != "RETR"
        for buffers in self.transaction.buffers:
            buffers["ftpdata_command"] = transfer.command.lower()
        self.file: File | None = None
        self.ended = False

    def feed(self, direction: int, data: bytes, *, gap: int = 0, eof: bool = False) -> bool:
        if gap:
            close_file(self.file, truncated=True)
        if data and not self.ended:
            if self.file is None:
                self.file = open_file(self.transaction, self.transaction.parser_state.name, direction)
            append_file(self.file, data)
            self.session.touch(self.transaction)
        if eof and not self.ended and (self.file is None or self.file.direction == direction):
            self.ended = True
            close_file(self.file)
            self.session.finish(self.transaction)
        return True


def derive(transaction: Transaction, direction: int, name: str) -> Any:
    if name != "eve":
        return None
    buffers = transaction.buffers[0]
    ftp: dict[str, Any] = {}
    if "ftp.command" in buffers:
        ftp["command"] = buffers["ftp.command"].decode("latin-1")
        if buffers["ftp.command_data"]:
            ftp["command_data"] = buffers["ftp.command_data"].decode("utf-8", "replace")
    replies: list[bytes] = transaction.parser_state or []
    if replies:
        ftp["completion_code"] = [line[:3].decode("latin-1") for line in replies]
        ftp["reply"] = [line[4:].decode("utf-8", "replace") for line in replies]
    return {"ftp": ftp}


def derive_data(transaction: Transaction, direction: int, name: str) -> Any:
    if name != "eve":
        return None
    transfer: Transfer = transaction.parser_state
    return {"ftp_data": {"filename": transfer.name.decode("utf-8", "replace"), "command": transfer.command}}
