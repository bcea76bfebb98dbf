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

# Suricata: SMTP_LINE_BUFFER_LIMIT, and bounds on RCPT TO of one mail and on unanswered commands.
MAX_LINE = 4096
_MAX_RECIPIENTS, _MAX_WAITING = 1024, 4096
_FIELDS = {b"from": "from", b"to": "to", b"cc": "cc", b"subject": "subject", b"message-id": "message_id"}
# Suricata: smtp_reply_map. Any other answer ends the parsing of the flow.
_CODES = {
    b"%d" % code
    for code in (
        *(211, 214, 220, 221, 235, 250, 251, 252, 334, 354, 421, 450, 451, 452, 455),
        *(500, 501, 502, 503, 504, 550, 551, 552, 553, 554, 555),
    )
}


class Smtp:
    """The parser of one flow."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.rest = [b"", b""]
        self.helo: bytes | None = None
        self.command = ""  # the last one: starttls, data, bdat, rset, other
        self.in_data = False
        self.chunk, self.chunk_seen = 0, 0
        self.waiting: list[str] = []
        self.answered = 0
        self.greeted = self.multiline = self.pipelining = False
        self.mime: Mime | None = None
        self.discarding = [False, False]
        self.transaction: Transaction | None = None

    # --- lines --------------------------------------------------------------------------------------------------
    def feed(self, direction: int, data: bytes, *, gap: int = 0, eof: bool = False) -> bool:
        if gap:
            if not self.in_data or direction:
                return False
            self._cut()
            return True
        data = self.rest[direction] + data if self.rest[direction] else data
        self.rest[direction] = b""
        chunked = self.in_data and self.command == "bdat"
        pos = 0
        while pos < len(data) and self.session.change is None:
            end = data.find(b"\n", pos) + 1
            free = direction == 0 and self._in_body()
            if not free and (end or len(data)) - pos >= MAX_LINE and (end or not self.discarding[direction]):
                # An endless line is cut, and nothing behind it in these bytes is looked at.
                good = self._handle(direction, data[pos : pos + MAX_LINE], b"", first=pos == 0)
                self.discarding[direction] = self.discarding[direction] or not end
                self._flag("truncated_line")
                pos = len(data)
            elif not end:
                pos, good = self._unended(direction, data, pos, chunked=chunked)
                if pos < len(data):
                    break
            else:
                good = self._line(direction, data[pos:end], first=pos == 0)
                pos = end
            if not good:
                return False
        self.rest[direction] = data[pos:]
        if eof and direction == 0 and self.transaction is not None:
            self._cut()
        return True

    def _in_body(self) -> bool:
        """Lines of content have no bound."""
        if not self.in_data:
            return False
        return self.command == "bdat" or (
            self.command == "data" and self.mime is not None and self.mime.in_body()
        )

    def _unended(self, direction: int, data: bytes, pos: int, *, chunked: bool) -> tuple[int, bool]:
        """Content need not wait for the end of its line: what was taken, and whether parsing goes on."""
        if self.discarding[direction]:
            return len(data), True
        if direction or not self._in_body():
            return pos, True
        if self.command == "bdat":
            # The bytes behind the command wait for those of the next packet.
            return (len(data), self._handle(0, data[pos:], b"")) if chunked else (pos, True)
        if len(data) - pos > MAX_LINE and self.mime is not None:
            self.mime.line(data[pos:], b"")
            return len(data), True
        return pos, True

    def _line(self, direction: int, line: bytes, *, first: bool) -> bool:
        if self.discarding[direction]:
            self.discarding[direction] = False
            return direction == 0 or self._reply(b"")
        ending = b"\r\n" if line.endswith(b"\r\n") else b"\n"
        return self._handle(direction, line[: -len(ending)], ending, first=first)

    def _handle(self, direction: int, text: bytes, ending: bytes, *, first: bool = False) -> bool:
        if direction == 0:
            return self._request(text, ending)
        if first and not text and ending == b"\n":
            return True
        return self._reply(text)

    def _flag(self, event: str) -> None:
        if self.transaction is not None:
            self.session.flag(self.transaction, event)

    # --- client -------------------------------------------------------------------------------------------------
    def _begin(self) -> Transaction:
        self.transaction = self.session.begin("smtp")
        self.transaction.derive = derive
        self.transaction.parser_state = {}
        self.mime = None
        if self.helo is not None:
            self.transaction.buffers[0]["smtp.helo"] = self.helo
        return self.transaction

    def _request(self, line: bytes, ending: bytes) -> bool:
        transaction = self.transaction
        again = not self.in_data and line[:4].lower() in {b"rset", b"quit"}
        if transaction is None or (all(transaction.done) and not again):
            transaction = self._begin()
        if not self.greeted:
            self._flag("no_server_welcome_message")
        if not self.in_data:
            good = self._command(transaction, line)
            self.session.touch(transaction)
            return good
        if self.command == "data":
            self._content(line, ending)
        elif self.command == "bdat":
            self.session.touch(transaction)
            self.chunk_seen += len(line) + len(ending)
            self.in_data = self.chunk_seen < self.chunk
            if self.chunk_seen > self.chunk:
                self._flag("bdat_chunk_len_exceeded")
                return False
        return True

    def _command(self, transaction: Transaction, line: bytes) -> bool:
        lower = line[:9].lower()
        command = "other"
        if lower.startswith(b"starttls"):
            command = "starttls"
        elif lower.startswith(b"data"):
            command = self.command = "data"
            if self.mime is not None:
                self._flag("unparsable_content")
                return True
            self._begin_mime(transaction)
            self.in_data = self.pipelining
        elif lower.startswith(b"bdat"):
            command = "bdat"
            number = line[4:].lstrip(b" ")
            if not number or len(number) == len(line) - 4:
                return False
            digits = number[: len(number) - len(number.lstrip(b"0123456789"))][:19]
            self.chunk = int(digits or b"0")
            self.in_data = True
        elif lower.startswith(b"rset"):
            command = "rset"
            self.chunk_seen = 0
        else:
            self._field(transaction, line, lower)
        self.command = command
        self._expect(command)
        return True

    def _field(self, transaction: Transaction, line: bytes, lower: bytes) -> None:
        buffers = transaction.buffers[0]
        if lower.startswith((b"helo", b"ehlo")):
            if self.helo is not None:
                self._flag("duplicate_fields")
            else:
                self.helo = buffers["smtp.helo"] = _parameter(line, 4)
        elif lower == b"mail from":
            if "smtp.mail_from" in buffers:
                self._flag("duplicate_fields")
            else:
                buffers["smtp.mail_from"] = _parameter(line, 9)
        elif lower.startswith(b"rcpt to"):
            recipients = buffers.setdefault("smtp.rcpt_to", [])
            if len(recipients) < _MAX_RECIPIENTS:
                recipients.append(_parameter(line, 7))

    def _expect(self, command: str) -> None:
        """An answer is awaited; one to STARTTLS or DATA has to come before the next command."""
        if self.waiting and self.waiting[-1] in {"starttls", "data"}:
            self._flag("invalid_pipelined_sequence")
        if len(self.waiting) < _MAX_WAITING:
            self.waiting.append(command)

    def _begin_mime(self, transaction: Transaction) -> None:
        def flag(event: str) -> None:
            self.session.flag(transaction, event)

        def touch() -> None:
            self.session.touch(transaction)

        self.mime = Mime(transaction, flag, touch)
        transaction.parser_state = {"mime": self.mime}

    def _content(self, text: bytes, ending: bytes) -> None:
        if text == b".":
            self.in_data = False
            self._expect("mail")
            if self.mime is not None:
                self.mime.report()
            self._complete()
            return
        # A doubled dot at the start of a line stays, as in Suricata.
        if self.mime is not None:
            self.mime.line(text, ending)

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
        self.in_data = False
        if self.mime is not None:
            for file in self.transaction.files if self.transaction else ():
                file.truncated = file.truncated or not file.closed
        self._complete()

    # --- server -------------------------------------------------------------------------------------------------
    def _reply(self, line: bytes) -> bool:
        if self.transaction is not None:
            self.session.touch(self.transaction)
        code = line[:3]
        if len(line) >= 3:
            self.multiline = line[3:4] == b"-"
        if code not in _CODES:
            self._flag("invalid_reply")
            return False
        if self.answered == len(self.waiting):
            if not self.greeted:
                self.greeted = not self.multiline
                if code != b"220":
                    self._flag("invalid_reply")
            return True
        self._answer(self.waiting[self.answered], code)
        if not self.multiline:
            self.answered += 1
        elif self.greeted and code == b"250" and line[4:].strip().lower() == b"pipelining":
            self.pipelining = True
        if self.answered == len(self.waiting):
            self.waiting.clear()
            self.answered = 0
        return True

    def _answer(self, command: str, code: bytes) -> None:
        if command == "starttls" and code == b"220":
            self.in_data = True
            self._complete()
            self.session.change = "tls"
        elif command == "starttls":
            self._flag("tls_rejected")
        elif command == "data" and code == b"354":
            self.in_data = True
        elif command == "data":
            self.in_data = self.in_data and not self.pipelining
            self._flag("data_command_rejected")
        elif command == "rset" and code == b"250" and not self.multiline and self.transaction is not None:
            self._complete()


def _parameter(line: bytes, start: int) -> bytes:
    """What follows the command word and one more byte, up to a space."""
    return line[start + 1 :].lstrip(b" ").partition(b" ")[0]


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
