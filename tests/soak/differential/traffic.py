"""Conversations -> frames: Ethernet, IPv4/IPv6, TCP sessions in many manners, UDP, ICMP. No checksums but on demand."""

import itertools
import socket
import struct

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(payload, kind=0x0800, vlan=()):
    tags = b"".join(struct.pack(">HH", 0x8100, tag) for tag in vlan)
    return b"\x02" * 6 + b"\x04" * 6 + tags + struct.pack(">H", kind) + payload


def packed(address):
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def ip(payload, proto, src, dst, ttl=64, tos=0, ident=1, fragment=0x4000, ip_options=b""):
    """An IPv4 or IPv6 packet, by the form of the addresses."""
    if ":" in src:
        return (
            struct.pack(">IHBB", 6 << 28 | tos << 20, len(payload), proto, ttl)
            + packed(src)
            + packed(dst)
            + payload
        )
    size = 20 + len(ip_options)
    header = struct.pack(
        ">BBHHHBBH", 0x40 | size // 4, tos, size + len(payload), ident, fragment, ttl, proto, 0
    )
    header += packed(src) + packed(dst) + ip_options
    return header[:10] + struct.pack(">H", checksum(header)) + header[12:] + payload


def frame(payload, proto, src, dst, vlan=(), **fields):
    return ethernet(ip(payload, proto, src, dst, **fields), 0x86DD if ":" in src else 0x0800, vlan)


def pseudo_header(proto, src, dst, size):
    if ":" in src:
        return packed(src) + packed(dst) + struct.pack(">II", size, proto)
    return packed(src) + packed(dst) + struct.pack(">HH", proto, size)


def tcp(src, dst, sport, dport, seq, ack, flags, payload=b"", window=65000, options=b"", urgent=0, **fields):
    options += b"\0" * (-len(options) % 4)
    offset = (5 + len(options) // 4) << 4
    segment = struct.pack(
        ">HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, offset, flags, window, 0, urgent
    )
    segment += options + payload
    value = checksum(pseudo_header(6, src, dst, len(segment)) + segment)
    return frame(segment[:16] + struct.pack(">H", value) + segment[18:], 6, src, dst, **fields)


def udp(src, dst, sport, dport, payload, **fields):
    datagram = struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload
    value = checksum(pseudo_header(17, src, dst, len(datagram)) + datagram)
    return frame(datagram[:6] + struct.pack(">H", value) + datagram[8:], 17, src, dst, **fields)


def icmp(src, dst, kind, code, body, **fields):
    proto = 58 if ":" in src else 1
    message = struct.pack(">BBH", kind, code, 0) + body
    value = checksum((pseudo_header(58, src, dst, len(message)) if proto == 58 else b"") + message)
    return frame(message[:2] + struct.pack(">H", value) + message[4:], proto, src, dst, **fields)


class Frames(list):
    """The frames of one conversation, with a word on how it was made."""

    label = ""


class Session:
    """One TCP conversation: `messages` are (to_server, bytes). `manner` says how it is cut, ordered and ended."""

    ENDINGS = ("fin", "fin_server", "rst", "rst_server", "none", "fin_data")

    def __init__(self, rng, client, server, sport, dport, **manner):
        self.rng = rng
        self.ends = (client, server)
        self.ports = (sport, dport)
        self.next = [rng.randrange(1 << 32), rng.randrange(1 << 32)]
        self.manner = manner
        self.frames = Frames()
        self.frames.label = f"{client} {manner}"

    def send(self, to_server, flags, payload=b"", *, seq=None, options=b"", **fields):
        i = 0 if to_server else 1
        number = self.next[i] if seq is None else seq
        ack = self.next[1 - i] if flags & ACK else 0
        self.frames.append(
            tcp(
                self.ends[i], self.ends[1 - i], self.ports[i], self.ports[1 - i], number, ack, flags, payload,
                options=options, **fields,
            )
        )  # fmt: skip
        if seq is None:
            self.next[i] += len(payload) + bool(flags & SYN) + bool(flags & FIN)

    def handshake(self):
        self.send(True, SYN, options=b"\x02\x04\x05\xb4")
        self.send(False, SYN | ACK, options=b"\x02\x04\x05\xb4")
        self.send(True, ACK)

    def pieces(self, data):
        size = self.manner.get("segment") or 1400
        if size == "random":
            cuts = sorted(
                {0, len(data), *(self.rng.randrange(len(data) + 1) for _ in range(self.rng.randint(1, 5)))}
            )
        else:
            cuts = [*range(0, len(data), size), len(data)]
        return [data[a:b] for a, b in itertools.pairwise(cuts) if a < b]

    def message(self, to_server, data):
        begin = self.next[0 if to_server else 1]
        at, out = begin, []
        for piece in self.pieces(data):
            out.append((at, piece))
            at += len(piece)
        if self.manner.get("repeat") and out:
            out.insert(self.rng.randrange(len(out)) + 1, self.rng.choice(out))
        if self.manner.get("reorder") and len(out) > 1:
            i = self.rng.randrange(len(out) - 1)
            out[i], out[i + 1] = out[i + 1], out[i]
        for seq, piece in out:
            self.send(to_server, ACK | PSH, piece, seq=seq)
            if self.manner.get("ack") == "each":
                i = 1 if to_server else 0
                ours = self.next[i]
                self.next[1 - i] = max(self.next[1 - i], seq + len(piece))
                self.send(not to_server, ACK)
                self.next[i] = ours
        self.next[0 if to_server else 1] = begin + len(data)
        if self.manner.get("ack", True):
            self.send(not to_server, ACK)

    def end(self):
        ending = self.manner.get("ending", "fin")
        first = ending not in {"fin_server", "rst_server"}
        if ending in {"rst", "rst_server"}:
            self.send(first, RST | ACK)
        elif ending != "none":
            self.send(first, FIN | ACK)
            self.send(not first, FIN | ACK)
            self.send(first, ACK)

    def run(self, messages):
        if not self.manner.get("midstream"):
            self.handshake()
        for to_server, data in messages:
            self.message(to_server, data)
        self.end()
        return self.frames


def interleaved(rng, conversations, step=0.001, mixed=True):
    """Frames of several conversations, each in its own order, as one capture with times."""
    queues = [list(frames) for frames in conversations if frames]
    clock, out = 0.0, []
    while queues:
        queue = rng.choice(queues) if mixed else queues[0]
        clock += step
        out.append((clock, queue.pop(0)))
        if not queue:
            queues.remove(queue)
    return out
