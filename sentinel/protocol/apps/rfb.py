"""RFB, the protocol of VNC (RFC 6143): the handshake, as one transaction; the screen behind it is not read.

In: both directions of a flow. Out: one transaction "rfb" with rfb.name, rfb.sectype, rfb.secresult. Each step waits for
an exact number of bytes. Invariant: nothing is kept once the server said its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.model import Transaction
    from sentinel.protocol.apps.session import Session

_VERSION = 12
_NONE, _VNC, _ARD = 1, 2, 30
_MAX_NAME, _MAX_REASON = 65536, 65536
_RESULTS = {0: "ok", 1: "fail", 2: "toomany"}


class Rfb:
    """The parser of one flow: one queue of steps, each bound to a direction."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.data = [b"", b""]
        self.transaction = session.begin("rfb")
        self.transaction.derive = derive
        self.transaction.parser_state = {}
        self.minor = 8
        self.kind = 0
        self.over = False
        self.step: tuple[int, Callable[[bytes], int]] = (1, self._server_version)

    def feed(self, direction: int, data: bytes, *, gap: int = 0, eof: bool = False) -> bool:
        if gap:
            return False
        if self.over:
            return True
        self.data[direction] += data
        while True:
            side, read = self.step
            used = read(self.data[side])
            if used == 0:
                break
            if used < 0:
                self.session.flag(self.transaction, "malformed_message")
                return False
            self.data[side] = self.data[side][used:]
            self.session.touch(self.transaction)
            if self._ended():
                self.data = [b"", b""]
                break
        return max(len(self.data[0]), len(self.data[1])) <= _MAX_NAME + 64

    def _ended(self) -> bool:
        return self.over

    # Each step: bytes used, 0 for more input, -1 when it is not RFB.
    def _server_version(self, data: bytes) -> int:
        if len(data) < _VERSION:
            return 0
        if not data.startswith(b"RFB "):
            return -1
        self.transaction.parser_state["server_protocol_version"] = _version(data)
        self.step = (0, self._client_version)
        return _VERSION

    def _client_version(self, data: bytes) -> int:
        if len(data) < _VERSION:
            return 0
        self.transaction.parser_state["client_protocol_version"] = _version(data)
        self.minor = int(data[8:11]) if data[8:11].isdigit() else 8
        self.step = (1, self._security_33 if self.minor < 7 else self._security_types)
        return _VERSION

    def _security_33(self, data: bytes) -> int:
        if len(data) < 4:
            return 0
        self._chosen(int.from_bytes(data[:4], "big"))
        return 4

    def _security_types(self, data: bytes) -> int:
        if not data:
            return 0
        if data[0] == 0:
            self.step = (1, self._reason)
            return 1
        if len(data) < 1 + data[0]:
            return 0
        self.step = (0, self._selection)
        return 1 + data[0]

    def _selection(self, data: bytes) -> int:
        if not data:
            return 0
        self._chosen(data[0])
        return 1

    def _chosen(self, kind: int) -> None:
        self.kind = kind
        for buffers in self.transaction.buffers:
            buffers["rfb.sectype"] = kind
        if kind == _VNC:
            self.step = (1, self._challenge)
        elif kind == _NONE:
            self.step = (1, self._result) if self.minor >= 8 else (0, self._client_init)
        else:
            self.session.flag(self.transaction, "unknown_security_type")
            self.over = True

    def _challenge(self, data: bytes) -> int:
        if len(data) < 16:
            return 0
        self.step = (0, self._answer)
        return 16

    def _answer(self, data: bytes) -> int:
        if len(data) < 16:
            return 0
        self.step = (1, self._result)
        return 16

    def _result(self, data: bytes) -> int:
        if len(data) < 4:
            return 0
        code = int.from_bytes(data[:4], "big")
        for buffers in self.transaction.buffers:
            buffers["rfb.secresult"] = _RESULTS.get(code, "unknown")
        if code == 0:
            self.step = (0, self._client_init)
        elif self.minor >= 8:
            self.step = (1, self._reason)
        else:
            self._finish()
        return 4

    def _reason(self, data: bytes) -> int:
        if len(data) < 4:
            return 0
        size = int.from_bytes(data[:4], "big")
        if size > _MAX_REASON:
            return -1
        if len(data) < 4 + size:
            return 0
        self._finish()
        return 4 + size

    def _client_init(self, data: bytes) -> int:
        if not data:
            return 0
        self.transaction.parser_state["screen_shared"] = data[0] != 0
        self.step = (1, self._server_init)
        return 1

    def _server_init(self, data: bytes) -> int:
        if len(data) < 24:
            return 0
        size = int.from_bytes(data[20:24], "big")
        if size > _MAX_NAME:
            return -1
        if len(data) < 24 + size:
            return 0
        self.transaction.buffers[1]["rfb.name"] = data[24 : 24 + size]
        self._finish()
        return 24 + size

    def _finish(self) -> None:
        self.over = True
        self.session.finish(self.transaction)


def _version(data: bytes) -> dict[str, str]:
    return {"major": data[4:7].decode("latin-1"), "minor": data[8:11].decode("latin-1")}


def derive(transaction: Transaction, direction: int, name: str) -> Any:
    if name != "eve":
        return None
    rfb = dict(transaction.parser_state)
    if "rfb.name" in transaction.buffers[1]:
        rfb["framebuffer"] = {"name": transaction.buffers[1]["rfb.name"].decode("utf-8", "replace")}
    return {"rfb": rfb}
