"""Family: DNS queries and answers over UDP and TCP under dns.query, dns.opcode and events."""

import struct

from differential import matches
from differential.traffic import Frames, Session, udp

NAMES = [b"www.shop.example", b"evil.example", b"a.b.c.d.example.org", b"UPPER.Example", b"x" * 63 + b".example", b"example", b"_dmarc.shop.example", b"1.0.168.192.in-addr.arpa", b"",
         b"caf\xc3\xa9.example", b"a b.example"]  # fmt: skip
WORDS = [
    b"www",
    b"shop",
    b"example",
    b".org",
    b"evil",
    b"Example",
    b"xxxx",
    b"_dmarc",
    b"arpa",
    b".",
    b"d.example",
]


def encoded(name):
    return b"".join(bytes([len(label)]) + label for label in name.split(b".") if label) + b"\0"


def message(rng, number, *, answer=False):
    names = [rng.choice(NAMES) for _ in range(rng.choice((1, 1, 1, 1, 2, 0)))]
    opcode = rng.choice((0, 0, 0, 0, 1, 2, 4, 5))
    flags = (
        opcode << 11
        | rng.choice((0x0100, 0))
        | (0x8000 | rng.choice((0, 3, 2, 5)) if answer else 0)
        | (0x40 if rng.random() < 0.05 else 0)
    )
    body = b"".join(encoded(name) + struct.pack(">HH", rng.choice((1, 28, 16, 255, 15)), 1) for name in names)
    answers = 0
    if answer and names:
        for _ in range(rng.choice((0, 1, 2))):
            answers += 1
            kind, data = rng.choice(
                (
                    (1, bytes([10, 0, 0, 1])),
                    (28, bytes(16)),
                    (16, b"\x05hello"),
                    (5, encoded(b"evil.example")),
                    (15, b"\0\x0a" + encoded(b"mail.example")),
                )
            )
            body += b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(data)) + data
    data = struct.pack(">HHHHHH", number, flags, len(names), answers, 0, 0) + body
    if rng.random() < 0.04:
        data = data[: rng.randrange(12, len(data) + 1)]
    return data


def rules(rng, first_sid, count):
    for sid in range(first_sid, first_sid + count):
        flow = rng.choice(("", "", "flow:to_server; ", "flow:to_client; ", "flow:established; "))
        shape = rng.random()
        if shape < 0.6:
            change = rng.choice(("", "", "", "", "dotprefix; ", "to_lowercase; ", "to_md5; "))
            body = "".join(
                f"{rng.choice(('dns.query', 'dns.query', 'dns_query'))}; {change}"
                + matches.matches(rng, WORDS, buffered=True, most=rng.choice((1, 1, 2)))
                for _ in range(rng.choice((1, 1, 1, 2)))
            )
        elif shape < 0.75:
            body = f"dns.opcode:{rng.choice(('', '', '!', '<', '>'))}{rng.choice((0, 1, 4, 5))}; "
        elif shape < 0.85:
            body = f"app-layer-event:dns.{rng.choice(('malformed_data', 'not_request', 'not_response', 'z_flag_set', 'invalid_opcode'))}; "
        elif shape < 0.93:
            body = matches.matches(rng, [*WORDS, b"\0\1", b"\x07example"], most=2)
        else:
            body = ""
        if flow == "flow:to_client; " and "dns" in body and "query" in body:
            flow = ""
        yield f"alert {rng.choice(('dns', 'dns', 'dns', 'udp', 'tcp'))} any any -> any {rng.choice(('any', 'any', '53'))} ({flow}{body}sid:{sid};)"


def sessions(rng, count):
    out = []
    for i in range(count):
        client, server, sport = f"10.7.{i // 200}.{i % 200 + 1}", "192.168.7.53", 1024 + rng.randrange(60000)
        numbers = [rng.randrange(1 << 16) for _ in range(rng.choice((1, 1, 2, 3)))]
        if rng.random() < 0.65:
            frames = Frames()
            frames.label = f"{client} udp"
            for number in numbers:
                frames.append(udp(client, server, sport, 53, message(rng, number)))
                if rng.random() < 0.75:
                    frames.append(udp(server, client, 53, sport, message(rng, number, answer=True)))
            out.append(frames)
            continue
        messages = []
        for number in numbers:
            query, answer = message(rng, number), message(rng, number, answer=True)
            messages += [
                (True, struct.pack(">H", len(query)) + query),
                (False, struct.pack(">H", len(answer)) + answer),
            ]
        manner = {
            "segment": rng.choice((None, "random", 5)),
            "ending": rng.choice(Session.ENDINGS),
            "ack": rng.choice((True, "each")),
        }
        out.append(Session(rng, client, server, sport, 53, **manner).run(messages))
    return out
