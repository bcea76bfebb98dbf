"""Family: datagrams of IKE, SNMP, DHCP, NTP, SIP, Kerberos and TFTP, whole and broken, under their keywords and events."""

import struct

from differential import matches
from differential.traffic import Frames, Session, udp


def der(tag, *parts):
    body = b"".join(parts)
    size = len(body)
    if size < 128:
        return bytes([tag, size]) + body
    if size < 256:
        return bytes([tag, 0x81, size]) + body
    return bytes([tag, 0x82]) + struct.pack(">H", size) + body


def number(value, tag=2):
    return der(tag, value.to_bytes(max(1, (value.bit_length() + 8) // 8), "big"))


# --- SNMP ------------------------------------------------------------------------------------------------------------
def snmp(rng, *, answer):
    version = rng.choice((0, 0, 1, 1, 1, 3, 2))
    kind = 0xA2 if answer and rng.random() < 0.8 else rng.choice((0xA0, 0xA1, 0xA3, 0xA5, 0xA6, 0xA7, 0xA8))
    names = der(0x30, der(0x30, der(6, b"\x2b\6\1\2\1"), der(5)))
    pdu = der(kind, number(rng.randrange(1 << 30)), number(0), number(0), names)
    if version < 3:
        return der(0x30, number(version), der(4, rng.choice((b"public", b"private", b"", b"caf\xe9"))), pdu)
    user = rng.choice((b"admin", b"user1", b""))
    usm = der(0x30, der(4, b"engine"), number(1), number(2), der(4, user), der(4), der(4))
    head = der(0x30, number(7), number(65507), der(4, b"\4"), number(3))
    scoped = der(0x30, der(4, b"engine"), der(4), pdu) if rng.random() < 0.6 else der(4, b"secret" * 5)
    return der(0x30, number(3), head, der(4, usm), scoped)


def snmp_condition(rng):
    return rng.choice(
        (
            f"snmp.version:{rng.choice((1, 2, 3, '>1', '!2', '<3'))}; ",
            f"snmp.pdu_type:{rng.choice((0, 1, 2, 3, 5, 7))}; ",
            "snmp.community; " + matches.matches(rng, [b"public", b"private", b"caf"], buffered=True, most=1),
            "snmp.usm; " + matches.matches(rng, [b"admin", b"user1"], buffered=True, most=1),
            f"app-layer-event:snmp.{rng.choice(('malformed_data', 'version_mismatch', 'unknown_security_model'))}; ",
        )
    )


# --- IKE -------------------------------------------------------------------------------------------------------------
def chained(payloads):
    """[(kind, body)] -> (first kind, bytes)."""
    kinds = [kind for kind, _ in payloads] + [0]
    out = b"".join(
        struct.pack(">BBH", kinds[i + 1], 0, 4 + len(body)) + body for i, (_, body) in enumerate(payloads)
    )
    return kinds[0], out


def association(rng, transforms):
    attributes = b"".join(
        rng.choice(
            (
                struct.pack(">HH", 0x8000 | kind, rng.choice((1, 2, 5, 7, 14))),
                struct.pack(">HHI", kind, 4, rng.choice((900, 28800))),
                struct.pack(">HHH", kind, 2, 7),
            )
        )
        for kind in rng.sample((1, 2, 3, 4, 11, 12, 14, 99), 4)
    )
    _, inner = chained([(3, struct.pack(">BBH", i, 1, 0) + attributes) for i in range(transforms)])
    spi = rng.choice((b"", b"", b"\1\2\3\4"))
    _, proposal = chained([(2, bytes([1, 1, len(spi), transforms]) + spi + inner)])
    return struct.pack(">II", rng.choice((1, 1, 1, 0)), 1) + proposal


def proposals(rng):
    out = b""
    for i in range(rng.choice((1, 1, 2))):
        kinds = rng.sample((1, 2, 3, 4, 5, 9), rng.choice((2, 3, 4, 5)))
        inner = b"".join(
            struct.pack(">BBHBBH", 3 if i else 0, 0, 8, kind, 0, rng.choice((0, 1, 2, 3, 5, 12, 14, 20)))
            for kind in kinds
        )
        out += (
            struct.pack(">BBHBBBB", 2, 0, 8 + len(inner), i + 1, rng.choice((1, 1, 2)), 0, len(kinds)) + inner
        )
    return out


def ike(rng, *, answer):
    responder = b"ANSWERER" if answer else bytes(8)
    if rng.random() < 0.6:
        wanted = [(1, association(rng, 1 if answer and rng.random() < 0.7 else 2))]
        if rng.random() < 0.5:
            wanted += [(4, bytes(range(rng.choice((16, 128))))), (10, b"nonce" * rng.choice((2, 4)))]
        wanted += [(13, bytes(range(rng.choice((8, 16))))) for _ in range(rng.choice((0, 1, 2)))]
        version, exchange, flags = 0x10, rng.choice((2, 4, 5, 32)), rng.choice((0, 0, 0, 1))
    else:
        wanted = [(33, proposals(rng))]
        if rng.random() < 0.6:
            wanted += [(34, b"\0\x0e\0\0" + bytes(32)), (40, b"nonce" * 4)]
        if rng.random() < 0.3:
            wanted.append(
                rng.choice(((41, b"\1\0\x40\x04"), (41, b"\1\0\x40\x04" + bytes(20)), (43, bytes(16))))
            )
        version, exchange, flags = 0x20, rng.choice((34, 34, 35, 37)), 0x20 if answer else 8
    first, body = chained(wanted)
    extra = b"\0\0" if rng.random() < 0.1 and version == 0x10 else b""
    size = 28 + len(body) + len(extra)
    head = b"INITIATE" + responder + bytes([first, version, exchange, flags]) + struct.pack(">II", 0, size)
    return head + body + extra


IKE_EVENTS = [
    "weak_crypto_enc",
    "weak_crypto_prf",
    "weak_crypto_auth",
    "weak_crypto_dh",
    "weak_crypto_no_dh",
    "weak_crypto_no_auth",
    "invalid_proposal",
    "unknown_proposal",
    "no_encryption",
    "multiple_server_proposal",
    "payload_extra_data",
    "malformed_data",
]


def ike_condition(rng):
    words = [b"INIT", b"494e4954", b"414e5357", b"0001020304", b"nonce", b"\0\1\2"]
    buffer = rng.choice(
        ("ike.init_spi", "ike.resp_spi", "ike.vendor", "ike.nonce_payload", "ike.key_exchange_payload")
    )
    attribute = rng.choice(
        ("alg_enc", "alg_hash", "alg_auth", "alg_dh", "alg_prf", "sa_life_type", "sa_life_duration", "sa_key_length")
    )  # fmt: skip
    return rng.choice(
        (
            f"{buffer}; " + matches.matches(rng, words, buffered=True, most=1),
            f"ike.exchtype:{rng.choice((2, 4, 34, '>5', '<34', '!2'))}; ",
            f"ike.chosen_sa_attribute:{attribute}={rng.choice((1, 2, 5, 7, 14, 900, 28800, 0))}; ",
            f"ike.key_exchange_payload_length:{rng.choice(('>15', '16', '128', '<100'))}; ",
            f"ike.nonce_payload_length:{rng.choice(('>9', '10', '20', '<20'))}; ",
            f"app-layer-event:ike.{rng.choice(IKE_EVENTS)}; ",
            f"app-layer-event:ike.{rng.choice(IKE_EVENTS)}; ",
        )
    )


# --- DHCP, NTP, TFTP, SIP --------------------------------------------------------------------------------------------
def dhcp(rng, *, answer):
    head = bytes([2 if answer else 1, 1, 6, 0]) + b"\1\2\3\4" + bytes(20) + b"\xaa\xbb\xcc\xdd\xee\xff"
    options = b"\x35\1" + bytes([rng.choice((1, 2, 3, 5))])
    for kind in (51, 58, 59):
        if rng.random() < 0.6:
            options += bytes([kind, rng.choice((4, 4, 4, 2))]) + struct.pack(
                ">I", rng.choice((60, 3600, 86400))
            )
    options += rng.choice((b"", b"\x0c\4shop", b"\x3d\7\1\1\2\3\4\5\6", b"\x3d\1\1", b"\0\0"))
    return (
        head.ljust(236, b"\0")
        + b"\x63\x82\x53\x63"
        + options
        + rng.choice((b"\xff", b"\xff", b"\xff\0\0", b""))
    )


def dhcp_condition(rng):
    name = rng.choice(("leasetime", "rebinding_time", "renewal_time"))
    event = rng.choice(("malformed_options", "truncated_options"))
    return rng.choice(
        (
            f"dhcp.{name}:{rng.choice((60, 3600, '>60', '<86400', '!60', '60-86400'))}; ",
            f"dhcp.{name}:{rng.choice((60, 3600, '>60', '<86400', '!60', '60-86400'))}; ",
            f"app-layer-event:dhcp.{event}; ",
        )
    )


def ntp(rng, *, answer):
    first = rng.choice((3, 4, 4)) << 3 | (4 if answer else rng.choice((3, 3, 1, 5)))
    return bytes([first]) + bytes(rng.choice((47, 47, 51)))


def tftp(rng, *, answer):
    if answer:
        return b"\0\3\0\1" + b"data" * 10
    return rng.choice((b"\0\1boot.img\0octet\0", b"\0\2shop.cfg\0netascii\0", b"\0\1x", b"\0\4\0\1"))


def sip(rng, *, answer):
    if answer:
        line = rng.choice(
            (b"SIP/2.0 200 OK", b"SIP/2.0 404 Not Found", b"SIP/2.0 180 R\xe9", b"SIP/2.0 100 ")
        )
    else:
        method = rng.choice((b"INVITE", b"REGISTER", b"BYE", b"ACK"))
        line = method + rng.choice((b" sip:bob@shop.example", b" sip:a;b=c", b" sip:x#y")) + b" SIP/2.0"
    fields = rng.choice(
        (b"Via: SIP/2.0/UDP x\r\n", b"l: 0\r\n", b"From: <sip:a@b>\r\n c\r\n", b"X: \xe9\r\n", b"bad\r\n")
    )
    return line + b"\r\n" + fields + rng.choice((b"\r\n", b"\r\n", b"\r\nbody", b""))


def sip_condition(rng):
    words = [
        b"INVITE",
        b"REGISTER",
        b"sip:",
        b"bob",
        b"200",
        b"404",
        b"Not",
        b"OK",
        b"SIP/2.0",
        b"100",
        b"shop",
    ]
    names = ("method", "uri", "request_line", "protocol", "stat_code", "stat_msg", "response_line")
    event = rng.choice(("invalid_data", "incomplete_data"))
    buffer = f"sip.{rng.choice(names)}; "
    return rng.choice(
        (
            buffer + matches.matches(rng, words, buffered=True, most=1),
            buffer + matches.matches(rng, words, buffered=True, most=2),
            f"app-layer-event:sip.{event}; ",
        )
    )


# --- Kerberos --------------------------------------------------------------------------------------------------------
def principal(*names):
    return der(0x30, der(0xA0, number(1)), der(0xA1, der(0x30, *(der(0x1B, name) for name in names))))


def tagged(**members):
    return der(0x30, *(der(0xA0 | int(name[1:]), value) for name, value in members.items()))


def encrypted(rng):
    return tagged(_0=number(rng.choice((1, 3, 17, 18, 23, 26))), _2=der(4, b"cipher"))


def krb5(rng, *, answer):
    realm, when = der(0x1B, b"SHOP"), der(0x18, b"20301231235959Z")
    client, server = principal(rng.choice((b"alice", b"bob"))), principal(b"krbtgt", b"SHOP")
    if not answer:
        kind = rng.choice((10, 10, 12))
        body = {"_0": der(3, bytes(5)), "_1": client, "_2": realm, "_3": server, "_5": when, "_7": number(7)}
        if rng.random() < 0.2:
            del body["_1"]
        if rng.random() < 0.9:
            body["_8"] = der(0x30, number(18))
        return der(0x60 | kind, tagged(_1=number(5), _2=number(kind), _4=tagged(**body)))
    if rng.random() < 0.4:
        code = number(rng.choice((6, 25, 24, 68)))
        return der(
            0x7E, tagged(_0=number(5), _1=number(30), _4=when, _5=number(0), _6=code, _9=realm, _10=server)
        )
    kind = rng.choice((11, 13))
    ticket = der(0x61, tagged(_0=number(5), _1=realm, _2=server, _3=encrypted(rng)))
    members = {"_0": number(5), "_1": number(kind), "_3": realm, "_4": client, "_5": ticket}
    return der(0x60 | kind, tagged(**members, _6=encrypted(rng)))


def krb5_condition(rng):
    words = [b"alice", b"bob", b"krbtgt", b"SHOP", b"b"]
    event = rng.choice(("weak_encryption", "malformed_data"))
    kinds = ("weak", "!weak", "rc4-hmac", "18", "des-cbc-md5,17", "1,3")
    return rng.choice(
        (
            f"krb5_msg_type:{rng.choice((10, 11, 12, 13, 30))}; ",
            f"krb5_err_code:{rng.choice((6, 25, 24, 68))}; ",
            f"krb5.{rng.choice(('cname', 'sname'))}; " + matches.matches(rng, words, buffered=True, most=1),
            f"krb5.ticket_encryption:{rng.choice(kinds)}; ",
            f"app-layer-event:krb5.{event}; ",
        )
    )


SERVICES = {
    "snmp": (161, snmp, snmp_condition),
    "ike": (500, ike, ike_condition),
    "dhcp": (67, dhcp, dhcp_condition),
    "ntp": (123, ntp, lambda _rng: "app-layer-event:ntp.malformed_data; "),
    "tftp": (69, tftp, lambda _rng: ""),
    "sip": (5060, sip, sip_condition),
    "krb5": (88, krb5, krb5_condition),
}


def rules(rng, first_sid, count):
    for sid in range(first_sid, first_sid + count):
        name = rng.choice([*SERVICES, "snmp", "ike", "ike", "sip", "krb5", "krb5"])
        condition = SERVICES[name][2]
        body = "".join(condition(rng) for _ in range(rng.choice((0, 1, 1, 1, 1, 2))))
        flow = rng.choice(("", "", "", "flow:to_server; ", "flow:to_client; "))
        other = "udp" if "event" in body else "ip"  # over TCP there are no such events
        protocol = rng.choice((name, name, "udp", other)) if body else name
        if name == "krb5" and "event" in body:
            protocol = name
        yield f"alert {protocol} any any -> any any ({flow}{body}sid:{sid};)"


def broken(rng, data):
    shape = rng.random()
    if shape < 0.06:
        return data[: rng.randrange(1, len(data) + 1)]
    if shape < 0.1:
        at = rng.randrange(len(data))
        return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
    return data


def sessions(rng, count):
    out = []
    names = [*SERVICES, "snmp", "ike", "krb5", "sip"]
    for i in range(count):
        name = names[i % len(names)]
        port, make, _ = SERVICES[name]
        client, server, sport = f"10.9.{i // 200}.{i % 200 + 1}", "192.168.9.10", 1024 + rng.randrange(60000)
        said = []
        for _ in range(rng.choice((1, 2, 3))):
            said.append((True, broken(rng, make(rng, answer=False))))
            if rng.random() < 0.8:
                said.append((False, broken(rng, make(rng, answer=True))))
        if name == "krb5" and rng.random() < 0.4:
            framed = [(side, struct.pack(">I", len(data)) + data) for side, data in said]
            manner = {"segment": rng.choice((None, "random")), "ack": rng.choice((True, "each"))}
            out.append(Session(rng, client, server, sport, port, **manner).run(framed))
            continue
        frames = Frames()
        frames.label = f"{client} {name}"
        for to_server, data in said:
            ends = (client, server, sport, port) if to_server else (server, client, port, sport)
            frames.append(udp(*ends, data))
        out.append(frames)
    return out
