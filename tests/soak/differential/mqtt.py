"""Family: MQTT 3.1.1 and 5 conversations, whole and broken, under the mqtt.* keywords and events."""

import struct

from differential import matches
from differential.traffic import Session

WORDS = [b"house", b"bulb", b"id", b"user", b"secret", b"/", b"1", b"topic", b"e"]
TOPICS = [b"house/bulb1", b"house/bulb2", b"topic", b"", b"caf\xe9", b"x" * 40]
TYPES = [
    "CONNECT",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
    "AUTH",
]
SERVER_BUFFERS = [
    "mqtt.connect.clientid",
    "mqtt.connect.username",
    "mqtt.connect.password",
    "mqtt.connect.willtopic",
    "mqtt.connect.willmessage",
    "mqtt.unsubscribe.topic",
    "mqtt.publish.message",
]
BUFFERS = [*SERVER_BUFFERS, "mqtt.publish.topic", "mqtt.subscribe.topic"]
EVENTS = [
    "missing_connect",
    "missing_publish",
    "missing_subscribe",
    "missing_unsubscribe",
    "double_connect",
    "unintroduced_message",
    "invalid_qos_level",
    "missing_msg_id",
    "unassigned_msg_type",
    "malformed_traffic",
]
FLAGS = ["username", "password", "will", "will_retain", "clean_session"]


def message(kind, flags, body):
    size, length = len(body), b""
    while True:
        length += bytes([size & 0x7F | (0x80 if size > 127 else 0)])
        size >>= 7
        if not size:
            return bytes([kind << 4 | flags]) + length + body


def text(value):
    return struct.pack(">H", len(value)) + value


def properties(rng, version):
    if version < 5:
        return b""
    return rng.choice((b"\0", b"\0", b"\x05\x02\0\0\0\x09", b"\x03\x21\0\x0a"))


def connect(rng, version):
    bits = rng.choice((0, 2, 0xC2, 0x82, 0x06, 0xC6, 0x26))
    body = text(b"MQTT") + bytes([version, bits]) + b"\0\x3c" + properties(rng, version)
    body += text(rng.choice((b"id7", b"house", b"")))
    if bits & 4:
        body += properties(rng, version) + text(rng.choice(TOPICS)) + text(b"last e")
    if bits & 0x80:
        body += text(rng.choice((b"user1", b"")))
    if bits & 0x40:
        body += text(b"secret1")
    return message(1, 0, body)


def acknowledgement(rng, version, kind, number):
    body = struct.pack(">H", number)
    if version == 5:
        body += rng.choice((b"", b"\x10", b"\x10\0", b"\0"))
    return message(kind, 2 if kind == 6 else 0, body)


def publish(rng, version, number):
    qos = rng.choice((0, 0, 1, 2, 2))
    flags = qos << 1 | rng.choice((0, 8, 1, 9))
    body = text(rng.choice(TOPICS)) + (struct.pack(">H", number) if qos else b"")
    body += properties(rng, version) + rng.choice((b"hello 1", b"", b"secret"))
    side = rng.random() < 0.7
    said = [(side, message(3, flags, body))]
    for kind, to_server in {1: [(4, not side)], 2: [(5, not side), (6, side), (7, not side)]}.get(qos, []):
        if rng.random() < 0.9:
            said.append((to_server, acknowledgement(rng, version, kind, number)))
    return said


def subscription(rng, version, number):
    kind, answer = rng.choice(((8, 9), (10, 11)))
    topics = b"".join(
        text(rng.choice(TOPICS)) + (b"\1" if kind == 8 else b"") for _ in range(rng.choice((1, 1, 2)))
    )
    codes = rng.choice((b"\0", b"\1", b"\x80"))
    body = struct.pack(">H", number) + properties(rng, version)
    return [
        (True, message(kind, rng.choice((2, 2, 0, 4)), body + topics)),
        (False, message(answer, 0, struct.pack(">H", number) + properties(rng, version) + codes)),
    ]


def conversation(rng):
    version = rng.choice((4, 4, 5, 5, 3))
    said = []
    if rng.random() < 0.93:
        said.append((True, connect(rng, version)))
    if rng.random() < 0.93:
        said.append(
            (False, message(2, 0, rng.choice((b"\0\0", b"\1\0", b"\0\5")) + properties(rng, version)))
        )
    for number in range(1, rng.choice((2, 4, 6))):
        shape = rng.random()
        if shape < 0.5:
            said += publish(rng, version, number)
        elif shape < 0.75:
            said += subscription(rng, version, number)
        elif shape < 0.9:
            said += [(True, message(12, 0, b"")), (False, message(13, 0, b""))]
        else:
            said.append((rng.random() < 0.5, rng.choice(STRAYS)))
    if rng.random() < 0.7:
        said.append((True, message(14, 0, rng.choice((b"", b"\0", b"\4\0")) if version == 5 else b"")))
    if rng.random() < 0.1 and said:
        del said[rng.randrange(len(said))]
    return said


STRAYS = (
    message(15, 0, b"\x18\0"),
    message(15, 0, b"\x18\2\x15"),
    message(3, 6, text(b"topic") + b"\0\7"),
    message(3, 0, b"\0\x09a"),
    message(8, 2, b"\0\1"),
    message(4, 0, b"\0"),
    message(1, 0, text(b"MQTT") + b"\4\2\0\x3c" + text(b"again")),
    message(0, 0, b""),
)


def _condition(rng):
    shape = rng.random()
    if shape < 0.4:
        buffer = rng.choice(BUFFERS)
        return f"{buffer}; " + matches.matches(rng, WORDS, buffered=True, most=rng.choice((1, 1, 2)))
    if shape < 0.5:
        return f"mqtt.type:{rng.choice(TYPES)}; "
    if shape < 0.6:
        return f"mqtt.flags:{rng.choice(('dup', 'retain', '!dup', 'dup,!retain', '!retain', 'dup,retain'))}; "
    if shape < 0.67:
        return f"mqtt.qos:{rng.choice((0, 1, 2))}; "
    if shape < 0.75:
        return f"mqtt.reason_code:{rng.choice((0, 1, 4, 5, 16, 24, 128))}; "
    if shape < 0.8:
        return f"mqtt.protocol_version:{rng.choice(('3', '4', '5', '>3', '<5', '!4'))}; "
    if shape < 0.87:
        return f"mqtt.connect.flags:{rng.choice(('', '!'))}{rng.choice(FLAGS)},{rng.choice(('', '!'))}{rng.choice(FLAGS)}; "
    if shape < 0.9:
        return f"mqtt.connack.session_present:{rng.choice(('true', 'false', 'yes', 'no'))}; "
    return f"app-layer-event:mqtt.{rng.choice(EVENTS)}; "


def rules(rng, first_sid, count):
    for sid in range(first_sid, first_sid + count):
        body = "".join(_condition(rng) for _ in range(rng.choice((1, 1, 1, 2))))
        flow = rng.choice(("", "", "", "flow:to_server; ", "flow:to_client; "))
        yield f"alert {rng.choice(('mqtt', 'mqtt', 'tcp'))} any any -> any any ({flow}{body}sid:{sid};)"


def sessions(rng, count):
    out = []
    for i in range(count):
        manner = {
            "segment": rng.choice((None, None, "random", 7)),
            "ending": rng.choice(Session.ENDINGS),
            "ack": rng.choice((True, "each")),
        }
        client = f"10.8.{i // 200}.{i % 200 + 1}"
        session = Session(rng, client, "192.168.8.10", 1024 + rng.randrange(60000), 1883, **manner)
        out.append(session.run(conversation(rng)))
    return out
