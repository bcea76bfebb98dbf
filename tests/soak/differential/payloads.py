"""Family: packet and stream payloads of TCP and UDP under every payload keyword."""

from differential import matches
from differential.traffic import Session, udp

WORDS = [
    b"GET",
    b"abc",
    b"ABCabc",
    b"admin",
    b"user=",
    b"pass",
    b"\x00\x01",
    b"\xff\xfe",
    b"0123",
    b"12",
    b" ",
    b"\r\n",
    b"xyz",
]
FLOWS = ("", "", "", "flow:established; ", "flow:to_server; ", "flow:to_client; ", "flow:established,to_server; ",
         "flow:only_stream; ", "flow:no_stream; ", "flow:stateless; ", "flow:not_established; ", "flow:from_server; ")  # fmt: skip


PROTOCOLS = ("tcp", "tcp", "tcp", "udp", "udp", "ip", "tcp-pkt", "tcp-stream")


def blob(rng):
    return b"".join(rng.choice(WORDS) for _ in range(rng.randint(1, 12)))


def rules(rng, first_sid, count):
    for sid in range(first_sid, first_sid + count):
        protocol = rng.choice(PROTOCOLS)
        flow = rng.choice(FLOWS) if protocol != "ip" else ""
        if "stream" in flow and protocol != "tcp":
            flow = ""
        size = (
            f"dsize:{rng.choice(('', '<', '>', '!'))}{rng.choice((3, 6, 10, 20))}; "
            if rng.random() < 0.1
            else ""
        )
        if protocol == "tcp-stream":
            size = ""
        body = matches.matches(rng, WORDS)
        direction = rng.choice(("->", "->", "<>"))
        yield f"alert {protocol} any any {direction} any any ({flow}{size}{body}sid:{sid};)"


def sessions(rng, count):
    out = []
    for i in range(count):
        client, server = f"10.1.{i // 200}.{i % 200 + 1}", "192.168.7.7"
        sport, dport = 1024 + rng.randrange(60000), rng.choice((4444, 9999, 1234))
        if rng.random() < 0.35:
            frames = []
            for _ in range(rng.randint(1, 4)):
                if rng.random() < 0.6:
                    frames.append(udp(client, server, sport, dport, blob(rng)))
                else:
                    frames.append(udp(server, client, dport, sport, blob(rng)))
            out.append(frames)
            continue
        manner = {
            "segment": rng.choice((None, None, "random", 1, 3, 8)), "ending": rng.choice(Session.ENDINGS),
            "repeat": rng.random() < 0.15, "reorder": rng.random() < 0.15, "midstream": rng.random() < 0.07,
            "ack": rng.random() < 0.85,
        }  # fmt: skip
        session = Session(rng, client, server, sport, dport, **manner)
        out.append(session.run([(rng.random() < 0.6, blob(rng)) for _ in range(rng.randint(1, 5))]))
    return out
