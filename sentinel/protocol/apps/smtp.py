"""SMTP (RFC 5321) with BDAT and STARTTLS: one transaction a mail, its attachments as files.

In: both directions of a flow. Out: transactions "smtp" with smtp.helo, smtp.mail_from, smtp.rcpt_to and files.
Progress: 0 open, 1 complete. Invariant: a line is cut at MAX_LINE; commands waiting for an answer are bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sentinel.protocol.apps.mime import Mime, decode_words

if TYPE_CHECKING:
    from sentinel.model import Transaction
    from sentinel.protocol.apps.session import Session

# Suricata: SMTP_LINE_BUFFER_LIMIT, and a bound on RCPT TO of one mail.
MAX_LINE = 4096
_MAX_RECIPIENTS, _MAX_WAITING = 1024, 256
_FIELDS = {b"from": "from", b"to": "to", b"cc": "cc", b"subject": "subject", b"message-id": "message_id"}


class Smtp:
    """The parser of one flow."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.rest = [b"", b""]
        self.helo = b""
        self.mode = ""  # "", data, bdat, starttls
        self.left = 0
        self.waiting: list[bytes] = []
        self.greeted = False
        self.mime: Mime | None = None
        self.truncating = [False, False]
        self.transaction: Transaction | None = None

    # --- lines --------------------------------------------------------------------------------------------------
    def feed(self, direction: int, data: bytes, *, gap: int = 0, eof: bool = False) -> bool:
        if gap:
            if self.mode not in {"data", "bdat"} or direction:
                return False
            self._cut()
            return True
        data = self.rest[direction] + data if self.rest[direction] else data
        pos = 0
        while pos < len(data):
            if direction == 0 and self.mode == "bdat" and self.left:
                size = min(self.left, len(data) - pos)
                self._chunk(data[pos : pos + size])
                pos += size
                continue
            end = data.find(b"\n", pos)
            if end < 0:
                break
            self._line(direction, data[pos:end])
            pos = end + 1
            if self.session.change is not None:
                pos = len(data)
        self._keep(direction, data[pos:])
        if eof and direction == 0 and self.transaction is not None:
            self._cut()
        return True

    def _keep(self, direction: int, rest: bytes) -> None:
        """An endless line is cut; what follows up to its end is dropped, but in a mail body it is content."""
        if len(rest) <= MAX_LINE:
            self.rest[direction] = rest
            return
        transaction = self._current()
        if direction:
            self.session.flag(transaction, "max_reply_line_len_exceeded")
        elif self.mode == "data" and self.mime is not None:
            self.session.flag(transaction, "max_command_line_len_exceeded")
            self.mime.line(rest, b"")
            self.rest[0] = b""
            return
        else:
            self.session.flag(transaction, "max_command_line_len_exceeded")
        if not self.truncating[direction]:
            self.truncating[direction] = True
            self._handle(direction, rest[:MAX_LINE])
        self.rest[direction] = b""

    def _line(self, direction: int, line: bytes) -> None:
        if self.truncating[direction]:
            self.truncating[direction] = False
            return
        if len(line) > MAX_LINE and self.mode != "data":
            word = "max_reply_line_len_exceeded" if direction else "max_command_line_len_exceeded"
            self.session.flag(self._current(), word)
        self._handle(direction, line)

    def _handle(self, direction: int, line: bytes) -> None:
        text = line.removesuffix(b"\r")
        if direction:
            self._reply(text)
        elif self.mode == "data":
            self._content(text, line)
        else:
            self._command(text)

    # --- client -------------------------------------------------------------------------------------------------
    def _current(self) -> Transaction:
        if self.transaction is None or all(self.transaction.done):
            self.transaction = self.session.begin("smtp")
            self.transaction.derive = derive
            self.transaction.parser_state = {}
            if self.helo:
                self.transaction.buffers[0]["smtp.helo"] = self.helo
        return self.transaction

    def _command(self, line: bytes) -> None:
        word = line.split(None, 1)[0].upper() if line.strip() else b""
        transaction = self._current()
        if word in {b"EHLO", b"HELO"}:
            self.helo = line[4:].strip()
            transaction.buffers[0]["smtp.helo"] = self.helo
        elif word == b"MAIL":
            self._mail_from(line)
        elif word == b"RCPT":
            self._recipient(transaction, line)
        elif word == b"BDAT":
            self._bdat(transaction, line)
        elif word == b"STARTTLS":
            self.mode = "starttls"
        elif word in {b"RSET", b"QUIT"}:
            self._complete()
        self.session.touch(transaction)
        if len(self.waiting) < _MAX_WAITING:
            self.waiting.append(word)

    def _mail_from(self, line: bytes) -> None:
        transaction = self._current()
        if "smtp.mail_from" in transaction.buffers[0]:
            self._complete()
            transaction = self._current()
        transaction.buffers[0]["smtp.mail_from"] = _address(line)

    def _recipient(self, transaction: Transaction, line: bytes) -> None:
        recipients = transaction.buffers[0].setdefault("smtp.rcpt_to", [])
        if len(recipients) < _MAX_RECIPIENTS:
            recipients.append(_address(line))

    def _bdat(self, transaction: Transaction, line: bytes) -> None:
        words = line.split()
        if len(words) < 2 or not words[1].isdigit() or len(words[1]) > 10:
            self.session.flag(transaction, "bdat_chunk_len_exceeded")
            return
        self.left = int(words[1])
        if self.left:
            self.mode = "bdat"
            self._begin_mime(transaction)

    def _begin_mime(self, transaction: Transaction) -> None:
        if self.mime is not None:
            return

        def flag(event: str) -> None:
            self.session.flag(transaction, event)

        def touch() -> None:
            self.session.touch(transaction)

        self.mime = Mime(transaction, flag, touch)
        transaction.parser_state = {"mime": self.mime}

    def _chunk(self, data: bytes) -> None:
        self.left -= len(data)
        if self.mime is not None:
            for line in data.splitlines(keepends=True):
                self.mime.line(line.rstrip(b"\r\n"))
        if self.left == 0:
            self.mode = ""

    def _content(self, text: bytes, line: bytes) -> None:
        if text == b".":
            self.mode = ""
            self._complete()
            return
        if text.startswith(b"."):
            text = text[1:]  # dot stuffing
        if self.mime is not None:
            self.mime.line(text, b"\r\n" if line.endswith(b"\r") else b"\n")

    def _complete(self) -> None:
        if self.mime is not None:
            self.mime.finish()
            self.mime = None
            if self.transaction is not None and self.transaction.files:
                self.session.trigger_raw(0)
        if self.transaction is not None:
            self.session.finish(self.transaction)

    def _cut(self) -> None:
        """The stream broke inside a mail: what was seen of it counts."""
        self.mode = ""
        if self.mime is not None:
            for file in self.transaction.files if self.transaction else ():
                file.truncated = file.truncated or not file.closed
        self._complete()

    # --- server -------------------------------------------------------------------------------------------------
    def _reply(self, line: bytes) -> None:
        code = line[:3]
        transaction = self._current() if self.transaction is None else self.transaction
        if not code.isdigit() or len(line) < 3:
            self.session.flag(transaction, "invalid_reply")
            return
        if line[3:4] == b"-":
            return
        self.session.touch(transaction)
        if not self.greeted and code == b"220" and not self.waiting:
            self.greeted = True
            return
        self.greeted = True
        if not self.waiting:
            return
        command = self.waiting.pop(0)
        if command == b"DATA" and code == b"354":
            self.mode = "data"
            self._begin_mime(self._current())
        elif command == b"DATA":
            self.session.flag(transaction, "data_command_rejected")
        elif command == b"STARTTLS":
            self.mode = ""
            if code == b"220":
                self._complete()
                self.session.change = "tls"
            else:
                self.session.flag(transaction, "tls_rejected")


