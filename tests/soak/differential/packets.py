"""Family: keywords about packet headers over IPv4, IPv6, TCP, UDP, ICMP and other protocols."""

import struct

from differential.traffic import ACK, FIN, PSH, RST, SYN, URG, Frames, Session, frame, icmp, tcp, udp

V4 = ["10.1.1.1", "10.1.1.2", "192.168.7.7", "203.0.113.9", "8.8.8.8", "172.16.5.5"]
V6 = ["2001:db8::1", "2001:db8::2", "fe80::1", "2001:db8:1::7"]
FLAGS = "FSRPAUCE"


def _compared(rng, values, signs=("", "", "<", ">", "<=", ">=", "!")):
    if rng.random() < 0.2:
        low, high = sorted(rng.sample(values, 2))
        return f"{low}-{high}" if rng.random() < 0.5 else f"{low}<>{high}"
    return f"{rng.choice(signs)}{rng.choice(values)}"


def _flags(rng):
    letters = "".join(rng.sample(FLAGS, rng.randint(1, 3)))
    mask = f",{''.join(rng.sample('CE12', rng.randint(1, 2)))}" if rng.random() < 0.2 else ""
    return f"{rng.choice(('flags', 'tcp.flags'))}:{rng.choice(('', '', '+', '*', '!'))}{rng.choice((letters, 'S', 'SA', 'A', 'PA', '0'))}{mask}; "


