"""MQTT 3.1, 3.1.1 and 5 (OASIS): one transaction a message or an acknowledged exchange, as Suricata makes them.

In: both directions of a flow. Out: transactions "mqtt" with mqtt.* buffers. CONNECT, and PUBLISH, SUBSCRIBE and
UNSUBSCRIBE with a QoS, stay open until their acknowledgement; names and texts show at once, what is compared by number
(type, flags, QoS, reason) when the transaction is complete. A message that cannot be read ends the parsing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.model import Transaction
    from sentinel.protocol.apps.session import Session

# Suricata: mqtt max-msg-length, max-tx, subscribe-topic-match-limit.
MAX_MESSAGE = 1024 * 1024
_MAX_OPEN, _MAX_TOPICS = 1024, 100
(
    _CONNECT, _CONNACK, _PUBLISH, _PUBACK, _PUBREC, _PUBREL, _PUBCOMP, _SUBSCRIBE, _SUBACK, _UNSUBSCRIBE,
    _UNSUBACK, _PINGREQ, _PINGRESP, _DISCONNECT, _AUTH,
) = range(1, 16)  # fmt: skip
_NAMES = [
    "unassigned",
    "connect",
    "connack",
    "publish",
    "puback",
    "pubrec",
    "pubrel",
    "pubcomp",
    "subscribe",
    "suback",
    "unsubscribe",
    "unsuback",
    "pingreq",
    "pingresp",
    "disconnect",
    "auth",
]
_GREETING = -1  # stands for the packet identifier that a CONNECT has not
_CONNECT_FLAGS = (
    (0x80, "username"),
    (0x40, "password"),
    (0x20, "will_retain"),
    (0x04, "will"),
    (0x02, "clean_session"),
)
# Messages that say nothing about a missing CONNECT.
_INTRODUCE = {0, _CONNECT, _CONNACK}
# Lengths of MQTT 5 property values by identifier: bytes, or 0 for a length-prefixed one, -1 for a varint, -2 a pair.
_PROPERTIES = {
    1: 1, 2: 4, 3: 0, 8: 0, 9: 0, 11: -1, 17: 4, 18: 0, 19: 2, 21: 0, 22: 0, 23: 1, 24: 4, 25: 1, 26: 0, 28: 0,
    31: 0, 33: 2, 34: 2, 35: 2, 36: 1, 37: 1, 38: -2, 39: 4, 40: 1, 41: 1, 42: 1,
}  # fmt: skip


class _MalformedError(Exception):
    """Internal: becomes the event malformed_traffic."""


class Reader:
    """Bounded reads over one message."""

    __slots__ = ("data", "pos")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.pos = 0

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def take(self, size: int) -> bytes:
        if self.pos + size > len(self.data):
            raise _MalformedError
        self.pos += size
        return self.data[self.pos - size : self.pos]

    def binary(self) -> bytes:
        return self.take(self.number(2))

    def string(self) -> bytes:
        """Text: what is not UTF-8 in it shows as U+FFFD."""
        return self.binary().decode("utf-8", "replace").encode()

    def varint(self) -> int:
        value = 0
        for shift in range(0, 28, 7):
            byte = self.number(1)
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return value
        raise _MalformedError

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.pos)

    @property
    def left(self) -> int:
        return len(self.data) - self.pos

    def properties(self) -> None:
        """Skip them, but see that they are what their length says."""
        end = self.varint() + self.pos
        if end > len(self.data):
            raise _MalformedError
        while self.pos < end:
            size = _PROPERTIES.get(self.varint(), -3)
            if size > 0:
                self.take(size)
            elif size == 0:
                self.binary()
            elif size == -1:
                self.varint()
            elif size == -2:
                self.binary()
                self.binary()
            else:
                raise _MalformedError
        if self.pos != end:
            raise _MalformedError


class Mqtt:
    """The parser of one flow."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.rest = [b"", b""]
        self.skip = [0, 0]
        self.version = 0
        self.connected = False
        self.open: list[tuple[int, Transaction]] = []  # packet identifier, in the order of the messages

    def feed(self, direction: int, data: bytes, *, gap: int = 0, eof: bool = False) -> bool:
        if gap:
            return False
        data = self.rest[direction] + data
        pos = 0
        while pos < len(data):
            if self.skip[direction]:
                size = min(self.skip[direction], len(data) - pos)
                self.skip[direction] -= size
                pos += size
                continue
            head = self._length(data, pos + 1)
            if head is None:
                break
            length, start = head
            if length > MAX_MESSAGE:
                # Suricata takes such a message for one to the client, whoever sent it.
                self._finish(self._begin(1, data[pos]))
                self.skip[direction] = length
                pos = start
                continue
            if length < 0 or start + length <= len(data):
                try:
                    self._message(direction, data[pos], data[start : start + length], bad=length < 0)
                except _MalformedError:
                    self._event_only(direction, "malformed_traffic")
                    return False
                pos = start + length
                continue
            break
        self.rest[direction] = data[pos:]
        return True

    def _length(self, data: bytes, pos: int) -> tuple[int, int] | None:
        value = 0
        for shift in range(0, 28, 7):
            if pos >= len(data):
                return None
            value |= (data[pos] & 0x7F) << shift
            pos += 1
            if not data[pos - 1] & 0x80:
                return value, pos
        return -1, pos

    # --- transactions -------------------------------------------------------------------------------------------
    def _begin(self, direction: int, first: int) -> Transaction:
        transaction = self.session.begin("mqtt")
        transaction.derive = derive
        transaction.parser_state = {"messages": [], "reason": None, "codes": []}
        transaction.inspected[1 - direction] = True
        self._add(transaction, first)
        return transaction

    def _add(self, transaction: Transaction, first: int) -> None:
        transaction.parser_state["messages"].append(first)

    def _stray(self, direction: int, first: int, event: str = "") -> Transaction:
        """A message that stands alone."""
        transaction = self._begin(direction, first)
        if event:
            self.session.flag(transaction, event)
        self._introduced(transaction, first >> 4)
        return transaction

    def _introduced(self, transaction: Transaction, kind: int) -> None:
        if not self.connected and kind not in _INTRODUCE:
            self.session.flag(transaction, "unintroduced_message")

    def _event_only(self, direction: int, event: str) -> None:
        transaction = self.session.begin("mqtt")
        transaction.derive = derive
        for buffers in transaction.buffers:
            buffers["mqtt.protocol_version"] = self.version
        self.session.one_way(transaction, direction)
        self.session.flag(transaction, event)

    def _finish(self, transaction: Transaction) -> None:
        """Complete: now its numbers can be compared."""
        state = transaction.parser_state
        messages = state["messages"]
        reasons = [*([] if state["reason"] is None else [state["reason"]]), *state["codes"]]
        flags = [
            frozenset(name for bit, name in ((8, "dup"), (1, "retain")) if first & bit) for first in messages
        ]
        for buffers in transaction.buffers:
            buffers["mqtt.type"] = [first >> 4 for first in messages]
            buffers["mqtt.qos"] = [first >> 1 & 3 for first in messages]
            buffers["mqtt.flags"] = flags
            buffers["mqtt.protocol_version"] = self.version
            buffers.update(state.get("fields", {}))
            if reasons:
                buffers["mqtt.reason_code"] = reasons
        self.session.finish(transaction)

    def _wait(self, number: int, transaction: Transaction) -> None:
        if len(self.open) >= _MAX_OPEN:
            _, oldest = self.open.pop(0)
            self.session.flag(oldest, "too_many_transactions")
            self._finish(oldest)
        self.open.append((number, transaction))

    def _answered(self, number: int, *, last: bool) -> Transaction | None:
        for i, (waiting, transaction) in enumerate(self.open):
            if waiting == number:
                if last:
                    del self.open[i]
                return transaction
        return None

    # --- messages -----------------------------------------------------------------------------------------------
    def _message(self, direction: int, first: int, body: bytes, *, bad: bool) -> None:
        if bad:
            raise _MalformedError
        kind = first >> 4
        reader = _READERS.get(kind)
        if reader is not None:
            reader(self, direction, first, Reader(body))
            return
        transaction = self._stray(direction, first, "" if kind else "unassigned_msg_type")
        self._finish(transaction)

    def _connect(self, direction: int, first: int, reader: Reader) -> None:
        name = reader.string()
        version, bits = reader.number(1), reader.number(1)
        reader.number(2)
        if version == 5:
            reader.properties()
        fields = {"mqtt.connect.clientid": reader.string()}
        if bits & 0x04:
            if version == 5:
                reader.properties()
            fields["mqtt.connect.willtopic"] = reader.string()
            fields["mqtt.connect.willmessage"] = reader.binary()
        if bits & 0x80:
            fields["mqtt.connect.username"] = reader.string()
        if bits & 0x40:
            fields["mqtt.connect.password"] = reader.binary()
        self.version = version
        transaction = self._begin(direction, first)
        state = transaction.parser_state
        state["eve"] = {"connect": {"protocol_string": name.decode(), "protocol_version": version}}
        state["fields"] = {
            "mqtt.connect.flags": frozenset(word for bit, word in _CONNECT_FLAGS if bits & bit)
        }
        transaction.buffers[0].update({key: value for key, value in fields.items() if value})
        if self.connected:
            self.session.flag(transaction, "double_connect")
        self._wait(_GREETING, transaction)

    def _connack(self, direction: int, first: int, reader: Reader) -> None:
        present, code = reader.number(1) & 1, reader.number(1)
        if self.version == 5:
            reader.properties()
        transaction = self._answered(_GREETING, last=True)
        if transaction is None:
            transaction = self._begin(direction, first)
            self.session.flag(transaction, "missing_connect")
        else:
            self._add(transaction, first)
            self.connected = True
        transaction.buffers[1]["mqtt.connack.session_present"] = "yes" if present else "no"
        transaction.parser_state["reason"] = code
        self._finish(transaction)

    def _publish(self, direction: int, first: int, reader: Reader) -> None:
        topic = reader.string()
        number = reader.number(2) if first >> 1 & 3 else 0
        if self.version == 5:
            reader.properties()
        message = reader.rest()
        transaction = self._begin(direction, first)
        for buffers in transaction.buffers:
            buffers.update(
                {
                    name: value
                    for name, value in (("mqtt.publish.topic", topic), ("mqtt.publish.message", message))
                    if value
                }
            )
        self._expect(transaction, first, number)

    def _expect(self, transaction: Transaction, first: int, number: int) -> None:
        qos = first >> 1 & 3
        if qos == 3:
            self.session.flag(transaction, "invalid_qos_level")
        elif qos:
            self._wait(number, transaction)
        else:
            self._finish(transaction)
        self._introduced(transaction, first >> 4)

    def _topics(self, direction: int, first: int, reader: Reader) -> None:
        subscribing = first >> 4 == _SUBSCRIBE
        number = reader.number(2)
        if self.version == 5:
            reader.properties()
        topics: list[bytes] = []
        try:
            while reader.left:
                topic = reader.string()
                if subscribing:
                    reader.number(1)
                topics.append(topic)
        except _MalformedError:
            if subscribing and not topics:
                raise
        if subscribing and not topics:
            raise _MalformedError
        transaction = self._begin(direction, first)
        name = "mqtt.subscribe.topic" if subscribing else "mqtt.unsubscribe.topic"
        shown = topics[: topics.index(b"")] if b"" in topics else topics
        transaction.parser_state["fields"] = {name: shown[:_MAX_TOPICS]}
        self._expect(transaction, first, number)

    def _answer(self, direction: int, first: int, reader: Reader) -> None:
        kind = first >> 4
        event, last = _ANSWERS[kind]
        number = reader.number(2)
        code: int | None = None
        codes: list[int] = []
        if kind in {_SUBACK, _UNSUBACK}:
            if self.version == 5:
                reader.properties()
            codes = list(reader.rest())
        elif self.version >= 5:
            code = reader.number(1) if reader.left else 0
            if reader.left:
                reader.properties()
        transaction = self._answered(number, last=last)
        if transaction is None:
            transaction = self._stray(direction, first, event)
            last = True
        else:
            self._add(transaction, first)
        state = transaction.parser_state
        state["codes"] += codes[: _MAX_OPEN - len(state["codes"])]
        if state["reason"] is None:
            state["reason"] = code
        if last:
            self._finish(transaction)

    def _last_word(self, direction: int, first: int, reader: Reader) -> None:
        """DISCONNECT and AUTH. A DISCONNECT of one byte counts as normal, whatever the byte says."""
        code: int | None = None
        size = reader.left
        if first >> 4 == _AUTH or (self.version >= 5 and size > 1):
            code = reader.number(1)
            reader.properties()
        elif self.version >= 5:
            code = 0
        transaction = self._stray(direction, first)
        transaction.parser_state["reason"] = code
        self._finish(transaction)


