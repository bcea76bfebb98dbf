"""SMB over NetBIOS session or direct TCP (MS-CIFS, MS-SMB2): transactions, shares, files, pipes, NTLM names.

In: both directions of a flow. Out: transactions "smb" with smb.share, smb.named_pipe, smb.ntlmssp_user,
smb.ntlmssp_domain, files, and DCE/RPC calls inside pipes. `smb1` and `smb2` read the messages of their dialect and
report here. Invariants: one record (MAX_RECORD) a direction is held, tables are bounded by MAX_TABLE.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sentinel.protocol.apps import smb1, smb2
from sentinel.protocol.apps.dcerpc import Calls, read_pdu
from sentinel.protocol.apps.session import append_file, close_file, open_file

if TYPE_CHECKING:
    from sentinel.model import File, Transaction
    from sentinel.protocol.apps.session import Session
    from sentinel.protocol.apps.smb_pending import Pending

# The largest read or write of SMB 3 is 8 MiB; rules see no more than 1 MiB of a file, so longer records are skipped.
MAX_RECORD = 1024 * 1024 + 65536
MAX_TABLE = 1024
_SESSION_MESSAGE, _NTLM = 0, b"NTLMSSP\0"


@dataclass(slots=True, eq=False)
class Open:
    """An open file or pipe."""

    name: bytes
    transactions: list[Transaction | None] = field(default_factory=lambda: [None, None])
    files: list[File | None] = field(default_factory=lambda: [None, None])
    calls: Calls | None = None
    fragments: list[bytes] = field(default_factory=lambda: [b"", b""])


class Smb:
    """The parser of one flow."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.rest = [b"", b""]
        self.skip = [0, 0]
        self.waiting: dict[tuple[int, int], Pending] = {}
        self.opened: dict[bytes, Open] = {}
        self.pipes: set[int] = set()  # trees that are IPC$

    # --- framing ------------------------------------------------------------------------------------------------
    def feed(self, direction: int, data: bytes, *, gap: int = 0, eof: bool = False) -> bool:
        if gap:
            self._lost(direction)
        data = self.rest[direction] + data
        pos = 0
        while pos < len(data):
            if self.skip[direction]:
                size = min(self.skip[direction], len(data) - pos)
                self.skip[direction] -= size
                pos += size
                continue
            if len(data) - pos < 4:
                break
            length = int.from_bytes(data[pos + 1 : pos + 4], "big")
            if length > MAX_RECORD:
                self._lost(direction)
                self.skip[direction] = length
                pos += 4
                continue
            if len(data) - pos < 4 + length:
                break
            if data[pos] == _SESSION_MESSAGE:
                self._record(direction, data[pos + 4 : pos + 4 + length])
            pos += 4 + length
        self.rest[direction] = data[pos:]
        if eof:
            for handle in list(self.opened):
                self.close(handle, truncated=True)
        return True

    def _lost(self, direction: int) -> None:
        """Bytes of open files are missing."""
        self.rest[direction] = b""
        for opened in self.opened.values():
            for file in opened.files:
                if file is not None:
                    file.truncated = True

    def _record(self, direction: int, record: bytes) -> None:
        if record.startswith(b"\xffSMB"):
            smb1.read(self, direction, record)
        elif record.startswith(b"\xfeSMB"):
            smb2.read(self, direction, record)
        elif not record.startswith(b"\xfdSMB"):  # encrypted
            self.event("malformed_data")

    # --- what the dialects report -------------------------------------------------------------------------------
    def event(self, name: str) -> None:
        live = self.session.flow.transactions
        transaction = live[-1] if live else self.begin("unknown")
        self.session.flag(transaction, name)

    def begin(self, command: str) -> Transaction:
        transaction = self.session.begin("smb")
        transaction.derive = derive
        transaction.parser_state = {"command": command}
        return transaction

    def request(self, key: tuple[int, int], pending: Pending) -> None:
        if len(self.waiting) >= MAX_TABLE:
            self.waiting.pop(next(iter(self.waiting)))
        if pending.transaction is not None:
            pending.transaction.progress[0] = 1
            pending.transaction.done[0] = True
            self.session.touch(pending.transaction)
        self.waiting[key] = pending

    def answer(self, key: tuple[int, int], status: int) -> Pending | None:
        pending = self.waiting.pop(key, None)
        if pending is None:
            return None
        if pending.transaction is not None:
            pending.transaction.parser_state["status_code"] = f"0x{status:x}"
            self.session.finish(pending.transaction)
        return pending

    def share(self, pending: Pending) -> None:
        """A share is asked for; until the answer tells otherwise it is no pipe."""
        if pending.transaction is not None and pending.name:
            pending.transaction.buffers[0]["smb.share"] = pending.name

    def tree(self, pending: Pending, number: int, *, pipe: bool) -> None:
        """A share was connected."""
        if pipe and len(self.pipes) < MAX_TABLE:
            self.pipes.add(number)
        if pending.transaction is not None and pending.name:
            buffers = pending.transaction.buffers[0]
            buffers.pop("smb.share", None)
            buffers["smb.named_pipe" if pipe else "smb.share"] = pending.name
            pending.transaction.parser_state["named_pipe" if pipe else "share"] = pending.name.decode(
                "utf-8", "replace"
            )

    def ntlm(self, transaction: Transaction, data: bytes) -> None:
        """NTLMSSP AUTHENTICATE (MS-NLMP section 2.2.1.3): domain and user."""
        start = data.find(_NTLM + b"\x03\0\0\0")
        if start < 0:
            return
        message = data[start:]
        for field_at, name in ((28, "smb.ntlmssp_domain"), (36, "smb.ntlmssp_user")):
            size = int.from_bytes(message[field_at : field_at + 2], "little")
            offset = int.from_bytes(message[field_at + 4 : field_at + 8], "little")
            value = message[offset : offset + size]
            if value:
                transaction.buffers[0][name] = plain(value)
                transaction.parser_state.setdefault("ntlmssp", {})[name[12:]] = plain(value).decode(
                    "utf-8", "replace"
                )

    def open(self, handle: bytes, name: bytes) -> None:
        if len(self.opened) >= MAX_TABLE:
            self.close(next(iter(self.opened)), truncated=True)
        self.opened[handle] = Open(name)

    def close(self, handle: bytes, *, truncated: bool = False) -> None:
        opened = self.opened.pop(handle, None)
        if opened is None:
            return
        for file, transaction in zip(opened.files, opened.transactions, strict=True):
            close_file(file, truncated=truncated)
            if transaction is not None:
                self.session.finish(transaction)

    def transfer(self, direction: int, handle: bytes, offset: int, data: bytes, *, pipe: bool) -> None:
        """Bytes of an open file or pipe went by: written (0) or read (1)."""
        opened = self.opened.get(handle)
        if opened is None:
            self.open(handle, b"")
            opened = self.opened[handle]
        if pipe or (opened.calls is not None) or (data[:2] == b"\x05\x00" and not opened.files[direction]):
            self.call(direction, opened, data)
            return
        file = opened.files[direction]
        if file is None:
            transaction = self.begin("file")
            opened.transactions[direction] = transaction
            file = opened.files[direction] = open_file(transaction, opened.name, direction)
        owner = opened.transactions[direction]
        if file is None or owner is None:
            return
        self._place(file, owner, offset, data)
        self.session.touch(owner)

    def _place(self, file: File, owner: Transaction, offset: int, data: bytes) -> None:
        """Chunks come in order; an earlier offset overlaps, a later one leaves a hole."""
        if offset < file.size:
            # Suricata keeps what came first and drops the whole overlapping chunk.
            self.session.flag(owner, "file_overlap")
            return
        if offset > file.size:
            file.truncated = True
            append_file(file, bytes(min(offset - file.size, 65536)))
            file.size = offset
        append_file(file, data)

    def call(self, direction: int, opened: Open, data: bytes) -> None:
        """DCE/RPC inside a named pipe; a PDU may come in several writes or reads."""
        if opened.calls is None:
            opened.calls = Calls(self.session, "smb")
        data = opened.fragments[direction] + data
        while len(data) >= 16:
            pdu = read_pdu(data)
            if pdu is None:
                data = b""
                break
            if len(data) < pdu.length:
                break
            opened.calls.pdu(direction, pdu)
            data = data[pdu.length :]
        opened.fragments[direction] = data[:65536]


def plain(text: bytes) -> bytes:
    """UTF-16 names as Suricata shows them: without the zero bytes."""
    return text.replace(b"\0", b"")


def derive(transaction: Transaction, direction: int, name: str) -> Any:
    return {"smb": {"id": transaction.index + 1, **transaction.parser_state}} if name == "eve" else None