KEYWORDS = {
    "tcp": [
        _flags, _flags,
        lambda rng: f"window:{rng.choice(('', '!'))}{rng.choice((65000, 1024, 0))}; ",
        lambda rng: f"seq:{rng.choice((0, 1000, 1001))}; ",
        lambda rng: f"ack:{rng.choice((0, 5000, 5001))}; ",
        lambda rng: f"tcp.mss:{_compared(rng, [536, 1000, 1460])}; ",
        lambda rng: f"tcp.hdr; content:\"|{rng.choice(('02 04', '50', '18', '00 50'))}|\"{rng.choice(('', '; offset:12', '; depth:4'))}; ",
        lambda rng: f"tcpv4-csum:{rng.choice(('valid', 'invalid'))}; ",
        lambda rng: f"stream_size:{rng.choice(('client', 'server', 'both', 'either'))},{rng.choice('<>=')},{rng.choice((1, 2, 5, 20))}; ",
    ],
    "udp": [
        lambda rng: f"udp.hdr; content:\"|{rng.choice(('00 35', '00', '04'))}|\"; ",
        lambda rng: f"udpv4-csum:{rng.choice(('valid', 'invalid'))}; ",
    ],
    "icmp": [
        lambda rng: f"itype:{_compared(rng, [0, 3, 8, 11, 13, 128, 129], ('', '', '<', '>'))}; ",
        lambda rng: f"icode:{_compared(rng, [0, 1, 3, 4], ('', '', '<', '>'))}; ",
        lambda rng: f"icmp_id:{rng.choice((1, 77, 256))}; ",
        lambda rng: f"icmp_seq:{rng.choice((0, 1, 5))}; ",
        lambda rng: f"icmpv4.hdr; content:\"|{rng.choice(('08', '00', '03'))}|\"; depth:1; ",
        lambda rng: f"icmpv4-csum:{rng.choice(('valid', 'invalid'))}; ",
        lambda rng: f"icmpv6.mtu:{_compared(rng, [1280, 1400, 1500])}; ",
    ],
    "ip": [
        lambda rng: f"ttl:{_compared(rng, [1, 5, 64, 128, 255])}; ",
        lambda rng: f"tos:{rng.choice(('', '!'))}{rng.choice((0, 8, 16, 'x10'))}; ",
        lambda rng: f"id:{rng.choice(('', '!'))}{rng.choice((0, 1, 77))}; ",
        lambda rng: f"fragbits:{rng.choice(('', '+', '*', '!'))}{rng.choice(('D', 'M', 'R', 'MD'))}; ",
        lambda rng: f"fragoffset:{rng.choice(('', '<', '>', '!'))}{rng.choice((0, 1, 10))}; ",
        lambda rng: f"ipopts:{rng.choice(('rr', 'ts', 'nop', 'lsrr', 'any', 'eol'))}; ",
        lambda rng: f"ip_proto:{rng.choice(('', '!', '<', '>'))}{rng.choice((1, 6, 17, 47, 58, 132, 'tcp', 'udp'))}; ",
        lambda rng: "sameip; ",
        lambda rng: f"dsize:{_compared(rng, [0, 1, 5, 10, 20])}; ",
        lambda rng: f"ipv4-csum:{rng.choice(('valid', 'invalid'))}; ",
        lambda rng: f"ipv4.hdr; content:\"|{rng.choice(('45', '40', '06', '11', '0a 01'))}|\"; ",
        lambda rng: f"ipv6.hdr; content:\"|{rng.choice(('60', '06', '20 01'))}|\"; ",
        lambda rng: f"ip.src; content:\"|{rng.choice(('0a 01 01 01', '0a', '20 01 0d b8'))}|\"{rng.choice(('', '; startswith', '; endswith'))}; ",
        lambda rng: f"ip.dst; content:\"|{rng.choice(('c0 a8', '08 08', '01'))}|\"; ",
        lambda rng: f"flow:{rng.choice(('established', 'not_established', 'to_server', 'to_client', 'stateless', 'only_stream', 'no_stream', 'only_frag', 'no_frag'))}; ",
        lambda rng: f"content:\"{rng.choice(('a', 'abc', 'GET', 'x'))}\"{rng.choice(('', '; depth:4', '; offset:1', '; nocase'))}; ",
        lambda rng: f"decode-event:{rng.choice(('ipv4.opt_pad_required', 'tcp.opt_invalid_len', 'udp.pkt_too_small', 'icmpv4.unknown_type', 'icmpv6.unknown_type', 'ipv4.trunc_pkt', 'tcp.hlen_too_small'))}; ",
        lambda rng: f"l3_proto:{rng.choice(('ipv4', 'ipv6'))}; ",
        lambda rng: f"flow.age:{_compared(rng, [0, 1, 3])}; ",
    ],
}  # fmt: skip
ADDRESSES = ["any"] * 6 + ["10.1.1.1", "!10.1.1.1", "10.0.0.0/8", "[10.1.1.0/24,192.168.0.0/16]", "[10.0.0.0/8,!10.1.1.1]", "$HOME_NET", "$EXTERNAL_NET",
             "2001:db8::/32", "[2001:db8::1,10.1.1.2]", "!$HOME_NET", "10.1.1.1-10.1.1.2", "[!192.168.7.7,!8.8.8.8]"]  # fmt: skip
PORTS = ["any"] * 6 + [
    "80",
    "!80",
    "[80,443]",
    "1024:",
    ":1024",
    "[1:1023,!53]",
    "53",
    "$HTTP_PORTS",
    "[!80,!53]",
    "1000:2000",
]
PROTOCOLS = (
    ["ip"] * 5
    + ["tcp"] * 5
    + ["udp"] * 3
    + ["icmp"] * 3
    + ["icmpv6", "ipv6", "ipv4", "pkthdr", "tcp-pkt", "sctp", "ip6", "tcp-stream"]
)


def rules(rng, first_sid, count):
    for sid in range(first_sid, first_sid + count):
        protocol = rng.choice(PROTOCOLS)
        own = next((name for name in KEYWORDS if protocol.startswith(name) and name != "ip"), None)
        tables = KEYWORDS["ip"] + (KEYWORDS[own] * 3 if own else [])
        if own is None:
            tables = KEYWORDS["ip"] * 2 + rng.choice((KEYWORDS["tcp"], KEYWORDS["udp"], KEYWORDS["icmp"]))
        body = "".join(make(rng) for make in rng.sample(tables, rng.choice((0, 1, 1, 1, 2, 2, 3))))
        ported = protocol.startswith(("tcp", "udp", "sctp")) or rng.random() < 0.1
        source = f"{rng.choice(ADDRESSES)} {rng.choice(PORTS) if ported else 'any'}"
        target = f"{rng.choice(ADDRESSES)} {rng.choice(PORTS) if ported else 'any'}"
        yield f"alert {protocol} {source} {rng.choice(('->', '->', '->', '<>'))} {target} ({body}sid:{sid};)"