_ANSWERS = {
    _PUBACK: ("missing_publish", True),
    _PUBREC: ("missing_publish", False),
    _PUBREL: ("missing_publish", False),
    _PUBCOMP: ("missing_publish", True),
    _SUBACK: ("missing_subscribe", True),
    _UNSUBACK: ("missing_unsubscribe", True),
}
_READERS: dict[int, Callable[[Mqtt, int, int, Reader], None]] = {
    _CONNECT: Mqtt._connect,  # noqa: SLF001
    _CONNACK: Mqtt._connack,  # noqa: SLF001
    _PUBLISH: Mqtt._publish,  # noqa: SLF001
    _SUBSCRIBE: Mqtt._topics,  # noqa: SLF001
    _UNSUBSCRIBE: Mqtt._topics,  # noqa: SLF001
    _DISCONNECT: Mqtt._last_word,  # noqa: SLF001
    _AUTH: Mqtt._last_word,  # noqa: SLF001
    **dict.fromkeys(_ANSWERS, Mqtt._answer),  # noqa: SLF001
}


def derive(transaction: Transaction, direction: int, name: str) -> Any:
    if name != "eve":
        return None
    state = transaction.parser_state or {}
    mqtt: dict[str, Any] = {_NAMES[first >> 4]: {} for first in state.get("messages", ())}
    mqtt.update(state.get("eve", {}))
    return {"mqtt": mqtt}
