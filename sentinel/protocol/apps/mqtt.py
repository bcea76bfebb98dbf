"""MQTT 3.1, 3.1.1 and 5 (OASIS): one transaction a message or an acknowledged exchange, as Suricata makes them.

In: both directions of a flow. Out: transactions "mqtt" with mqtt.* buffers. A PUBLISH with QoS, a SUBSCRIBE and an
UNSUBSCRIBE stay open until their acknowledgement. Invariant: a message beyond MAX_MESSAGE is skipped with an event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.model import Transaction
    from sentinel.protocol.apps.session import Session

# Suricata: mqtt max-msg-length.
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
_CONNECT_FLAGS = (
    (0x80, "username"),
    (0x40, "password"),
    (0x20, "will_retain"),
    (0x04, "will"),
    (0x02, "clean_session"),
)
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

    def string(self) -> bytes:
        return self.take(self.number(2))

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
                self.string()
            elif size == -1:
                self.varint()
            elif size == -2:
                self.string()
                self.string()
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
        self.open: dict[tuple[str, int], Transaction] = {}
        self.greeting: Transaction | None = None

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
            if length < 0:
                self._event_only(direction, "malformed_traffic")
                return False
            if length > MAX_MESSAGE:
                transaction = self._begin(direction, data[pos] >> 4, data[pos] & 0xF)
                self.session.finish(transaction)
                self.skip[direction] = length
                pos = start
                continue
            if start + length > len(data):
                break
            self._message(direction, data[pos], data[start : start + length])
            pos = start + length
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
    def _begin(self, direction: int, kind: int, flags: int) -> Transaction:
        transaction = self.session.begin("mqtt")
        transaction.derive = derive
        transaction.parser_state = {}
        transaction.inspected[1 - direction] = True
        self._note(transaction, direction, kind, flags)
        if not self.connected and kind not in {_CONNECT, _CONNACK, _AUTH}:
            self.session.flag(transaction, "unintroduced_message")
            self.session.finish(transaction)
        return transaction

    def _note(self, transaction: Transaction, direction: int, kind: int, flags: int) -> None:
        names = {name for bit, name in ((8, "dup"), (1, "retain")) if flags & bit}
        for buffers in transaction.buffers:
            buffers.setdefault("mqtt.type", []).append(kind)
            buffers.setdefault("mqtt.qos", []).append(flags >> 1 & 3)
            buffers["mqtt.flags"] = buffers.get("mqtt.flags", frozenset()) | names
            if self.version:
                buffers["mqtt.protocol_version"] = self.version
        self.session.touch(transaction)

    def _event_only(self, direction: int, event: str) -> None:
        transaction = self.session.begin("mqtt")
        transaction.derive = derive
        transaction.parser_state = {}
        self.session.one_way(transaction, direction)
        self.session.flag(transaction, event)

    def _reason(self, transaction: Transaction, code: int) -> None:
        for buffers in transaction.buffers:
            buffers.setdefault("mqtt.reason_code", []).append(code)

    def _message(self, direction: int, first: int, body: bytes) -> None:
        kind, flags = first >> 4, first & 0xF
        if flags >> 1 & 3 == 3:
            self._event_only(direction, "invalid_qos_level")
            return
        reader = _READERS.get(kind)
        try:
            if reader is not None:
                reader(self, direction, flags, Reader(body))
            else:
                self.session.finish(self._begin(direction, kind, flags))
        except _MalformedError:
            self._event_only(direction, "malformed_traffic")

    # --- messages -----------------------------------------------------------------------------------------------
    def _connect(self, direction: int, flags: int, reader: Reader) -> None:
        name = reader.string()
        version, bits = reader.number(1), reader.number(1)
        reader.number(2)
        if version == 5:
            reader.properties()
        client = reader.string()
        fields: dict[str, Any] = {"mqtt.connect.clientid": client}
        if bits & 0x04:
            if version == 5:
                reader.properties()
            fields["mqtt.connect.willtopic"] = reader.string()
            fields["mqtt.connect.willmessage"] = reader.string()
        if bits & 0x80:
            fields["mqtt.connect.username"] = reader.string()
        if bits & 0x40:
            fields["mqtt.connect.password"] = reader.string()
        again = self.greeting is not None or self.connected
        self.version = version
        transaction = self._begin(direction, _CONNECT, flags)
        transaction.parser_state["connect"] = {
            "protocol_string": name.decode("latin-1"),
            "protocol_version": version,
        }
        transaction.buffers[0].update(fields)
        for buffers in transaction.buffers:
            buffers["mqtt.connect.flags"] = frozenset(word for bit, word in _CONNECT_FLAGS if bits & bit)
        self.greeting = transaction
        if direction == 1:
            self.session.flag(transaction, "unintroduced_message")
        if again:
            self.session.flag(transaction, "double_connect")

    def _connack(self, direction: int, flags: int, reader: Reader) -> None:
        present, code = reader.number(1) & 1, reader.number(1)
        transaction = self.greeting
        if transaction is None:
            transaction = self._begin(direction, _CONNACK, flags)
            self.session.flag(transaction, "missing_connect")
        else:
            self._note(transaction, direction, _CONNACK, flags)
        transaction.buffers[1]["mqtt.connack.session_present"] = "yes" if present else "no"
        self._reason(transaction, code)
        self.connected = True
        self.greeting = None
        self.session.finish(transaction)

    def _publish(self, direction: int, flags: int, reader: Reader) -> None:
        topic = reader.string()
        number = reader.number(2) if flags >> 1 & 3 else 0
        if self.version == 5:
            reader.properties()
        transaction = self._begin(direction, _PUBLISH, flags)
        buffers = transaction.buffers[direction]
        # Rules name the sender's side; Suricata registers these buffers to server only but fills both.
        for side in transaction.buffers:
            side["mqtt.publish.topic"] = topic
            side["mqtt.publish.message"] = reader.data[reader.pos :]
        buffers["mqtt.publish.topic"] = topic
        if flags >> 1 & 3:
            self._wait("publish", number, transaction)
        else:
            self.session.finish(transaction)

    def _wait(self, word: str, number: int, transaction: Transaction) -> None:
        if len(self.open) >= _MAX_OPEN:
            oldest = self.open.pop(next(iter(self.open)))
            self.session.finish(oldest)
        self.open[word, number] = transaction

    def _topics(self, direction: int, kind: int, flags: int, reader: Reader) -> None:
        number = reader.number(2)
        if self.version == 5:
            reader.properties()
        topics: list[bytes] = []
        while reader.left:
            topics.append(reader.string())
            if kind == _SUBSCRIBE:
                reader.number(1)
        transaction = self._begin(direction, kind, flags)
        word = "subscribe" if kind == _SUBSCRIBE else "unsubscribe"
        transaction.buffers[0][f"mqtt.{word}.topic"] = topics[:_MAX_TOPICS]
        self._wait(word, number, transaction)

    def _subscribe(self, direction: int, flags: int, reader: Reader) -> None:
        self._topics(direction, _SUBSCRIBE, flags, reader)

    def _unsubscribe(self, direction: int, flags: int, reader: Reader) -> None:
        self._topics(direction, _UNSUBSCRIBE, flags, reader)

    def _answer(self, direction: int, kind: int, flags: int, reader: Reader) -> None:
        word, event, last = _ANSWERS[kind]
        number = reader.number(2)
        transaction = self.open.get((word, number))
        if transaction is None:
            transaction = self._begin(direction, kind, flags)
            self.session.flag(transaction, event)
            last = True
        else:
            self._note(transaction, direction, kind, flags)
        if kind in {_SUBACK, _UNSUBACK}:
            if self.version == 5:
                reader.properties()
            for code in reader.rest()[:_MAX_TOPICS]:
                self._reason(transaction, code)
        elif reader.left:
            self._reason(transaction, reader.number(1))
        elif self.version == 5:
            self._reason(transaction, 0)
        if last:
            self.open.pop((word, number), None)
            self.session.finish(transaction)

    def _disconnect(self, direction: int, flags: int, reader: Reader) -> None:
        transaction = self._begin(direction, _DISCONNECT, flags)
        if reader.left:
            self._reason(transaction, reader.number(1))
            if reader.left and self.version == 5:
                reader.properties()
        elif self.version == 5:
            self._reason(transaction, 0)
        self.session.finish(transaction)


_ANSWERS = {
    _PUBACK: ("publish", "missing_publish", True),
    _PUBREC: ("publish", "missing_publish", False),
    _PUBREL: ("publish", "missing_publish", False),
    _PUBCOMP: ("publish", "missing_publish", True),
    _SUBACK: ("subscribe", "missing_subscribe", True),
    _UNSUBACK: ("unsubscribe", "missing_unsubscribe", True),
}


def _answer(kind: int) -> Callable[[Mqtt, int, int, Reader], None]:
    return lambda parser, direction, flags, reader: parser._answer(direction, kind, flags, reader)  # noqa: SLF001


_READERS: dict[int, Callable[[Mqtt, int, int, Reader], None]] = {
    _CONNECT: Mqtt._connect,  # noqa: SLF001
    _CONNACK: Mqtt._connack,  # noqa: SLF001
    _PUBLISH: Mqtt._publish,  # noqa: SLF001
    _SUBSCRIBE: Mqtt._subscribe,  # noqa: SLF001
    _UNSUBSCRIBE: Mqtt._unsubscribe,  # noqa: SLF001
    _DISCONNECT: Mqtt._disconnect,  # noqa: SLF001
    **{kind: _answer(kind) for kind in _ANSWERS},
}


def derive(transaction: Transaction, direction: int, name: str) -> Any:
    if name != "eve":
        return None
    kinds = transaction.buffers[0].get("mqtt.type", [])
    mqtt: dict[str, Any] = {_NAMES[kind]: {} for kind in kinds if kind < len(_NAMES)}
    mqtt.update(transaction.parser_state)
    return {"mqtt": mqtt}