def _address(line: bytes) -> bytes:
    """The path behind the colon, without parameters."""
    text = line.partition(b":")[2].strip()
    return text.partition(b">")[0] + b">" if text.startswith(b"<") else text.partition(b" ")[0]


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def derive(transaction: Transaction, direction: int, name: str) -> Any:
    if name != "eve":
        return None
    buffers = transaction.buffers[0]
    smtp: dict[str, Any] = {}
    if "smtp.helo" in buffers:
        smtp["helo"] = _text(buffers["smtp.helo"])
    if "smtp.mail_from" in buffers:
        smtp["mail_from"] = _text(buffers["smtp.mail_from"])
    if "smtp.rcpt_to" in buffers:
        smtp["rcpt_to"] = [_text(value) for value in buffers["smtp.rcpt_to"]]
    eve: dict[str, Any] = {"smtp": smtp}
    mime: Mime | None = (transaction.parser_state or {}).get("mime")
    if mime is not None:
        email: dict[str, Any] = {"status": "PARSE_DONE" if transaction.done[0] else "BODY_STARTED"}
        for field, word in _FIELDS.items():
            value = mime.root.get(field)
            if value:
                text = _text(decode_words(value))
                email[word] = [part.strip() for part in text.split(",")] if word in {"to", "cc"} else text
        email["attachment"] = [_text(file.name) for file in transaction.files]
        eve["email"] = email
    return eve