def _fields(rng, six):
    fields = {"ttl": rng.choice((64, 64, 1, 5, 128, 255)), "tos": rng.choice((0, 0, 8, 16))}
    if not six:
        fields["ident"] = rng.choice((0, 1, 77, 4000))
        fields["fragment"] = rng.choice((0x4000, 0x4000, 0, 0x8000))
        if rng.random() < 0.15:
            fields["ip_options"] = rng.choice(
                (
                    b"\x07\x07\x04\0\0\0\0\0",
                    b"\x01\x01\x01\x00",
                    b"\x44\x04\x05\x00",
                    b"\x83\x07\x04\x01\x02\x03\x04\x00",
                    b"\x94\x04\x00\x00",
                )
            )
    return fields


def _loose(rng):
    """A few packets of one pair of hosts outside of any session."""
    six = rng.random() < 0.25
    hosts = V6 if six else V4
    source, target = rng.choice(hosts), rng.choice(hosts)
    sport, dport = 1024 + rng.randrange(60000), rng.choice((53, 80, 443, 4444, 999))
    out = Frames()
    for _ in range(rng.randint(1, 3)):
        data = rng.choice((b"", b"a", b"abc", b"xyzabcGET", b"q" * 30))
        kind = rng.random()
        fields = _fields(rng, six)
        if kind < 0.35:
            out.append(udp(source, target, sport, dport, data, **fields))
        elif kind < 0.6:
            types = (
                ((128, 0), (129, 0), (1, 0), (2, 0), (3, 0), (135, 0))
                if six
                else ((8, 0), (0, 0), (3, 1), (3, 3), (11, 0), (13, 0), (5, 1), (42, 0))
            )
            code = rng.choice(types)
            body = struct.pack(">HH", rng.choice((1, 77, 256)), rng.choice((0, 1, 5))) + data
            if code[0] == 2 and six:
                body = struct.pack(">I", rng.choice((1280, 1400, 1500))) + bytes(40)
            out.append(icmp(source, target, *code, body, **fields))
        elif kind < 0.85:
            flags = rng.choice(
                (SYN, SYN | ACK, ACK, FIN, RST, PSH | ACK, URG | ACK, 0, 0xFF, FIN | PSH | URG, SYN | 0xC0)
            )
            options = rng.choice(
                (
                    b"",
                    b"\x02\x04\x05\xb4",
                    b"\x02\x04\x02\x18\x01\x03\x03\x07",
                    b"\x01\x01\x02\x04\x03\xe8",
                    b"\x02\x03\x05\xb4",
                )
            )
            window = rng.choice((65000, 1024, 0))
            out.append(
                tcp(
                    source,
                    target,
                    sport,
                    dport,
                    rng.choice((0, 1000)),
                    rng.choice((0, 5000)),
                    flags,
                    data,
                    window,
                    options,
                    **fields,
                )
            )
        else:
            out.append(
                frame(data + bytes(8), rng.choice((47, 50, 89, 132, 2, 103, 200)), source, target, **fields)
            )
    return out


def sessions(rng, count):
    out = []
    for i in range(count):
        if rng.random() < 0.75:
            out.append(_loose(rng))
            continue
        six = rng.random() < 0.25
        ends = (f"2001:db8:2::{i + 1:x}", "2001:db8::2") if six else (f"10.4.0.{i + 1}", "192.168.7.7")
        session = Session(
            rng,
            *ends,
            1024 + rng.randrange(60000),
            rng.choice((4444, 999)),
            ending=rng.choice(Session.ENDINGS),
        )
        out.append(
            session.run(
                [
                    (rng.random() < 0.6, rng.choice((b"abc", b"xyz GET", b"q" * 30)))
                    for _ in range(rng.randint(1, 3))
                ]
            )
        )
    return out
