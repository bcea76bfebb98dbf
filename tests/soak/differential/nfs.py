"""Family: NFS 2 and 3 calls and replies over TCP and UDP under nfs_procedure and nfs.version."""

import struct

from differential.traffic import Frames, Session, udp

HANDLES = [b"\1" * 32, b"\2" * 32, b"\3" * 28]


def opaque(data):
    return struct.pack(">I", len(data)) + data + b"\0" * (-len(data) % 4)


def call(rng, xid):
    version = rng.choice((3, 3, 3, 2))
    procedure = rng.choice((0, 1, 3, 4, 6, 7, 7, 8, 12, 16, 21))
    handle = opaque(rng.choice(HANDLES))
    name = opaque(rng.choice((b"a.txt", b"report.doc")))
    body = {
        0: b"",
        3: handle + name,
        4: handle + struct.pack(">I", 0x3F),
        6: handle + struct.pack(">QI", rng.choice((0, 4096)), 4096),
        7: handle + struct.pack(">QII", 0, 8, rng.choice((0, 2))) + opaque(b"contents"),
        8: handle + name + struct.pack(">I", 0) + b"\0" * 24,
        12: handle + name,
        16: handle + bytes(16) + struct.pack(">I", 4096),
        21: handle + struct.pack(">QI", 0, 0),
    }.get(procedure, handle)
    if version == 2:
        body = b"\1" * 32 + name + bytes(12)
    credentials = (
        struct.pack(">II", 1, 24) + struct.pack(">I", 1) + opaque(b"host") + struct.pack(">III", 0, 0, 0)
    )
    return (
        struct.pack(">6I", xid, 0, 2, 100003, version, procedure)
        + credentials
        + struct.pack(">II", 0, 0)
        + body
    )


def reply(rng, xid):
    return struct.pack(">6I", xid, 1, 0, 0, 0, 0) + struct.pack(">I", rng.choice((0, 0, 2))) + bytes(24)


def rules(rng, first_sid, count):
    for sid in range(first_sid, first_sid + count):
        procedure = f"nfs_procedure:{rng.choice((0, 1, 3, 4, 6, 7, 8, 21, '>3', '<7', '3<>8', '!7'))}; "
        version = f"nfs.version:{rng.choice((2, 3, '>2', '<4', '2<>4'))}; "
        body = rng.choice((procedure, procedure, version, procedure + version))
        flow = rng.choice(("", "", "flow:to_server; ", "flow:to_client; "))
        protocol = rng.choice(("nfs", "nfs", "tcp", "udp"))
        yield f"alert {protocol} any any -> any any ({flow}{body}sid:{sid};)"


def sessions(rng, count):
    out = []
    for i in range(count):
        client, server, sport = f"10.11.0.{i % 250 + 1}", "192.168.11.10", 700 + i
        said = []
        for _ in range(rng.choice((1, 2, 4, 6))):
            xid = rng.randrange(1, 1 << 32)
            said.append((True, call(rng, xid)))
            if rng.random() < 0.85:
                said.append((False, reply(rng, xid)))
        if rng.random() < 0.6:
            framed = [(side, struct.pack(">I", len(data) | 1 << 31) + data) for side, data in said]
            manner = {"segment": rng.choice((None, None, "random")), "ack": rng.choice((True, "each"))}
            out.append(Session(rng, client, server, sport, 2049, **manner).run(framed))
            continue
        frames = Frames()
        frames.label = f"{client} udp"
        for to_server, data in said:
            ends = (client, server, sport, 2049) if to_server else (server, client, 2049, sport)
            frames.append(udp(*ends, data))
        out.append(frames)
    return out
