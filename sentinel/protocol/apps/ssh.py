"""SSH (RFC 4253): identification lines and key exchange offers, with HASSH; nothing behind them is readable.

In: both directions of a flow. Out: one transaction "ssh" with ssh.proto, ssh.software, ssh.hassh*. Progress as
Suricata: 0 in progress, 1 banner done... 3 finished. Invariant: at most one banner (8 KiB) and one KEXINIT are held.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sentinel.protocol.apps.fingerprint import md5

if TYPE_CHECKING:
    from sentinel.model import Transaction
    from sentinel.protocol.apps.session import Session

_BANNER = re.compile(rb"SSH-([^-\r\n]*)-([^ \r\n]*)")
_KEXINIT, _NEWKEYS = 20, 21
# Suricata: SSH_MAX_BANNER_LEN, SSH_MAX_REASSEMBLED_RECORD_LEN.
_MAX_BANNER, _MAX_RECORD = 256, 65535
_BANNER_STEP, _FINISHED = 1, 3
_SKIPPED_LINES = 8192


class Ssh:
    """The parser of one flow."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.rest = [b"", b""]
        self.banner: list[bytes | None] = [None, None]
        self.finished = [False, False]
        self.transaction = session.begin("ssh")
        self.transaction.derive = derive
        self.transaction.parser_state = self

    def feed(self, direction: int, data: bytes, *, gap: int = 0, eof: bool = False) -> bool:
        if gap:
            return False
        if self.finished[direction]:
            return True
        data = self.rest[direction] + data
        if self.banner[direction] is None:
            data = self._read_banner(direction, data)
        if self.banner[direction] is not None:
            data = self._read_records(direction, data)
        self.rest[direction] = b"" if self.finished[direction] else data
        self.session.touch(self.transaction)
        return True

    def _read_banner(self, direction: int, data: bytes) -> bytes:
        """Lines before the one that begins with SSH- are free text (RFC 4253 section 4.2)."""
        while True:
            end = data.find(b"\n")
            if end < 0:
                if len(data) > _MAX_BANNER and data.startswith(b"SSH-"):
                    self._take_banner(direction, data[:_MAX_BANNER])
                    self.session.flag(self.transaction, "long_banner")
                    return b""
                return data[:_SKIPPED_LINES]
            line, data = data[:end], data[end + 1 :]
            if line.startswith(b"SSH-"):
                if len(line) > _MAX_BANNER:
                    self.session.flag(self.transaction, "long_banner")
                self._take_banner(direction, line[:_MAX_BANNER])
                return data

    def _take_banner(self, direction: int, line: bytes) -> None:
        self.banner[direction] = line.rstrip(b"\r")
        buffers = self.transaction.buffers[direction]
        found = _BANNER.match(line)
        if found is None:
            self.session.flag(self.transaction, "invalid_banner")
            return
        buffers["ssh.proto"] = found[1]
        if found[2]:
            buffers["ssh.software"] = found[2]
        self.transaction.progress[direction] = _BANNER_STEP

    def _read_records(self, direction: int, data: bytes) -> bytes:
        while len(data) >= 6:
            length = int.from_bytes(data[:4], "big")
            if length < 2 or length > _MAX_RECORD:
                self.session.flag(self.transaction, "invalid_record" if length < 2 else "long_kex_record")
                self._finish(direction)
                return b""
            kind = data[5]
            if kind == _KEXINIT:
                if len(data) < 4 + length:
                    return data
                self._kexinit(direction, data[6 : 4 + length - data[4]])
            elif kind == _NEWKEYS:
                self._finish(direction)
                return b""
            if len(data) < 4 + length:
                return data
            data = data[4 + length :]
        return data

    def _kexinit(self, direction: int, body: bytes) -> None:
        """RFC 4253 section 7.1: cookie, then ten name lists."""
        pos, lists = 16, []
        for _ in range(8):
            size = int.from_bytes(body[pos : pos + 4], "big")
            if pos + 4 + size > len(body):
                self.session.flag(self.transaction, "invalid_record")
                return
            lists.append(body[pos + 4 : pos + 4 + size])
            pos += 4 + size
        # HASSH: key exchange, encryption, MAC and compression of the sender's own direction.
        string = b";".join((lists[0], *(lists[index + direction] for index in (2, 4, 6))))
        buffers = self.transaction.buffers[direction]
        name = "ssh.hassh.server" if direction else "ssh.hassh"
        buffers[f"{name}.string"] = string
        buffers[name] = md5(string)

    def _finish(self, direction: int) -> None:
        self.finished[direction] = True
        self.transaction.progress[direction] = _FINISHED
        self.session.trigger_raw(direction)
        if all(self.finished):
            self.transaction.done[:] = [True, True]


def derive(transaction: Transaction, direction: int, name: str) -> Any:
    if name != "eve":
        return None
    ssh: dict[str, Any] = {}
    for side, word, suffix in ((0, "client", ""), (1, "server", ".server")):
        buffers = transaction.buffers[side]
        if "ssh.proto" not in buffers:
            continue
        part: dict[str, Any] = {"proto_version": buffers["ssh.proto"].decode("latin-1")}
        if "ssh.software" in buffers:
            part["software_version"] = buffers["ssh.software"].decode("latin-1")
        if f"ssh.hassh{suffix}" in buffers:
            part["hassh"] = {
                "hash": buffers[f"ssh.hassh{suffix}"].decode(),
                "string": buffers[f"ssh.hassh{suffix}.string"].decode("latin-1"),
            }
        ssh[word] = part
    return {"ssh": ssh}
