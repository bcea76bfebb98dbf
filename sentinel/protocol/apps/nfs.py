"""NFS 2, 3 and 4 over Sun RPC (RFC 5531, 1813, 7530): one transaction a call with its reply.

In: datagrams, or record-marked fragments of a stream. Out: transactions "nfs" with nfs.version and nfs_procedure; of a
version 4 COMPOUND the first operation counts. File contents are not read. Invariants: at most MAX_CALLS open calls; a
record's bytes beyond the fields we read are skipped, not stored.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentinel.model import Transaction
    from sentinel.protocol.apps.session import Session

MAX_CALLS = 1024
_CALL = struct.Struct(">6I")
_NFS, _COMPOUND = 100003, 1
_HELD = 4096  # enough for credentials (400 bytes each at most) and the first operation
_LENGTH = 0x7FFFFFFF
_READ, _WRITE, _COMMIT = 6, 7, 21  # of version 3
_FILES = frozenset({_READ, _WRITE, _COMMIT})
_MAX_HANDLE = 64
_FILE_SYNC = b"\0\0\0\2"


def _skip_opaque(data: bytes, pos: int) -> int:
    """Behind a flavour and its length-prefixed, padded body."""
    size = int.from_bytes(data[pos + 4 : pos + 8], "big")
    return pos + 8 + size + -size % 4


def _first_operation(data: bytes, pos: int) -> int | None:
    """COMPOUND: tag, minor version, count, then the operations."""
    size = int.from_bytes(data[pos : pos + 4], "big")
    start = pos + 4 + size + -size % 4 + 8
    return int.from_bytes(data[start : start + 4], "big") if 0 < start + 4 <= len(data) else None


class Nfs:
    """The parser of one flow; `framed` records come with a marker in front (TCP)."""

    def __init__(self, session: Session, *, framed: bool) -> None:
        self.session = session
        self.framed = framed
        self.rest = [b"", b""]
        self.skip = [0, 0]
        self.open: dict[int, Transaction] = {}
        self.files: dict[tuple[bool, bytes], Transaction] = {}  # by: is it read, and its handle

    def feed(self, direction: int, data: bytes, *, gap: int = 0, eof: bool = False) -> bool:
        if not self.framed:
            if data:
                self._message(direction, data)
            return True
        if gap:
            if self.skip[direction] < gap:
                return False
            self.skip[direction] -= gap
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
            length = int.from_bytes(data[pos : pos + 4], "big") & _LENGTH
            have = min(length, _HELD)
            if len(data) - pos - 4 < have:
                break
            self._message(direction, data[pos + 4 : pos + 4 + have])
            self.skip[direction] = length - have
            pos += 4 + have
        self.rest[direction] = data[pos:]
        return True

    def _message(self, direction: int, data: bytes) -> None:
        if len(data) < 12:
            return
        xid, kind = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big")
        if kind == 1:
            transaction = self.open.pop(xid, None)
            if transaction is not None:
                self.session.finish(transaction)
        elif len(data) >= _CALL.size:
            self._call(xid, data)

    def _call(self, xid: int, data: bytes) -> None:
        _, _, rpc, program, version, procedure = _CALL.unpack_from(data)
        if rpc != 2 or program != _NFS:
            return
        if version == 4 and procedure == _COMPOUND:
            body = _skip_opaque(data, _skip_opaque(data, _CALL.size))
            first = _first_operation(data, body)
            procedure = procedure if first is None else first
        if procedure in _FILES and version in {2, 3}:
            if version == 3:
                self._file(xid, procedure, data[_skip_opaque(data, _skip_opaque(data, _CALL.size)) :])
            return
        self._begin(xid, version, procedure)

    def _begin(self, xid: int, version: int, procedure: int) -> Transaction:
        if len(self.open) >= MAX_CALLS:
            self.session.finish(self.open.pop(next(iter(self.open))))
        transaction = self.session.begin("nfs")
        transaction.derive = derive
        transaction.parser_state = {"version": version, "procedure": procedure, "id": xid}
        transaction.progress[0] = 1
        transaction.done[0] = True
        for buffers in transaction.buffers:
            buffers["nfs.version"] = version
            buffers["nfs_procedure"] = [procedure]
        self.open[xid] = transaction
        return transaction

    def _file(self, xid: int, procedure: int, body: bytes) -> None:
        """Reads of one file are one transaction, and so are its writes with the commit that ends them."""
        size = int.from_bytes(body[:4], "big")
        handle, rest = body[4 : 4 + size], body[4 + size + -size % 4 :]
        if size > _MAX_HANDLE or len(handle) < size:
            return
        key = (procedure == _READ, handle)
        known = self.files.get(key)
        if procedure == _COMMIT:
            if known is not None:
                for buffers in known.buffers:
                    buffers["nfs_procedure"].append(procedure)
                self.session.touch(known)
                del self.files[key]
            return
        if known is None:
            if len(self.files) >= MAX_CALLS:
                del self.files[next(iter(self.files))]
            self.files[key] = self._begin(xid, 3, procedure)
        # A write that says FILE_SYNC is taken for the whole file.
        if procedure == _WRITE and rest[12:16] == _FILE_SYNC:
            self.files.pop(key, None)


def derive(transaction: Transaction, direction: int, name: str) -> Any:
    return (
        {"rpc": {"xid": transaction.parser_state["id"]}, "nfs": transaction.parser_state}
        if name == "eve"
        else None
    )
